"Edge cases of grounding: typography, places, denials, and the measure of the check itself."
from dataclasses import replace

import pytest

from immig_research.generate import generate_rules
from immig_research.grounding import (
    caught_share,
    closeness,
    contradicted,
    find_span,
    folded,
    ground,
    holders,
    mutate,
    said_by,
    unsupported,
    verify_spans,
)
from immig_research.records import Document, QAPair
from immig_research.store import Reject

TEXT = '''(a) An alien must file Form I-90 within 30 days after the loss, or within 60 days if he or she was abroad.

(b) The Secretary may not charge a fee of more than $455 under paragraph (1).

(1) The fee is waived.'''


def law():
    paras, at = [], 0
    for pid, part in zip(('(a)', '(b)', '(b)(1)'), TEXT.split('\n\n')):
        paras.append(dict(id=f'8 U.S.C. 1999{pid}', start=at, end=at + len(part), kind='text')); at += len(part) + 2
    return Document('law', 'Replacement of cards', TEXT, source_type='statute', citation='8 U.S.C. 1999', paragraphs=paras, as_of='2026-01-01',
        license_note='public domain', url='https://example.org/1999')


DOC = law()
A, B = (TEXT.split('\n\n')[i] for i in (0, 1))


def pair(answer, span=A, **more):
    start = TEXT.find(span)
    return QAPair('q', more.pop('question', 'By when must an alien file Form I-90?'), answer, source_doc_id='law', source_span=span,
        span_start=more.pop('start', start), span_end=more.pop('end', start + len(span)))


def test_a_true_pair_takes_everything_from_its_document():
    p = ground(replace(pair(A[4:]), license='stolen', as_of='1900-01-01', citation='wrong'), DOC)
    assert (p.license, p.as_of, p.citation, p.source_url, p.span_status) == ('public domain', '2026-01-01', '8 U.S.C. 1999(a)', DOC.url, 'exact')
    assert 'duration:30 day' in p.facts and any(f.startswith('form:I-90') for f in p.facts)


def test_a_span_over_two_paragraphs_is_cited_by_what_holds_both():
    both = f'{A}\n\n{B}'
    assert ground(pair('Within 30 days; no fee of more than $455.', both), DOC).citation == '8 U.S.C. 1999'


@pytest.mark.parametrize('change', [lambda t: t.replace("'", '’'), lambda t: t.replace(' ', '\n '), lambda t: f'  {t}\n'])
def test_typography_is_repaired_and_says_so(change):
    p = ground(pair('Within 30 days.', start=None, end=None), DOC)
    moved = ground(replace(p, source_span=change(A), span_start=3, span_end=9), DOC)
    assert (moved.span_status, moved.source_span) == ('repaired', A)


@pytest.mark.parametrize('span, reason', [('', 'not in document'), ('within 31 days', 'not in document'), ('within', 'more than once')])
def test_what_is_not_there_is_rejected(span, reason):
    with pytest.raises(Reject, match=reason): find_span(DOC, replace(pair('x'), source_span=span, span_start=None, span_end=None))


def test_negative_offsets_do_not_count_from_the_end():
    assert find_span(DOC, replace(pair('x', B), span_start=-5, span_end=-1))[2] == 'repaired'


def test_folding_keeps_the_way_back():
    text = 'a \n\t b’s – c'
    plain, at = folded(text)
    assert plain == "a b's - c" and all(text[i] == c or c in " '-" for i, c in zip(at, plain))


def test_references_of_the_span_may_be_said_in_full():
    assert said_by(DOC, *find_span(DOC, pair('', B))[:2]).endswith('under 8 U.S.C. 1999(b)(1).')
    assert ground(pair('The Secretary may not charge a fee of more than $455 under 8 U.S.C. 1999(b)(1).', B), DOC)
    with pytest.raises(Reject, match='answer states 8 U.S.C. 1182'): ground(pair('The Secretary may not charge a fee of more than $455 under 8 U.S.C. 1182(b)(1).', B), DOC)


def test_a_citation_of_the_document_is_known_to_all_but_a_number_is_not():
    said = said_by(DOC, 0, len(A))
    assert unsupported('Under 8 U.S.C. 1999, within 30 days.', said, '8 U.S.C. 1999') == ''
    assert 'answer states 90 day' in unsupported('Within 90 days.', said, 'Waiver within 90 days')


@pytest.mark.parametrize('answer, reason', [
    (A[4:].replace('30', '60', 1), 'answer states 60 day, span has 30 day there'),
    (A[4:].replace('30 days', '30 weeks'), 'week'),
    (A[4:].replace('I-90', 'I-131'), 'I-131'),
    (A[4:].replace('must', 'must not'), 'turns round'),
    (B[4:].replace('may not', 'may'), 'turns round'),
    (B[4:].replace('$455', '$555'), '555'),
])
def test_one_altered_fact_is_found_at_its_place(answer, reason):
    with pytest.raises(Reject, match=reason): ground(pair(answer, A if 'alien' in answer else B), DOC)


def test_yes_and_no_must_fit_the_rule_that_was_asked():
    asked = 'May the Secretary charge a fee of more than $455?'
    assert ground(pair('No. ' + B[4:], B, question=asked), DOC)
    with pytest.raises(Reject, match='says Yes'): ground(pair('Yes. ' + B[4:], B, question=asked), DOC)
    assert contradicted('Is it free?', 'Yes. ' + B[4:], B) == ''


def test_a_retelling_is_free_in_its_words_but_not_in_its_facts():
    retold = 'You have 60 days when you were out of the country, else 30.'
    assert closeness(retold, A) < 0.8 and ground(pair(retold), DOC)
    with pytest.raises(Reject): ground(pair(retold.replace('60', '70')), DOC)


def test_finished_rows_are_checked_and_never_mended():
    good = ground(pair('Within 30 days.'), DOC)
    assert verify_spans([good], {'law': DOC}) == []
    bad = [replace(good, qa_id='a', span_end=good.span_end + 1), replace(good, qa_id='b', source_doc_id='x'), replace(good, qa_id='c', span_start=None)]
    assert [f['qa_id'] for f in verify_spans(bad, {'law': DOC})] == ['a', 'b', 'c']


def test_holders_are_the_paragraphs_touched():
    assert [p['id'][-3:] for p in holders(DOC, 0, 5)] == ['(a)'] and holders(DOC, len(A), len(A) + 2) == [] and len(holders(DOC, 0, len(TEXT))) == 3


def test_mutations_are_false_repeatable_and_caught():
    pairs = [ground(p, DOC) for p in generate_rules(DOC)]
    assert pairs
    for p in pairs:
        for seed in range(4):
            false, kind = mutate(p, seed)
            assert false.answer != p.answer and mutate(p, seed) == (false, kind)
    caught = caught_share(pairs, {'law': DOC})
    assert all(c == n for c, n in caught.values()), caught
    assert mutate(replace(pairs[0], answer='Nothing to alter')) is None
