"""Live pages and browser prints: odd pages, twins of one chapter, and what an independent reader finds in the files."""
import io
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tiling import check_tiling, texts

from immig_research.coverage import shingle_coverage
from immig_research.pdf import Grid, Line, clean_line, find_grids
from immig_research.store import RawFile, Reject, read_bytes, read_store, sample_store
from immig_research.uscis import (
    form_blocks,
    lay_out,
    read_alert_text,
    read_form_pdf,
    read_instructions_pdf,
    read_manual_text,
)
from immig_research.webpages import (
    hang_marks,
    join_tables,
    page_sections,
    place_notes,
    print_parts,
    read_form_page,
    read_form_print,
    read_manual_html,
    read_manual_print,
    take_head,
)

CHAPTER = RawFile('uscis-policy-manual', 'https://www.uscis.gov/policy-manual/volume-12-part-d-chapter-9',
    'pm/volume-12-part-d-chapter-9.html', 'text/html', '', '2026-01-01', 'public domain', as_of='2026-01-01')
PAGE = RawFile('uscis-forms', 'https://www.uscis.gov/i-9', 'uscis-forms/i-9.html', 'text/html', '', '2026-01-01', 'public domain',
    as_of='2026-01-01')


def chapter(body): return read_manual_html(CHAPTER, f'<html><body>{body}</body></html>'.encode())


# --- live pages

def test_html_has_the_ids_of_the_same_chapter_as_text():
    live = chapter('<main><h1>Chapter 9 - Character</h1><p>Intro.<sup>[1]</sup></p><h2>A. One</h2><p>First:</p><ul><li>a; or</li><li>b.'
        '</li></ul><h3>1. Sub</h3><table><tr><td>x</td><td>y</td></tr></table><p>[^ 1] See INA 316.</p></main>')
    text = read_manual_text(replace(CHAPTER, path='pm/volume-12-part-d-chapter-9.txt'), '\n'.join(['Intro. [1]', '[^ 1] See INA 316.',
        '## A. One', 'First:', '- a; or', '- b.', '### 1. Sub', '| x | y |']).encode())
    assert (live.doc_id, live.text, live.paragraphs) == (text.doc_id, text.text, text.paragraphs)
    check_tiling(live)


def test_html_menu_goes_and_a_list_of_links_in_the_law_stays():
    links = ''.join(f'<li><a href="/policy-manual/volume-{i}">Volume {i}</a></li>' for i in range(30))
    forms = ''.join(f'<li><a href="/i-{i}">Form I-{i}</a></li>' for i in range(30))
    doc = chapter(f'<main><div class="field"><ul class="field">{links}</ul></div><h1>Chapter 9 - C</h1>'
        f'<div class="field"><p>Use one of:</p><ul class="field">{forms}</ul></div></main>')
    assert 'Volume 3' not in doc.text and doc.text.count('- Form I-') == 30


def test_html_banner_inside_and_outside_of_the_text_is_kept_once():
    doc = chapter('<div class="alert-message">Out.</div><main><h1>Chapter 9 - C</h1><div class="alert-message"><p>In.</p></div>'
        '<p>Law.</p></main>')
    assert [(p['id'], t) for p, t in zip(doc.paragraphs, texts(doc))] == [('12 USCIS-PM D.9, Alert#1', 'Out.'),
        ('12 USCIS-PM D.9, Alert#2', 'In.'), ('12 USCIS-PM D.9#1', 'Law.')]


def test_html_of_resources_is_no_law():
    doc = chapter('<main><h1>Chapter 9 - C</h1><p>Law.</p><h2>Resources</h2><h3>Legal Authorities</h3><ul><li>INA 316</li></ul></main>')
    assert texts(doc, 'text') == ['Law.'] and texts(doc, 'note') == ['Resources', 'Legal Authorities', 'INA 316']


@pytest.mark.parametrize('body, reason', [('<main></main>', 'no text in the page'), ('<main><h1>C</h1></main>', 'empty file'),
    ('<main><h1>C</h1><p>[Reserved]</p></main>', 'reserved chapter')])
def test_html_rejects(body, reason):
    with pytest.raises(Reject, match=reason): chapter(body)


@pytest.mark.parametrize('data', [b'', b'<main', b'<p>a', b'<main>' * 200 + b'deep', b'<main><table><tr><td>x',
    b'<main>&#0;&bogus;<b>x</main>', b'\xff\xfe'])
def test_html_of_any_kind_is_read_or_rejected(data):
    try: check_tiling(read_manual_html(CHAPTER, data))
    except Reject as e: assert e.reason


def test_html_script_and_comment_are_no_text():
    doc = chapter('<main><h1>Chapter 9 - C</h1><!-- a --><p>Law<script>x()</script><style>p{}</style>.</p><noscript>on</noscript></main>')
    assert doc.text == 'Law.'


def test_form_page_without_details():
    doc = read_form_page(PAGE, b'<main><h1>I-9, Employment Eligibility Verification</h1><p>Keep it.</p></main>')
    assert (doc.doc_id, doc.as_of, doc.section_path) == ('uscis-forms:i-9-page', '2026-01-01', ['Form I-9', 'Web page'])
    assert page_sections(doc) == {'I-9, Employment Eligibility Verification': 'Keep it.'}


def test_form_page_named_by_its_address_only():
    assert read_form_page(PAGE, b'<main><h1>Employment</h1><p>Keep it.</p></main>').citation == 'Form I-9 Web Page'


# --- prints

def test_marks_hang_on_the_nearest_cell_of_their_row():
    lines = [Line('left', 40, 60, 700, 12), Line('right', 210, 240, 700, 12), Line('[7]', 241, 251, 704.5, 9),
        Line('[8][9]', 61, 81, 704.5, 9)]
    assert [(n.text, n.marks) for n in hang_marks(lines)] == [('left', ('8', '9')), ('right', ('7',))]


def test_mark_on_a_line_of_its_own_hangs_on_the_line_above():
    lines = [Line('the end.', 31, 570, 700, 12), Line('Next.', 31, 60, 650, 12), Line('[3]', 31, 41, 686, 9)]
    assert [n.marks for n in hang_marks(lines)] == [('3',), ()]


def test_table_over_three_pages_is_one():
    grid = Grid((30, 200, 580), (740, 700, 660))
    row = lambda a, b, y, page: [Line(a, 40, 90, y, page=page), Line(b, 210, 260, y, page=page)]
    pages = [row('Form', 'Fee', 720, i) + row(f'N-{i}', 'yes', 680, i) for i in range(3)]
    parts = print_parts(pages, [[grid]] * 3)
    assert [[c.text for c in r] for r in parts[0]] == [['Form', 'Fee'], ['N-0', 'yes'], ['N-1', 'yes'], ['N-2', 'yes']] and len(parts) == 1


def test_two_tables_stay_two():
    one = [[Line('a', 0, 1, 1)], [Line('b', 0, 1, 1)]]
    assert join_tables(one, [[Line('c', 0, 1, 1)]], True) is None and join_tables(one, [[Line('c', 0, 1, 1)] * 2], False) is None


def test_underlines_are_no_table():
    assert find_grids([(31, y, 200, y + 0.75) for y in range(100, 700, 18)]) == []


def test_notes_that_nobody_calls_stay_at_the_end():
    assert place_notes(['Law.', '[^ 1] a', '[^ 2] b']) == ['Law.', '[^ 1] a', '[^ 2] b']


def test_tabs_far_down_the_page_are_text():
    lines = ['# Chapter 1 - A', *['Law.'] * 20, 'Resources (3)']
    assert take_head(lines)[0] == ['Law.'] * 20 + ['Resources (3)']


@pytest.mark.parametrize('read', [read_manual_print, read_form_print, read_form_pdf])
@pytest.mark.parametrize('data', [b'', b'%PDF-1.4', b'<html></html>'])
def test_print_that_is_no_pdf(read, data):
    raw = replace(CHAPTER, path='uscis-forms/i-9.pdf')
    with pytest.raises(Reject, match='not a readable PDF'): read(raw, data)


def test_form_items_and_parts():
    lines = [Line('Part 1. You', 36, 90, 700, bold=True), Line('1.a. - 1.c. are for persons.', 36, 200, 680, gap=20),
        Line('1.a. State 1.b. ZIP Code', 36, 200, 660, gap=20), Line('Part 1. You (continued)', 36, 200, 600, gap=60)]
    blocks = form_blocks(lines, 'Form I-9')
    assert [p['id'] for p in lay_out(blocks)[1]] == ['Form I-9, Part 1', 'Form I-9, Part 1#1', 'Form I-9, Part 1. Item 1.a',
        'Form I-9, Part 1. Item 1.b', 'Form I-9, Part 1#2']


# --- the real store: every page and print, the nine chapters that stand there twice, and an independent reader

REAL = pytest.mark.skipif(not os.environ.get('IMMIG_STORE'), reason='IMMIG_STORE names no store')


def reader(raw):
    "The function that reads `raw`, None if it is another notebook's."
    name = Path(raw.path).name
    if raw.source_id == 'uscis-policy-manual':
        return {'text/plain': read_manual_text, 'text/html': read_manual_html, 'application/pdf': read_manual_print}[raw.media_type]
    if raw.source_id != 'uscis-forms': return None
    if raw.media_type == 'text/html': return read_form_page
    if raw.media_type == 'text/plain': return None if 'instr' in name else read_alert_text
    return read_form_print if name.endswith('.print.pdf') else read_instructions_pdf if name.endswith('instr.pdf') else read_form_pdf


@pytest.fixture(scope='module')
def real():
    "Each file of USCIS in the real store with its document."
    store = Path(os.environ['IMMIG_STORE'])
    docs = {}
    for raw in read_store(store):
        if read := reader(raw):
            try: docs[raw.path] = raw, read(raw, read_bytes(store, raw))
            except Reject as e: assert e.reason == 'reserved chapter: no text', raw.path
    return store, docs


def sentences(doc, notes=False):
    "Sentences of `doc`, table rows by cell; of its footnotes with `notes`."
    out = []
    for p in doc.paragraphs:
        if (p['kind'] == 'note') != notes: continue
        text = doc.text[p['start']:p['end']]
        cells = [c for row in text.split('\n') for c in row.strip('| ').split(' | ')]
        out += cells if p['kind'] == 'table' else re.split(r'(?<=[.?!;:])\s+(?=[A-Z“"(\[])', re.sub('^- ', '', text))
    return Counter(' '.join(s.split()) for s in out if s.strip())


@REAL
def test_twins_agree(real):
    twins = [(real[1][path.replace('.print.pdf', '.txt')][1], doc) for path, (_, doc) in real[1].items()
        if path.endswith('.print.pdf') and path.replace('.print.pdf', '.txt') in real[1]]
    assert len(twins) >= 9
    for text, printed in twins:
        a, b = sentences(text), sentences(printed)
        assert 2 * (a & b).total() >= 0.98 * (a.total() + b.total()), (text.doc_id, a - b, b - a)
        ids = [[p['id'] for p in d.paragraphs if p['kind'] != 'note'] for d in (text, printed)]
        assert text.doc_id == printed.doc_id and ids[0] == ids[1]
        # The texts lack notes that the prints have, not the other way
        assert not sentences(text, notes=True) - sentences(printed, notes=True)


@REAL
def test_every_page_of_the_store(real):
    assert len(real[1]) >= 130
    for path, (_raw, doc) in real[1].items():
        check_tiling(doc)
        assert doc.coverage >= (0.98 if path.endswith('.txt') and 'manual' in path else 0.95), (path, doc.coverage)
        assert not re.search(r'\d/\d\d, \d+:\d\d [AP]M|Was this page helpful|\[\^|Close All Open All|[\ue000-\uf8ff]', doc.text), path
        notes = [p for p in doc.paragraphs if re.search(r', n\. \d+$', p['id'])]
        assert not path.endswith('.print.pdf') or all('ref' in p for p in notes), path
        assert re.fullmatch(r'\d{4}-\d\d-\d\d', doc.as_of) and doc.as_of <= '2026-08-09', path


def independent(data):
    "Lines of each page as another library reads the PDF in `data`."
    from pdfminer.high_level import extract_text
    return [[clean_line(line) for line in page.splitlines()] for page in extract_text(io.BytesIO(data)).split('\f')]


def without_furniture(files):
    "Lines of each of `files`, path: (document, pages), without those that stand on most pages of a file or in most files of its kind."
    def mask(line, doc): return re.sub(r'\d+', '0', line.replace(doc.title, 'T').replace(doc.url, 'U'))
    shared = Counter(t for doc, pages in files.values() for t in {mask(line, doc) for page in pages for line in page})
    for path, (doc, pages) in files.items():
        seen = Counter(t for page in pages for t in {mask(line, doc) for line in page})
        common = {t for t in seen if len(pages) > 2 and seen[t] > len(pages) / 2 or len(files) > 9 and shared[t] > len(files) / 2}
        kept = [line for page in pages for line in page if line and mask(line, doc) not in common]
        yield path, doc, [re.sub(r'\[\^? ?\d{1,3}\]', '', line) for line in kept]


@REAL
def test_an_independent_reader_finds_nothing_more(real, capsys):
    pytest.importorskip('pdfminer')
    kinds = {}
    for path, (raw, doc) in real[1].items():
        if path.endswith('.pdf'):
            kind = raw.source_id, Path(path).name.endswith('.print.pdf')
            kinds.setdefault(kind, {})[path] = doc, independent(read_bytes(real[0], raw))
    found = {path: shingle_coverage(lines, '\n'.join([doc.text, ' > '.join(doc.section_path), doc.title, doc.url]))
        for files in kinds.values() for path, doc, lines in without_furniture(files)}
    with capsys.disabled(): print('', *(f'{share:.4f} {path}' for path, share in sorted(found.items(), key=lambda f: f[1])[:5]), sep='\n')
    assert len(found) >= 50 and {p: s for p, s in found.items() if s < 0.95} == {}


@REAL
def test_the_text_of_every_chapter_reaches_the_document(real):
    store, docs = real
    low = {}
    for path, (raw, doc) in docs.items():
        if raw.source_id != 'uscis-policy-manual' or raw.media_type != 'text/plain': continue
        lines = [re.sub(r'\[\^? ?\d{1,3}\]', '', clean_line(line)) for line in read_bytes(store, raw).decode().splitlines()]
        low[path] = shingle_coverage(lines, doc.text)
    assert min(low.values()) >= 0.98


def test_sample_pages_are_read():
    store = sample_store()
    paths = [raw.path for raw in read_store(store) if raw.path.endswith(('.html', '.print.pdf')) and reader(raw)]
    docs = [reader(raw)(raw, read_bytes(store, raw)) for raw in read_store(store) if raw.path in paths]
    assert len(docs) >= 3 and min(d.coverage for d in docs) > 0.95
    for doc in docs: check_tiling(doc)
