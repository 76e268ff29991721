"What the eCFR says about dates, and two days of one section from the raw store to a verdict."
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from immig_research.clock import date_documents, in_force, intervals_from_versions, recall_files, versions_of
from immig_research.dataset import build
from immig_research.records import Chunk, Document, Judgment, QAPair, read_jsonl, sha256_file, write_jsonl
from immig_research.sources import collect, read_all
from immig_research.store import RawFile, Reject, read_bytes, read_store, sample_store
from immig_research.verify import index_corpus, verify
from immig_research.versioner import ecfr_date, read_structure, read_version_log, read_versions

STORE = os.environ.get('IMMIG_STORE')
LOG = RawFile('ecfr', 'https://www.ecfr.gov/api/versioner/v1/versions/title-8.json?part=9', 'ecfr/versions.json', 'application/json', '0' * 64, '2026-01-01', 'l')


@pytest.mark.parametrize('today, upto, want', [('2026-11-22', '2026-11-18', '2026-11-18'), ('2026-11-17', '2026-11-18', '2026-11-17')])
def test_the_day_is_never_ahead_of_the_data(today, upto, want):
    assert ecfr_date(dict(titles=[dict(number=1), dict(number=8, up_to_date_as_of=upto)]), today) == want


@pytest.mark.parametrize('titles', [dict(titles=[dict(number=8, up_to_date_as_of='2026-11-18', processing_in_progress=True)]),
    dict(titles=[dict(number=8, up_to_date_as_of='2026-11-18')], meta=dict(import_in_progress=True))])
def test_a_title_in_the_making_is_not_asked_for(titles):
    with pytest.raises(Reject, match='try again later'): ecfr_date(titles, '2026-11-22')


def change(day, name='9.1', issued=None, removed=False):
    return dict(identifier=name, part='9', type='section', amendment_date=day, issue_date=issued or day, removed=removed, substantive=True, name='x', title='8')


def spans(*changes):
    found = intervals_from_versions(read_versions(dict(content_versions=list(changes))))
    return [(v.valid_from, v.valid_to) for v in found if v.status == 'law']


@pytest.mark.parametrize('changes, want', [
    ([change('2017-01-01')], [('2017-01-01', None)]),
    ([change('2024-04-01'), change('2017-01-01')], [('2017-01-01', '2024-04-01'), ('2024-04-01', None)]),
    ([change('2017-01-01'), change('2020-01-01', removed=True)], [('2017-01-01', '2020-01-01')]),
    ([change('2017-01-01'), change('2020-01-01', removed=True), change('2022-01-01')], [('2017-01-01', '2020-01-01'), ('2022-01-01', None)]),
    ([change('2017-01-01'), change('2020-01-01', issued='2020-01-02'), change('2020-01-01', issued='2020-01-09')], [('2017-01-01', '2020-01-01'), ('2020-01-01', None)]),
    ([change('2020-01-01', removed=True)], []),
])
def test_intervals(changes, want): assert spans(*changes) == want


def test_pages_that_are_not_whole_are_refused():
    full = [change('2020-01-01', f'9.{i}') for i in range(1000)]
    with pytest.raises(Reject, match='not whole: 1000 rows of more'): read_versions(dict(content_versions=full))
    with pytest.raises(Reject, match='not whole: 1000 rows of 1002'): read_versions(dict(content_versions=full, meta=dict(result_count='1002')))
    assert len(read_versions([dict(content_versions=full), dict(content_versions=[change('2021-01-01')])])) == 1001
    assert len(read_versions(dict(content_versions=full, meta=dict(result_count=1000)))) == 1000


def test_a_full_page_in_a_store_is_a_counted_reject_and_never_half_a_log():
    page = dict(content_versions=[change('2020-01-01', f'9.{i}') for i in range(1000)])
    with pytest.raises(Reject, match='not whole'): read_version_log(LOG, json.dumps(page).encode())


def test_a_log_without_a_title_is_refused():
    row = {k: v for k, v in change('2020-01-01').items() if k != 'title'}
    with pytest.raises(Reject, match='log of one title'): read_version_log(replace(LOG, url='https://x/'), json.dumps(dict(content_versions=[row])).encode())
    assert read_version_log(LOG, json.dumps(dict(content_versions=[row])).encode()).paragraphs[0]['version']['title'] == '8'


@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp('corpus')
    collect(sample_store(), out, ['ecfr', 'bia', 'uscode'])
    return out


def test_documents_and_chunks_of_two_days_carry_their_intervals(corpus):
    docs = {d.doc_id: d for d in read_jsonl(corpus/'documents.jsonl', Document)}
    assert (docs['ecfr:8-223.3'].valid_from, docs['ecfr:8-223.3'].valid_to) == ('2022-07-01', None)
    assert (docs['ecfr:8-223.3@2021-03-01'].valid_from, docs['ecfr:8-223.3@2021-03-01'].valid_to) == ('2017-01-03', '2022-07-01')
    assert docs['ecfr:8-223.1'].also_in == ['ecfr/title-8-part-223-2021-03-01.xml'] and 'ecfr:8-223.1@2021-03-01' not in docs
    for c in read_jsonl(corpus/'chunks.jsonl', Chunk):
        d = docs[c.doc_id]
        assert (c.as_of, c.valid_from, c.valid_to) == (d.as_of, d.valid_from, d.valid_to)


@pytest.mark.parametrize('day, doc_id', [('2021-01-01', 'ecfr:8-223.3@2021-03-01'), ('2022-06-30', 'ecfr:8-223.3@2021-03-01'), ('2022-07-01', 'ecfr:8-223.3')])
def test_exactly_one_text_of_a_section_on_a_day(corpus, day, doc_id):
    docs = read_jsonl(corpus/'documents.jsonl', Document)
    assert [d.doc_id for d in in_force([d for d in docs if d.citation == '8 CFR 223.3'], day)] == [doc_id]
    assert verify('See 8 CFR 223.3(b).', docs, day)[0].doc_id == doc_id


def test_words_of_the_older_text_are_superseded_today_and_right_then(corpus):
    docs = index_corpus(read_jsonl(corpus/'documents.jsonl', Document))
    said = 'The rule is \u201cNeither document can be extended, save once for a person whose return is delayed by illness\u201d (8 CFR 223.3(b)).'
    assert verify(said, docs)[0].verdict == 'SUPERSEDED'
    assert verify(said, docs, '2021-06-01')[0].verdict == 'VERIFIED'


def test_a_decision_takes_the_newest_stretch_in_which_it_was_law(corpus):
    docs = read_jsonl(corpus/'documents.jsonl', Document)
    matter = next(d for d in docs if '27 I&N Dec. 316' in d.citation)
    assert (matter.valid_from, matter.valid_to) == ('2025-09-02', None)
    assert [verify('27 I&N Dec. 316', docs, d)[0].verdict for d in ('2018-06-11', '2021-06-16', '2025-09-02')] == ['VERIFIED', 'SUPERSEDED', 'VERIFIED']


@pytest.mark.parametrize('day, left', [('2020-01-01', 'ecfr:8-223.3'), ('2024-01-01', 'ecfr:8-223.3@2021-03-01')])
def test_collect_as_of_leaves_out_and_counts_what_was_no_law(tmp_path, day, left):
    counts = collect(sample_store(), tmp_path, ['ecfr'], as_of=day)
    ids = {d.doc_id for d in read_jsonl(tmp_path/'documents.jsonl', Document)}
    assert left not in ids and counts['reasons'] == {f'not in force on {day}': counts['rejects']}


def test_any_executor_reads_the_same():
    raws = read_store(sample_store(), ['ecfr', 'uscode'])
    with ThreadPoolExecutor(2) as pool: assert read_all(sample_store(), raws, pool) == read_all(sample_store(), raws, 1)


def test_nothing_is_dated_by_guess():
    docs = [d for d in read_all(sample_store(), read_store(sample_store(), ['uscis-policy-manual']))[0]]
    assert {(d.valid_from, d.valid_to) for d in date_documents(docs, versions_of(docs))} == {(None, None)}


def test_a_newer_store_recalls_what_it_touches_and_nothing_else(tmp_path):
    newer = tmp_path/'newer'
    shutil.copytree(sample_store(), newer)
    path = newer/'uscode'/'section-1158.md'
    text = path.read_text()
    path.write_text(text.replace('within 1 year after arrival', 'within 2 years after arrival')); assert path.read_text() != text
    rows = read_jsonl(newer/'manifest.jsonl')
    for r in rows:
        if r['path'] == 'uscode/section-1158.md': r |= dict(sha256=sha256_file(path), as_of='2026-09-01')
    write_jsonl(newer/'manifest.jsonl', rows)
    collect(sample_store(), tmp_path/'corpus', ['uscode', 'uscis-policy-manual'])
    build(tmp_path/'corpus', tmp_path/'dataset', written=sample_store()/'written.jsonl')
    pairs = {s: read_jsonl(tmp_path/'dataset'/f'{s}.jsonl', QAPair) for s in ('train', 'eval')}
    on = [p for rows in pairs.values() for p in rows if p.source_doc_id == 'uscode:1158' and 'within 1 year after arrival' in p.source_span]
    asked = pairs['eval'][:5] + [p for p in on if p in pairs['eval']]
    write_jsonl(tmp_path/'judgments.jsonl', [Judgment(p.qa_id, 'tuned', 'facts', 2) for p in asked])
    found = recall_files('2026-01-01', newer, tmp_path/'corpus', dataset=tmp_path/'dataset', judgments=[tmp_path/'judgments.jsonl'])
    assert [d['doc_id'] for d in found['documents'] if d['change'] == 'text'] == ['uscode:1158']
    assert {p['qa_id'] for p in found['pairs'] if p['status'] == 'touched'} == {p.qa_id for p in on} and on
    assert {q['qa_id'] for q in found['questions']} == {p.qa_id for p in on if p in pairs['eval']}
    assert {s['qa_id'] for s in found['scores']} == {p.qa_id for p in asked if p in on and p in pairs['eval']}


@pytest.mark.skipif(not STORE, reason='IMMIG_STORE is not set: the real store is not on this machine')
def test_the_real_structure_names_the_real_sections():
    raw = next(r for r in read_store(STORE, only=['ecfr']) if r.path.endswith('.json'))
    rows = read_structure(json.loads(read_bytes(STORE, raw)))
    docs, _ = read_all(STORE, [r for r in read_store(STORE, ['ecfr']) if r.path.endswith('title-3-full-2024-05-17.xml')])
    assert {f'3 CFR {r["identifier"]}' for r in rows if r['type'] in ('section', 'part')} == {d.citation for d in docs}
