"Whole collections: damage of every kind, twins, determinism; and the real store where IMMIG_STORE is set."
import hashlib
import json
import os
import shutil

import pytest

from immig_research.chunk import chunk_document, is_law
from immig_research.records import BadInput, Document, read_jsonl
from immig_research.sources import collect, merge_twins, read_corpus, sources_table
from immig_research.store import sample_store

STORE = os.environ.get('IMMIG_STORE')


@pytest.fixture
def store(tmp_path):
    "A copy of the sample store that a test may damage."
    return shutil.copytree(sample_store(), tmp_path/'store')


def rows_of(store): return [json.loads(line) for line in (store/'manifest.jsonl').read_text().splitlines()]


def write_rows(store, rows): (store/'manifest.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in rows))


def accounted(out):
    docs = read_jsonl(out/'documents.jsonl', Document)
    return sorted([p for d in docs for p in (d.raw_path, *d.also_in)] + [r['path'] for r in read_jsonl(out/'rejects.jsonl')])


def test_damaged_files_are_counted_and_the_rest_goes_on(store, tmp_path):
    rows = rows_of(store)
    pdf, md, txt = (next(r for r in rows if r['path'].endswith(e)) for e in ('.pdf', '.md', '.txt'))
    broken = b'%PDF-1.7\nnot really'
    (store/pdf['path']).write_bytes(broken); pdf['sha256'] = hashlib.sha256(broken).hexdigest()
    (store/md['path']).write_text('changed by hand')
    (store/txt['path']).unlink()
    rows.append({**md, 'source_id': 'federal-courts', 'media_type': 'text/plain', 'path': 'courts/a.txt'})
    write_rows(store, rows)
    counts = collect(store, tmp_path/'out')
    rejects = {r['path']: r['reason'] for r in read_jsonl(tmp_path/'out'/'rejects.jsonl')}
    assert set(rejects) == {pdf['path'], md['path'], txt['path'], 'courts/a.txt'} and counts['rejects'] == 4
    assert rejects[md['path']] == 'sha256 differs from the manifest' and rejects[txt['path']] == 'file missing'
    assert rejects['courts/a.txt'] == 'no reader yet for federal-courts text/plain' and rejects[pdf['path']]
    assert accounted(tmp_path/'out') == sorted(r['path'] for r in rows)
    assert counts['documents'] == len(rows) - 4 and sources_table(counts).loc['all', 'rejects'] == 4


def test_nothing_to_read_is_bad_input(store, tmp_path):
    rows = rows_of(store)
    write_rows(store, [{**r, 'sha256': '0' * 64} for r in rows])
    with pytest.raises(BadInput, match=f'none of the {len(rows)} files of .* sha256 differs'): collect(store, tmp_path/'out')
    assert not (tmp_path/'out').exists()


def test_the_same_store_gives_the_same_bytes(store, tmp_path):
    for out in ('one', 'two'): collect(store, tmp_path/out)
    for name in ('documents', 'chunks', 'rejects'):
        assert (tmp_path/'one'/f'{name}.jsonl').read_bytes() == (tmp_path/'two'/f'{name}.jsonl').read_bytes()


def test_the_same_section_twice_is_one_document(store, tmp_path):
    rows = rows_of(store)
    law = next(r for r in rows if r['path'].endswith('.md'))
    shutil.copy(store/law['path'], store/'again.md')
    write_rows(store, [*rows, {**law, 'path': 'again.md'}])
    counts = collect(store, tmp_path/'out')
    twin = next(d for d in read_corpus(tmp_path/'out').documents.values() if d.also_in)
    assert (counts['twins'], twin.raw_path, twin.also_in) == (1, law['path'], ['again.md'])
    assert accounted(tmp_path/'out') == sorted(r['path'] for r in rows + [{'path': 'again.md'}])


def test_another_edition_is_a_reject_that_names_the_kept_one():
    new = Document('f:1', 'F', 'The fee is nine dollars and has to be paid by card.', raw_path='new.pdf', as_of='2025-01-01')
    old = Document('f:1', 'F', 'Send five dollars in cash to the office in your town.', raw_path='old.pdf', as_of='2015-01-01')
    kept, others = merge_twins([old, new])
    assert kept.raw_path == 'new.pdf' and kept.also_in == []
    assert [(d.raw_path, why) for d, why in others] == [('old.pdf', 'another edition of f:1, which was read from new.pdf')]


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
    assert counts['sources']['uscode']['documents'] == 282 and counts['sources']['uscis-policy-manual']['documents'] >= 80
    assert counts['twins'] >= 2 and counts['sources']['uscis-forms']['documents'] >= 10
    for doc in read_corpus(tmp_path).documents.values(): assert doc.coverage is None or doc.coverage >= .98, doc.doc_id
