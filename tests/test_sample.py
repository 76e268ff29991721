"The sample store: complete, hashed, spans verbatim, and built from its sources byte for byte."
import hashlib
import importlib.util
import json
from pathlib import Path

import openpyxl
import pypdfium2
import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT/'immig_research'/'sample'
SENTENCE = "Sample text written for this project in plain words: it is not the law's own text and no legal advice."
STRATA = {'adjustment of status', 'admissibility', 'appeals', 'asylum', 'employment authorization', 'employment-based',
          'family-based immigration', 'general', 'humanitarian', 'naturalization', 'nonimmigrant visas', 'removal', 'statistics',
          'travel documents'}
COLUMNS = {'source_id', 'url', 'path', 'media_type', 'sha256', 'bytes', 'retrieved_at', 'license', 'as_of', 'as_of_basis', 'title',
           'origin'}
VERDICTS = ('standalone', 'correct', 'complete', 'supported')


def rows(name):
    "JSON rows of the file `name` of the sample store."
    return [json.loads(line) for line in (SAMPLE/name).read_text(encoding='utf-8').splitlines()]


def folded(path):
    "Text of the store's file `path` with whitespace folded."
    file = SAMPLE/path
    if file.suffix == '.xlsx':
        book = openpyxl.load_workbook(file, read_only=True)
        return ' '.join(str(v) for sheet in book.worksheets for row in sheet.iter_rows(values_only=True) for v in row if v is not None)
    if file.suffix != '.pdf': return ' '.join(file.read_text(encoding='utf-8').split())
    with pypdfium2.PdfDocument(file) as pdf:
        return ' '.join(' '.join(page.get_textpage().get_text_range() for page in pdf).split())


@pytest.fixture(scope='module')
def manifest(): return rows('manifest.jsonl')


@pytest.fixture(scope='module')
def written(): return rows('written.jsonl')


@pytest.fixture(scope='module')
def texts(manifest): return {row['path']: folded(row['path']) for row in manifest}


@pytest.fixture(scope='module')
def make_sample():
    spec = importlib.util.spec_from_file_location('make_sample', ROOT/'tools'/'make_sample.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_file_is_there_with_its_hash(manifest):
    assert len(manifest) >= 45
    for row in manifest:
        data = (SAMPLE/row['path']).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (row['sha256'], row['bytes']), row['path']


def test_manifest_rows_are_whole_sorted_and_single(manifest):
    paths = [row['path'] for row in manifest]
    assert paths == sorted(set(paths))
    for row in manifest:
        assert COLUMNS <= set(row) and all(row[name] for name in COLUMNS), row['path']
        assert row['title'].startswith('Sample: '), row['path']


def test_no_file_is_outside_the_manifest(manifest):
    there = {file.relative_to(SAMPLE).as_posix() for file in SAMPLE.rglob('*') if file.is_file()}
    assert there == {row['path'] for row in manifest} | {'manifest.jsonl', 'written.jsonl'}


def test_every_text_says_that_it_is_a_sample(texts):
    assert [path for path, text in texts.items() if text.count(SENTENCE) != 1] == []


def test_two_forms_carry_the_leftover_stamp_on_each_page(manifest):
    stamped = set()
    for row in manifest:
        if not row['path'].endswith('.pdf'): continue
        with pypdfium2.PdfDocument(SAMPLE/row['path']) as pdf:
            starts = [' '.join(page.get_textpage().get_text_range().split()).startswith('Draft Not for Production 10/17/2024') for page in pdf]
        assert len(starts) in (2, 3) and all(starts) == any(starts), row['path']
        if all(starts): stamped.add(row['path'])
    assert stamped == {'uscis-forms/i-140instr.pdf', 'uscis-forms/i-485instr.pdf'}


def test_written_pairs_cover_all_strata_and_documents(written, manifest):
    assert len(written) >= 60
    assert {row['immigration_subtopic'] for row in written} == STRATA
    assert len({row['qa_id'] for row in written}) == len({row['question'] for row in written}) == len(written)
    shown = {row['path'] for row in manifest if row.get('note') == 'shows the format; no pairs are written about it'}
    assert {row['raw_path'] for row in written} == {row['path'] for row in manifest} - shown


def test_every_written_span_stands_once_in_its_file(written, texts):
    counts = {row['qa_id']: texts[row['raw_path']].count(row['source_span']) for row in written}
    assert {qa_id: n for qa_id, n in counts.items() if n != 1} == {}


def test_every_written_pair_passed_the_second_reading(written):
    verdicts = [json.loads(line) for line in (ROOT/'tools'/'sample'/'review.jsonl').read_text(encoding='utf-8').splitlines()]
    assert sorted(row['qa_id'] for row in verdicts) == sorted(row['qa_id'] for row in written)
    assert [row['qa_id'] for row in verdicts if not all(row[name] is True for name in VERDICTS)] == []


def test_rebuilding_gives_the_same_bytes(make_sample):
    made = make_sample.build()
    assert made == make_sample.build()
    assert {'manifest.jsonl', 'written.jsonl'} < set(made)
    assert [name for name, data in made.items() if (SAMPLE/name).read_bytes() != data] == []
