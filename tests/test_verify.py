"Verdicts on citations: each kind, on each side of its borders."
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immig_research.clock import Version
from immig_research.records import BadInput, Document, write_jsonl
from immig_research.verify import (
    VERDICTS,
    count_verdicts,
    find_quotes,
    fold,
    index_corpus,
    quote_pieces,
    verify,
    verify_file,
)


def law(citation, *lines, **more):
    paragraphs, at = [], 0
    for steps, line in lines:
        paragraphs.append(dict(id=citation + steps, start=at, end=at + len(line), kind='text')); at += len(line) + 2
    more = dict(title=f'{citation}: Law') | more
    return Document(f'x:{citation}:{more.get("as_of")}', text='\n\n'.join(line for _, line in lines), citation=citation, paragraphs=paragraphs, **more)


SECTION = law('8 U.S.C. 1427', ('(a)', '(a) No person shall be naturalized — except as the “Attorney General” provides — without five years.'),
    ('(b)', '(b) An absence of more than six months (see section 1430 of this title) shall break continuity.'), ('(c)', '(c) Repealed. Pub. L. 101-649.'))
DOCUMENTS = [SECTION, law('8 U.S.C. 175 to 177', ('', '§§ 175 to 177. Repealed.'), title='8 U.S.C. 175 to 177: Repealed. June 27, 1952'),
    law('8 U.S.C. 1446', ('(b)', '(b) A judge shall (1) hear the case, under paragraph (3), and (2) rule on it.')),
    law('8 CFR 316.2', ('(a)', '(a) An applicant must be eighteen years of age.'), as_of='2020-01-01', valid_from='2017-01-03', valid_to='2023-05-01'),
    law('8 CFR 316.2', ('(a)', '(a) An applicant must have turned eighteen.'), as_of='2024-01-01', valid_from='2023-05-01'),
    law('12 USCIS-PM D.3', ('(A)', 'A. Use Form N-400. See Form I-551.')),
    law('Form N-400 Instructions', (', Who May File?', 'You may file if you are of age.'), as_of='2025-01-20')]
INDEX = index_corpus(DOCUMENTS, [Version('8 CFR 9.9', '2017-01-03', '2019-01-01'), Version('8 CFR 9.9', '2019-01-01', status='removed', why='removed')])


def one(text, as_of=None):
    (v,) = verify(text, INDEX, as_of)
    return v


@pytest.mark.parametrize('text, verdict, checked', [
    ('8 U.S.C. 1427', 'VERIFIED', 'existence'), ('INA 316(b)', 'VERIFIED', 'existence'), ('section 1427(a) of this title', 'VERIFIED', 'existence'),
    ('8 U.S.C. 1446(b)(2)', 'VERIFIED', 'existence'), ('8 U.S.C. 1446(b)(3)', 'NOT_FOUND', 'existence'),
    ('8 U.S.C. 1427(c)', 'REPEALED', 'existence'), ('8 U.S.C. 176', 'REPEALED', 'existence'), ('8 U.S.C. 178', 'NOT_FOUND', 'existence'),
    ('8 U.S.C. 1427(z)', 'NOT_FOUND', 'existence'), ('8 U.S.C. 1430', 'OUT_OF_SCOPE', ''), ('8 U.S.C. 1699', 'NOT_FOUND', 'existence'),
    ('INA 999', 'NOT_FOUND', 'existence'), ('INA 512(a)', 'NOT_FOUND', 'existence'), ('INA 349', 'OUT_OF_SCOPE', ''),
    ('28 U.S.C. 1331', 'OUT_OF_SCOPE', ''), ('697 F.3d 666', 'OUT_OF_SCOPE', ''), ('Pub. L. 101-649', 'OUT_OF_SCOPE', ''),
    ('8 CFR 316.2', 'VERIFIED', 'existence'), ('8 CFR part 316', 'VERIFIED', 'existence'), ('8 CFR 316.9', 'NOT_FOUND', 'existence'),
    ('8 CFR 9.9', 'REPEALED', 'existence'), ('12 USCIS-PM D.3(A)', 'VERIFIED', 'existence'), ('12 USCIS-PM D', 'VERIFIED', 'existence'),
    ('12 USCIS-PM', 'VERIFIED', 'existence'), ('12 USCIS-PM D.4', 'NOT_FOUND', 'existence'),
    ('Form N-400', 'VERIFIED', 'existence'), ('Form I-551', 'VERIFIED', 'existence'), ('Form I-999', 'NOT_FOUND', 'existence'),
    ('Form N-400 (edition 2025-01-20)', 'VERIFIED', 'existence'), ('Form N-400 (edition 04/01/24)', 'SUPERSEDED', 'existence'),
    ('Form N-400 (edition 04/01/26)', 'OUT_OF_SCOPE', ''), ('27 I&N Dec. 316', 'VERIFIED', 'existence'),
])
def test_existence(text, verdict, checked):
    v = one(text)
    assert (v.verdict, v.checked, v.text, v.quote) == (verdict, checked, text, '')
    assert v.why or verdict == 'VERIFIED'


@pytest.mark.parametrize('day, verdict', [('2018-06-10', 'NOT_FOUND'), ('2018-06-11', 'VERIFIED'), ('2021-06-15', 'VERIFIED'), ('2021-06-16', 'SUPERSEDED'),
    ('2025-09-01', 'SUPERSEDED'), ('2025-09-02', 'VERIFIED')])
def test_matter_of_a_b_by_day(day, verdict): assert one('Matter of A-B-, 27 I&N Dec. 316 (A.G. 2018)', day).verdict == verdict


@pytest.mark.parametrize('text, verdict', [
    ('“No person shall be naturalized” 8 U.S.C. 1427(a).', 'VERIFIED'),
    ('"no person shall be naturalized - except as the \'Attorney General\' provides" (8 U.S.C. 1427(a))', 'VERIFIED'),
    ('8 U.S.C. 1427(a) says: “No person … without five years.”', 'VERIFIED'),
    ('INA 316(a) says that “[n]o person shall be naturalized ... without five years”', 'VERIFIED'),
    ('8 U.S.C. 1427 says “shall break continuity,” no less', 'VERIFIED'),
    ('“No person may be naturalized” 8 U.S.C. 1427(a).', 'MISQUOTED'),
    ('8 U.S.C. 1427(a) says: “without five years … No person”', 'MISQUOTED'),
    ('“No person shall be naturalized” 8 U.S.C. 1427(b).', 'MISATTRIBUTED'),
    ('“shall break continuity” 8 U.S.C. 1446.', 'MISATTRIBUTED'),
    ('“No person shall be naturalized” 8 U.S.C. 1699.', 'NOT_FOUND'),
    ('“No person shall be naturalized” 28 U.S.C. 1331.', 'OUT_OF_SCOPE'),
    ('8 U.S.C. 1427(a) speaks of “continuity”.', 'VERIFIED'),
    ('“An applicant must be eighteen years of age.” 8 CFR 316.2(a).', 'SUPERSEDED'),
])
def test_quotations(text, verdict): assert one(text).verdict == verdict


def test_a_quotation_is_judged_by_the_text_of_the_day():
    text = '“An applicant must be eighteen years of age.” 8 CFR 316.2(a).'
    assert [one(text, day).verdict for day in ('2017-01-03', '2023-04-30', '2023-05-01')] == ['VERIFIED', 'VERIFIED', 'SUPERSEDED']
    assert one(text, '2020-01-01').doc_id.endswith('2020-01-01')


def test_misattributed_names_the_place_and_spans_are_those_of_the_cited_provision():
    v = one('“No person shall be naturalized” 8 U.S.C. 1427(b).')
    assert v.found_in == '8 U.S.C. 1427(a)' and SECTION.text[v.span_start:v.span_end].startswith('(b) An absence')


def test_a_parallel_citation_shares_the_quotation_and_others_do_not():
    both = verify('“No person shall be naturalized,” INA 316(a), 8 U.S.C. 1427(a), 8 U.S.C. 1446(b).', INDEX)
    assert [(v.verdict, v.checked) for v in both] == [('VERIFIED', 'quote'), ('VERIFIED', 'quote'), ('VERIFIED', 'existence')]


def test_the_count_tells_the_whole():
    counts = count_verdicts(verify('“No person shall be naturalized” 8 U.S.C. 1427(a). See INA 999, 5 U.S.C. 706 and Form N-400.', INDEX))
    assert (counts['citations'], counts['checked'], counts['quotes'], counts['existence']) == (4, 3, 1, 2)
    assert sum(counts['verdicts'].values()) == 4 and set(counts['verdicts']) == set(VERDICTS)
    assert counts['line'].startswith('3 of 4 citations checked: 2 verified, 1 not found; 1 out of scope.')
    assert 'only the existence is verified' in counts['line']


WORDS = st.lists(st.sampled_from('alien shall file the form with an office — “late” or not, within ten days'.split()), min_size=4, max_size=30)


@settings(max_examples=100, deadline=None)
@given(WORDS, st.data())
def test_any_run_of_words_of_a_provision_is_found_in_it_and_no_altered_one(words, data):
    index = index_corpus([law('8 U.S.C. 1500', ('(a)', ' '.join(words)))])
    i = data.draw(st.integers(0, len(words) - 3)); j = data.draw(st.integers(i + 3, len(words)))
    run = [w.replace('“', '‘').replace('”', '’') for w in words[i:j]]
    text = f'8 U.S.C. 1500(a) says “{" ".join(run)}”'
    if not find_quotes(text) or not quote_pieces(' '.join(run)): return
    assert verify(text, index)[0].verdict == 'VERIFIED'
    run[1] = 'notwithstanding'
    assert verify(f'8 U.S.C. 1500(a) says “{" ".join(run)}”', index)[0].verdict == 'MISQUOTED'


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='aB “”‘’"\'-—–.,;()\n\u202f\u00ad', max_size=60))
def test_folding_twice_changes_nothing(text): assert fold(fold(text)) == fold(text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='8 U.S.C1427(ab)“”" >.\nIINA316seFormN-400', max_size=120))
def test_any_text_gets_one_verdict_for_each_citation(text):
    for v in verify(text, INDEX):
        assert v.verdict in VERDICTS and text[v.start:v.end] == v.text and (v.checked == '') == (v.verdict == 'OUT_OF_SCOPE')


def test_files_and_what_is_piped_in(tmp_path, monkeypatch):
    write_jsonl(tmp_path/'corpus'/'documents.jsonl', DOCUMENTS)
    (tmp_path/'answer.txt').write_text('“shall break continuity” INA 316(b)', encoding='utf-8')
    found = verify_file(tmp_path/'answer.txt', tmp_path/'corpus')
    assert [v['verdict'] for v in found['verdicts']] == ['VERIFIED'] and json.loads(json.dumps(found)) == found
    monkeypatch.setattr('sys.stdin', io.StringIO('8 CFR 316.2 and 8 CFR 316.9'))
    assert verify_file('-', tmp_path/'corpus', as_of='2024-01-01')['verdicts'][1]['verdict'] == 'NOT_FOUND'
    with pytest.raises(BadInput, match='no such file'): verify_file(tmp_path/'none.txt', tmp_path/'corpus')
    with pytest.raises(BadInput, match='has no documents.jsonl'): verify_file('-', tmp_path)
    (tmp_path/'answer.txt').write_bytes(b'\xff\xfe\x00x')
    with pytest.raises(BadInput, match='not UTF-8'): verify_file(tmp_path/'answer.txt', tmp_path/'corpus')


@pytest.mark.parametrize('cited, section', [('INA 337(a)', '1448'), ('INA § 349', '1481'), ('section 360 of the Act', '1503'), ('INA 504', '1534'), ('INA 412', '1522')])
def test_every_title_of_the_act_has_its_section_of_the_code(cited, section):
    docs = [Document(f'uscode:{section}', 'x', f'§ {section}. A rule.\n(a) It holds.', citation=f'8 U.S.C. {section}', source_type='statute',
        paragraphs=[dict(id=f'8 U.S.C. {section}', start=0, end=15, kind='heading'), dict(id=f'8 U.S.C. {section}(a)', start=16, end=29, kind='text')])]
    assert [(v.verdict, v.doc_id) for v in verify(cited, docs)] == [('VERIFIED', f'uscode:{section}')]
