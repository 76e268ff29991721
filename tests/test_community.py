"Rows and posts of others: formats, licences, attribution, rejects row by row."
import json

import pytest

from immig_research.community import (
    api_posts,
    best_answers,
    data_rows,
    dump_posts,
    post_license,
    question_answer,
    read_hf_rows,
    read_stackexchange,
)
from immig_research.records import Document
from immig_research.store import RawFile, Reject, read_bytes, read_store, sample_store

HUB = RawFile('hf-us-immigration-laws', 'https://example.org/data', 'train.jsonl', 'application/jsonl', '', '2026-01-01', 'Apache-2.0')
API = RawFile('law-stackexchange', 'https://example.org/q', 'q.json', 'application/json', '', '2026-01-01', 'CC BY-SA')
ROWS = [{'instruction': 'Which form?', 'input': '', 'output': 'Form I-589.'}, {'question': 'When?', 'answer': 'Within one year.'}]


@pytest.mark.parametrize('data', [json.dumps(ROWS), json.dumps({'train': ROWS}), '\n'.join(map(json.dumps, ROWS)), '\ufeff' + json.dumps(ROWS)])
def test_the_same_rows_from_each_format(data): assert data_rows(data.encode()) == ROWS


def test_parquet_gives_the_same_documents(tmp_path):
    pq, pa = pytest.importorskip('pyarrow.parquet'), pytest.importorskip('pyarrow')
    rows = [{'question': 'Which form?', 'answer': 'Form I-589.'}, {'question': 'When?', 'answer': 'Within one year.'}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path/'train.parquet')
    assert read_hf_rows(HUB, (tmp_path/'train.parquet').read_bytes()) == read_hf_rows(HUB, json.dumps(rows).encode())


def test_half_a_surrogate_and_line_separators_stay_in_their_row():
    row = {'question': 'Which\u2028form?', 'answer': 'Form\x85 I-589.'}
    assert data_rows((json.dumps(row, ensure_ascii=False) + '\n' + json.dumps(ROWS[0])).encode()) == [row, ROWS[0]]


@pytest.mark.parametrize('row', [{}, {'question': 'Who?'}, {'answer': 'Me.'}, {'question': None, 'answer': 'x'}, {'question': ' ', 'answer': 'x'}])
def test_rows_that_lack_a_half(row):
    with pytest.raises(Reject, match='a row without'): question_answer(row)


def test_every_row_of_the_hub_carries_level_licence_and_its_own_id():
    docs = [d for d in read_hf_rows(HUB, json.dumps(ROWS * 3).encode())]
    assert len({d.doc_id for d in docs}) == 6 and {d.authority_level for d in docs} == {'secondary_reputable'}
    assert {d.license_note for d in docs} == {'Apache-2.0'} and all(p['license'] == 'Apache-2.0' for d in docs for p in d.paragraphs)
    assert {d.coverage for d in docs} == {1.0}


@pytest.mark.parametrize('day, license', [('2011-04-07', '2.5'), ('2011-04-08', '3.0'), ('2018-05-01', '3.0'), ('2018-05-02', '4.0')])
def test_licence_by_day(day, license): assert post_license({'day': day, 'license': None}) == f'CC BY-SA {license}'


def test_the_accepted_answer_is_first_and_bad_ones_are_left_out():
    answers = [dict(id=k, score=s, accepted=a) for k, s, a in ((1, 9, False), (2, 0, False), (3, -2, True), (4, 3, False), (5, 1, False))]
    assert [a['id'] for a in best_answers(answers)] == [3, 1, 4]


def test_posts_of_sample_are_attributed():
    store = sample_store()
    for raw in read_store(store, ['law-stackexchange']):
        for doc in (d for d in read_stackexchange(raw, read_bytes(store, raw)) if isinstance(d, Document)):
            assert doc.authority_level == 'community_non_authoritative' and doc.license_note.startswith('CC BY-SA ')
            for p in doc.paragraphs: assert p['author'] and p['link'].startswith('https://') and p['license'].startswith('CC BY-SA ')
            assert '<' not in doc.text and '&' not in doc.text


def test_a_dump_older_than_the_licence_column_and_without_a_user():
    data = (b'<posts><row Id="1" PostTypeId="1" CreationDate="2010-01-02T00:00:00" Tags="&lt;immigration&gt;" Title="May I?" Body="x" />'
            b'<row Id="2" PostTypeId="2" ParentId="1" CreationDate="2010-01-03T00:00:00" Score="1" Body="&lt;p&gt;Yes.&lt;/p&gt;" /></posts>')
    doc, = read_stackexchange(RawFile('law-stackexchange', '', 'Posts.xml', 'application/xml', '', '2026-01-01', ''), data)
    assert 'CC BY-SA 2.5' in doc.license_note and doc.paragraphs[-1]['author'] == 'unknown' and doc.as_of == '2010-01-03'


@pytest.mark.parametrize('data', [b'<!DOCTYPE a [<!ENTITY x "y">]><posts/>', b'<?xml version="1.0"?><!DOCTYPE posts SYSTEM "http://example.org/x.dtd"><posts/>', b'<posts>'])
def test_xml_that_is_refused(data):
    with pytest.raises(Reject): list(dump_posts(data))


def test_an_api_error_page_is_a_reject():
    with pytest.raises(Reject): list(api_posts(b'{"error_id": 502, "error_message": "too many requests"}'))
    with pytest.raises(Reject, match='no questions in it'): read_stackexchange(API, b'{"items": [], "has_more": false}')
