"Whole collections: damage of every kind, twins, determinism; and the real store where IMMIG_STORE is set."
import hashlib
import json
import os
import shutil
from dataclasses import replace

import pytest

from immig_research import sources
from immig_research.chunk import chunk_document, is_law
from immig_research.eoir import read_opinion
from immig_research.records import BadInput, Document, read_jsonl
from immig_research.sources import (
    READERS,
    canary_warnings,
    collect,
    merge_twins,
    read_all,
    read_corpus,
    read_documents,
    sources_table,
)
from immig_research.store import RawFile, read_store, sample_store

STORE = os.environ.get('IMMIG_STORE')


@pytest.fixture
def store(tmp_path):
    "A copy of the sample store that a test may damage."
    return shutil.copytree(sample_store(), tmp_path/'store')


def rows_of(store): return [json.loads(line) for line in (store/'manifest.jsonl').read_text().splitlines()]


def write_rows(store, rows): (store/'manifest.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in rows))


def accounted(out):
    "Paths of all files that are in a document or, whole, in the rejects: one as both would stand twice."
    docs = read_jsonl(out/'documents.jsonl', Document)
    read = {p for d in docs for p in (d.raw_path, *d.also_in)}
    return sorted([*read, *(r['path'] for r in read_jsonl(out/'rejects.jsonl') if 'row' not in r)])


def test_damaged_files_are_counted_and_the_rest_goes_on(store, tmp_path):
    rows = rows_of(store)
    pdf, md, txt = (next(r for r in rows if r['path'].endswith(e)) for e in ('.pdf', '.md', '.txt'))
    broken = b'%PDF-1.7\nnot really'
    (store/pdf['path']).write_bytes(broken); pdf['sha256'] = hashlib.sha256(broken).hexdigest()
    (store/md['path']).write_text('changed by hand')
    (store/txt['path']).unlink()
    rows.append({**md, 'source_id': 'federal-courts', 'media_type': 'audio/mpeg', 'path': 'courts/a.mp3'})
    write_rows(store, rows)
    counts = collect(store, tmp_path/'out')
    rejects = {r['path']: r['reason'] for r in read_jsonl(tmp_path/'out'/'rejects.jsonl') if 'row' not in r}
    assert set(rejects) == {pdf['path'], md['path'], txt['path'], 'courts/a.mp3'} and counts['rejects'] == 5
    assert rejects[md['path']] == 'sha256 differs from the manifest' and rejects[txt['path']] == 'file missing'
    assert rejects['courts/a.mp3'] == 'no reader yet for federal-courts audio/mpeg' and rejects[pdf['path']]
    assert accounted(tmp_path/'out') == sorted(r['path'] for r in rows)
    assert sources_table(counts).loc['all', 'rejects'] == 5 and '1 file missing' in sources_table(counts).loc['all', 'why']


def test_nothing_to_read_is_bad_input(store, tmp_path):
    rows = rows_of(store)
    write_rows(store, [{**r, 'sha256': '0' * 64} for r in rows])
    with pytest.raises(BadInput, match=f'none of the {len(rows)} files of .* sha256 differs'): collect(store, tmp_path/'out')
    assert not (tmp_path/'out').exists()


def test_the_same_store_gives_the_same_bytes(store, tmp_path):
    for out, workers in (('one', 1), ('two', 2)): collect(store, tmp_path/out, workers=workers)
    for name in ('documents', 'chunks', 'rejects'):
        assert (tmp_path/'one'/f'{name}.jsonl').read_bytes() == (tmp_path/'two'/f'{name}.jsonl').read_bytes()


def test_the_same_section_twice_is_one_document(store, tmp_path):
    rows = rows_of(store)
    law = next(r for r in rows if r['path'].endswith('.md'))
    shutil.copy(store/law['path'], store/'again.md')
    write_rows(store, [*rows, {**law, 'path': 'again.md'}])
    counts = collect(store, tmp_path/'out')
    twin = next(d for d in read_corpus(tmp_path/'out').documents.values() if d.raw_path == law['path'])
    before = collect(sample_store(), tmp_path/'before')['twins']
    assert (counts['twins'], twin.also_in) == (before + 1, ['again.md'])
    assert accounted(tmp_path/'out') == sorted(r['path'] for r in rows + [{'path': 'again.md'}])


def test_another_edition_is_a_reject_that_names_the_kept_one():
    new = Document('f:1', 'F', 'The fee is nine dollars and has to be paid by card.', raw_path='new.pdf', as_of='2025-01-01')
    old = Document('f:1', 'F', 'Send five dollars in cash to the office in your town.', raw_path='old.pdf', as_of='2015-01-01')
    kept, others = merge_twins([old, new])
    assert kept.raw_path == 'new.pdf' and kept.also_in == []
    assert [(d.raw_path, why) for d, why in others] == [('old.pdf', 'another edition of f:1, which was read from new.pdf')]


@pytest.mark.parametrize('media_type', ['application/pdf', 'text/plain', 'text/csv', 'text/html', 'application/json', 'application/xml', 'application/jsonl',
    'application/vnd.apache.parquet', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'])
@pytest.mark.parametrize('data', [b'', b'\x00\xff\xfe', b'{', b'[]', b'[{}]', b'null', b'<a>', b'PK\x03\x04', b'PAR1', b'%PDF-1.7', b'a,b\n1,2\n', b'[1, "a"]', b'\n\n'],
    ids=lambda b: repr(b)[2:12])
def test_no_reader_breaks_on_rubbish(store, data, media_type):
    for reader in [r for r in READERS if r.media_type == media_type]:
        path = reader.pattern.replace('*', 'x')
        (store/path).write_bytes(data)
        raw = RawFile(reader.source_id, 'https://example.org/', path, media_type, hashlib.sha256(data).hexdigest(), '2026-01-01', 'none')
        docs, rejects = read_documents(store, raw)
        assert all(r['path'] == path and r['source_id'] == reader.source_id and 'the reader broke' not in r['reason'] for r in rejects), rejects
        assert docs or rejects


def test_a_reader_that_breaks_is_a_reject_with_the_fault_named(store, monkeypatch):
    def broken(raw, data): raise KeyError('CreationDate')
    monkeypatch.setattr(sources, 'READERS', (sources.Reader('uscode', 'text/markdown', '*.md', broken),))
    raw = next(r for r in read_store(store) if r.source_id == 'uscode')
    assert read_documents(store, raw)[1][0]['reason'] == "the reader broke on it: KeyError: 'CreationDate'"


def test_floors_stop_a_collection_before_anything_is_written(store, tmp_path, monkeypatch):
    def half(raw, data):
        doc = read_opinion(raw, data)
        return replace(doc, text=doc.text[:len(doc.text) // 2], paragraphs=doc.paragraphs[:1], coverage=.5)
    monkeypatch.setattr(sources, 'READERS', (sources.Reader('federal-courts', 'text/plain', '*.txt', half),))
    with pytest.raises(BadInput, match=r'1 document\(s\) lost text .*federal-courts/opinion-900001.*coverage 0.5000, floor 0.98'):
        collect(store, tmp_path/'out', only=['federal-courts'])
    assert not (tmp_path/'out').exists()
    assert collect(store, tmp_path/'out', only=['federal-courts'], floors=())['documents'] == 1


@pytest.mark.parametrize('change, warning', [
    (dict(text='Menu. Search.'), '2 words in the middle document'), (dict(as_of=None), 'of documents have a date'),
    (dict(as_of='1999-01-01'), 'the newest document is of 1999-01-01'), (dict(title='x' * 400), 'an odd title in'), (dict(raw_path='elsewhere'), 'files are in a document')])
def test_canaries_notice_a_changed_site(store, change, warning):
    raws = [r for r in read_store(store) if r.source_id == 'uscode']
    docs, _ = read_all(store, raws)
    assert canary_warnings(raws, docs) == []
    assert any(warning in w for w in canary_warnings(raws, [replace(d, **change) for d in docs]))


@pytest.mark.parametrize('max_words', [1, 20, 220, 5000])
def test_law_is_in_exactly_one_chunk(tmp_path, max_words):
    collect(sample_store(), tmp_path)
    for doc in read_corpus(tmp_path).documents.values():
        chunks = chunk_document(doc, max_words)
        assert all(doc.text[c.start:c.end] == c.text and c.citation.startswith(doc.citation) for c in chunks)
        assert all(a.end <= b.start for a, b in zip(chunks, chunks[1:]))
        for p in filter(is_law, doc.paragraphs): assert sum(c.start <= p['start'] and p['end'] <= c.end for c in chunks) == 1
        for c in chunks:
            inside = [p for p in doc.paragraphs if is_law(p) and c.start <= p['start'] < c.end]
            assert len(c.text.split()) <= max_words or len(inside) == 1


@pytest.mark.skipif(not STORE, reason='IMMIG_STORE is not set: the real store is not on this machine')
def test_the_real_store_is_accounted_for(tmp_path):
    counts = collect(STORE, tmp_path)
    with open(os.path.join(STORE, 'manifest.jsonl')) as f: rows = [json.loads(line) for line in f]
    assert accounted(tmp_path) == sorted(r['path'] for r in rows)
    assert sum(c['files'] for c in counts['sources'].values()) == len(rows)
    assert [r['path'] for r in read_jsonl(tmp_path/'rejects.jsonl')] == [r['path'] for r in rows if r['source_id'] == 'ecfr' and r['path'].endswith('.json')]
    assert counts['twins'] >= 11
    for source, least in (('uscode', 283), ('uscis-policy-manual', 114), ('uscis-forms', 20), ('federal-courts', 25), ('dhs-stats', 35), ('uscis-civics', 1)):
        assert counts['sources'][source]['documents'] >= least and counts['sources'][source]['rejects'] == 0, source
    for doc in read_corpus(tmp_path).documents.values():
        assert doc.coverage is None or doc.coverage >= (.95 if doc.raw_path.endswith(('.pdf', '.html')) or doc.source_id == 'dhs-stats' else .98), doc.doc_id
        assert len(doc.text.encode()) < 2_000_000, doc.doc_id
