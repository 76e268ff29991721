"What would bore a reader of 00b_store: every kind of bad path, bad row and bad file."
import json
import os

import pytest

from immig_research.records import BadInput
from immig_research.store import RawFile, Reject, read_bytes, read_store, sample_store

ROW = dict(source_id='uscode', url='https://example.org/', path='uscode/a.md', media_type='text/markdown', sha256='0' * 64,
    retrieved_at='2026-01-01', license='public domain')


def store_of(folder, *rows):
    (folder/'manifest.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in rows))
    return folder


@pytest.mark.parametrize('path', ['/etc/passwd', '../a.md', 'uscode/../../a.md', 'uscode/..', '', '..', 'C:\\a.md',
    'a\\..\\..\\b', 'a\0b', None, 7, ['a']])
def test_a_path_that_leaves_the_folder_names_line_and_path(tmp_path, path):
    with pytest.raises(BadInput, match='line 2: path') as e: read_store(store_of(tmp_path, ROW, {**ROW, 'path': path}))
    assert repr(path) in str(e.value) and '\n' not in str(e.value)


def test_links_may_stay_inside_but_not_leave(tmp_path):
    outside, store = tmp_path/'outside', tmp_path/'store'
    for d in (outside, store/'uscode'): d.mkdir(parents=True)
    (outside/'a.md').write_text('secret'); (store/'uscode'/'a.md').write_text('law')
    os.symlink(store/'uscode', store/'inner'); os.symlink(outside, store/'outer'); os.symlink(outside/'a.md', store/'b.md')
    assert len(read_store(store_of(store, {**ROW, 'path': 'inner/a.md'}))) == 1
    for path in ('outer/a.md', 'b.md'):
        with pytest.raises(BadInput, match='leaves the folder'): read_store(store_of(store, {**ROW, 'path': path}))


def test_a_store_that_is_itself_a_link_is_fine(tmp_path):
    real = tmp_path/'real'; real.mkdir()
    os.symlink(store_of(real, ROW), tmp_path/'link')
    assert read_store(tmp_path/'link')[0].path == 'uscode/a.md'


def test_line_numbers_count_blank_lines(tmp_path):
    (tmp_path/'manifest.jsonl').write_text('\n' + json.dumps(ROW) + '\n\n' + json.dumps({**ROW, 'path': '/x'}) + '\n')
    with pytest.raises(BadInput, match='line 4: path'): read_store(tmp_path)


@pytest.mark.parametrize('column', ['source_id', 'url', 'path', 'media_type', 'sha256', 'retrieved_at', 'license'])
def test_each_required_column_is_missed_by_name(tmp_path, column):
    with pytest.raises(BadInput, match=f'line 1: RawFile row lacks {column}'):
        read_store(store_of(tmp_path, {k: v for k, v in ROW.items() if k != column}))


def test_optional_columns_are_kept_and_unknown_ones_left_out():
    raw = RawFile.from_row({**ROW, 'as_of': '2025-01-01', 'as_of_basis': 'edition', 'bytes': 3, 'note': 'n', 'shape': 'round'})
    assert (raw.as_of, raw.as_of_basis, raw.bytes, raw.note, raw.title) == ('2025-01-01', 'edition', 3, 'n', None)


def test_only_keeps_the_order_of_the_manifest(tmp_path):
    rows = [{**ROW, 'path': f'{n}.md', 'source_id': s} for n, s in enumerate('bab')]
    assert [r.path for r in read_store(store_of(tmp_path, *rows), only={'b'})] == ['0.md', '2.md']
    with pytest.raises(BadInput, match='no files of source c, d in .* it has a, b'): read_store(tmp_path, only=['d', 'b', 'c'])


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path/'f').write_text('')
    with pytest.raises(BadInput, match='no raw store at'): read_store(tmp_path/'f')


def test_bytes_are_checked(tmp_path):
    raw = RawFile.from_row(ROW)
    with pytest.raises(Reject, match='file missing'): read_bytes(tmp_path, raw)
    (tmp_path/'uscode').mkdir(); (tmp_path/'uscode'/'a.md').write_text('x')
    with pytest.raises(Reject) as e: read_bytes(tmp_path, raw)
    assert e.value.reason == 'sha256 differs from the manifest'


def test_the_sample_is_part_of_the_package():
    raws = read_store(sample_store())
    assert len(raws) >= 45 and {r.source_id for r in raws} >= {'uscode', 'uscis-policy-manual', 'uscis-forms'}
