"The law clock: one version a day, and what a change touches, on many days and many changes."
import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immig_research.clock import (
    Version,
    anchor,
    as_of,
    changed_documents,
    intervals_from_history,
    intervals_from_versions,
    known_history,
    recall,
    recall_files,
)
from immig_research.records import BadInput, Document, Judgment, QAPair, write_jsonl

DAYS = st.dates(date(2017, 1, 1), date(2026, 12, 31)).map(date.isoformat)


def row(day, removed=False, number='245.1', issued=None, **more):
    return dict(identifier=number, amendment_date=day, issue_date=issued or day, type='section', title='8', removed=removed, substantive=True, **more)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(DAYS, st.booleans()), min_size=1, max_size=8), DAYS)
def test_versions_share_no_day_and_leave_none_out(changes, day):
    versions = intervals_from_versions([row(d, gone) for d, gone in changes])
    assert all(a.valid_to == b.valid_from and a.valid_from < a.valid_to for a, b in zip(versions, versions[1:], strict=False))
    assert versions[-1].valid_to is None and versions[0].valid_from == min(d for d, _ in changes)
    holding = [v for v in versions if v.valid_from <= day and (v.valid_to is None or day < v.valid_to)]
    assert len(holding) == (day >= versions[0].valid_from)
    picked = as_of(versions, day)
    assert picked.version == (holding[0] if holding and holding[0].status == 'law' else None) and picked.why


def test_of_two_rows_of_one_day_the_later_issue_stands():
    rows = [row('2020-05-01', True, issued='2020-05-09'), row('2020-05-01', issued='2020-05-02')]
    assert [v.status for v in intervals_from_versions(rows)] == ['removed']


def test_parts_and_rows_of_other_kinds_are_no_sections():
    assert intervals_from_versions([dict(row('2020-05-01'), type='subpart')]) == []
    assert [v.citation for v in intervals_from_versions([dict(row('2020-05-01'), title='20')])] == ['20 CFR 245.1']


@pytest.mark.parametrize('day, law, why', [
    ('2018-06-10', False, 'before 2018-06-11'), ('2018-06-11', True, 'law since 2018-06-11'), ('2021-06-15', True, 'law since 2018-06-11'),
    ('2021-06-16', False, 'vacated by 28 I&N Dec. 307'), ('2025-09-01', False, 'vacated since 2021-06-16'), ('2025-09-02', True, 'restored'),
])
def test_a_decision_that_was_law_was_vacated_and_is_law_again(day, law, why):
    pick = as_of([v for v in known_history() if v.citation == '27 I&N Dec. 316'], day)
    assert (pick.version is not None) == law and why in pick.why


def test_what_is_only_reported_says_so():
    assert 'reported' in next(v.basis for v in known_history() if v.valid_from == '2025-09-02')


def test_bad_events_and_overlaps_are_refused():
    with pytest.raises(BadInput, match='date like'): intervals_from_history([dict(citation='1 I&N Dec. 2', event='decided')])
    with pytest.raises(BadInput, match='overlap'): as_of([Version('a', '2020-01-01', '2021-01-02'), Version('a', '2021-01-01')], '2022-01-01')


def document(lines, doc_id='uscis-forms:x', day='2024-06-01'):
    text, paragraphs = '\n\n'.join(lines), []
    for i, line in enumerate(lines):
        start = sum(len(x) + 2 for x in lines[:i])
        paragraphs.append(dict(id=f'{doc_id}#{i}', start=start, end=start + len(line), kind='text'))
    return Document(doc_id, 'x', text, source_id=doc_id.split(':')[0], citation=doc_id, as_of=day, paragraphs=paragraphs)


LINES = st.lists(st.text(alphabet='abcd e', min_size=3, max_size=12).map(str.strip).filter(bool), min_size=1, max_size=6, unique_by=lambda s: ' '.join(s.split()))


@settings(max_examples=150, deadline=None)
@given(LINES, LINES, st.data())
def test_an_anchored_span_has_the_same_words_and_a_touched_one_lost_its_paragraph(before, after, data):
    old, new = document(before), document(after)
    p = data.draw(st.sampled_from(old.paragraphs))
    pair = QAPair('q', '?', source_doc_id=old.doc_id, span_start=p['start'], span_end=p['end'])
    status, start, end = anchor(pair, old, new)
    words = old.text[p['start']:p['end']].split()
    stands = any(line.split() == words for line in after)
    assert (status == 'touched') == (not stands)
    if stands: assert new.text[start:end].split() == words


def test_shuffled_paragraphs_and_wrapped_lines_are_no_change():
    old = document(['one two', 'three four'])
    assert changed_documents({'a': old}, {'a': document(['three\nfour', 'one  two'])}, '2020-01-01') == []


def test_a_span_over_two_paragraphs_is_touched_with_either():
    old = document(['one two', 'three four', 'five'])
    pair = QAPair('q', '?', source_doc_id=old.doc_id, span_start=4, span_end=12)
    assert anchor(pair, old, document(['new', 'one two', 'three four']))[:1] == ('moved',)
    assert anchor(pair, old, document(['one two', 'three 4']))[0] == 'touched'


def test_recall_lists_pairs_questions_and_scores():
    old = {d.doc_id: d for d in (document(['stays', 'goes']), document(['same'], 'bia:y'), document(['gone'], 'bia:z'))}
    new = {d.doc_id: d for d in (document(['more', 'stays', 'went']), document(['same'], 'bia:y'))}
    pair = lambda q, d, s, e: QAPair(q, '?', source_doc_id=d, span_start=s, span_end=e)
    dataset = dict(train=[pair('t1', 'uscis-forms:x', 7, 11)], eval=[pair('e1', 'uscis-forms:x', 0, 5), pair('e2', 'bia:y', 0, 4), pair('e3', 'bia:z', 0, 4)])
    found = recall(old, new, since='2024-01-01', dataset=dataset, judgments=[Judgment(q, 's', 'facts', 3) for q in ('e1', 'e2', 'e3')])
    assert [(p['qa_id'], p['status']) for p in found['pairs']] == [('t1', 'touched'), ('e1', 'moved'), ('e3', 'missing')]
    assert [q['qa_id'] for q in found['questions']] == ['e3'] and [s['qa_id'] for s in found['scores']] == ['e3']
    assert found['counts'] == dict(documents=dict(missing=1, text=1), pairs=dict(missing=1, moved=1, touched=1), questions=1, scores=1)


def test_two_dates_of_one_section_touch_what_was_made_from_the_first():
    first = replace(document(['An officer looks at the whole.'], 'ecfr:212.22', '2020-06-01'), citation='8 CFR 212.22')
    versions = intervals_from_versions([row('2019-10-15', number='212.22'), row('2022-12-23', number='212.22')])
    pair = QAPair('q', '?', source_doc_id='ecfr:212.22', span_start=0, span_end=10)
    assert recall({first.doc_id: first}, versions, since='2021-01-01', dataset=dict(eval=[pair]))['questions'][0]['status'] == 'touched'
    assert recall({first.doc_id: first}, versions, since='2023-01-01', dataset=dict(eval=[pair]))['counts']['questions'] == 0
    later = replace(first, as_of=(date(2022, 12, 23) + timedelta(30)).isoformat())
    assert recall({later.doc_id: later}, versions, since='2021-01-01')['documents'] == []


def test_files_in_and_rows_out(tmp_path):
    write_jsonl(tmp_path/'corpus'/'documents.jsonl', [replace(document(['x'], 'ecfr:1.1'), citation='8 CFR 1.1', as_of='2020-01-01')])
    write_jsonl(tmp_path/'data'/'eval.jsonl', [QAPair('q', '?', source_doc_id='ecfr:1.1', span_start=0, span_end=1)])
    write_jsonl(tmp_path/'judged.jsonl', [Judgment('q', 's', 'facts', 2)])
    (tmp_path/'new.json').write_text(json.dumps(dict(content_versions=[row('2021-01-01', number='1.1')])))
    found = recall_files('2020-06-01', tmp_path/'new.json', tmp_path/'corpus', dataset=tmp_path/'data', judgments=[tmp_path/'judged.jsonl'])
    assert found['counts'] == dict(documents=dict(version=1), pairs=dict(touched=1), questions=1, scores=1)
    assert json.loads(json.dumps(found)) == found
