"Tables and reports: every cell said once, addresses right, sums kept; and the real tables where IMMIG_STORE is set."
import csv
import io
import os
import re
import zipfile
from collections import Counter

import pytest

from immig_research.dhs import (
    cell_address,
    cell_coverage,
    find_header,
    is_number,
    label_of,
    long_table,
    once,
    read_civics,
    read_grid,
    read_report,
    read_sheets,
    read_statistics_table,
    read_statistics_workbook,
    report_lines,
    row_cells,
    ruled_lines,
    table_in_words,
    visual_rows,
)
from immig_research.pdf import Grid, Line
from immig_research.store import RawFile, Reject, read_bytes, read_store, sample_store

STORE = os.environ.get('IMMIG_STORE')
real = pytest.mark.skipif(not STORE, reason='IMMIG_STORE is not set: the real store is not on this machine')
RAW = RawFile('dhs-stats', 'https://www.dhs.gov/', 'dhs-stats/t.csv', 'text/csv', '', '2026-01-01', 'none', title='Permits by country')


def said(doc): return [(doc.text[p['start']:p['end']], p.get('cell')) for p in doc.paragraphs]


def column(address):
    n = 0
    for letter in re.match('[A-Z]+', address)[0]: n = n * 26 + ord(letter) - 64
    return n - 1


@pytest.mark.parametrize('n', [0, 25, 26, 51, 52, 701, 702, 16_383])
def test_addresses_count_as_a_spreadsheet_does(n): assert column(cell_address(6, n)) == n and cell_address(6, n).endswith('7')


@pytest.mark.parametrize('text', ['a,b\r\n1,2\r\n', 'a|b\n1|2', 'a\tb\n1\t2', 'a;b\n1;2', '\ufeffa,b\n1,2'])
def test_delimiters_and_line_ends(text): assert read_grid(text.encode()) == [['a', 'b'], ['1', '2']]


@pytest.mark.parametrize('cell, number', [('1,204', True), ('$5.00', True), ('12%', True), ('2018-11-29', False), ('4Pending', False), ('22,', False), ('1,20', False), ('12,345,678', True), ('', False), ('-', False)])
def test_numbers(cell, number): assert is_number(cell) is number


def test_each_cell_of_a_plain_table_is_one_sentence_with_its_address():
    grid = [['Permits by country'], [], ['Country', 'FY 2018', 'FY 2019'], ['Haiti', '1,200', ''], ['Nepal', '30', '40'], ['Source: made up.']]
    data = '\n'.join(','.join(f'"{c}"' for c in row) for row in grid).encode()
    doc, = read_statistics_table(RAW, data)
    cells = {cell: text for text, cell in said(doc)}
    assert cells['B4'] == 'Permits by country: Haiti, FY 2018: 1,200.' and cells['C5'] == 'Permits by country: Nepal, FY 2019: 40.'
    assert 'C4' not in cells and cells['A6'] == 'Source: made up.' and doc.coverage == 1.0


def test_a_monthly_row_whose_sum_is_given():
    store = sample_store()
    raw = next(r for r in read_store(store, ['dhs-stats']) if 'fy2010' in r.path)
    doc, = read_statistics_table(raw, read_bytes(store, raw))
    for sector in ('Miami', 'El Paso', 'Rio Grande Valley'):
        values = [int(m[1].replace(',', '')) for text, _ in said(doc) if f'the {sector} Sector' in text and (m := re.search(r'were ([\d,]+)\.$', text))]
        assert len(values) == 13 and sum(values[:12]) == values[12]
    lines = csv.reader(io.StringIO(read_bytes(store, raw).decode()), delimiter='|')
    grid = list(lines)
    for text, cell in said(doc):
        if m := re.search(r'were ([\d,]+)\.$', text): assert grid[int(re.search(r'\d+', cell)[0]) - 1][column(cell)] == m[1]


def test_a_long_table_needs_its_names_and_finds_other_columns():
    grid = [['Fiscal Year', 'Month (abbv)', 'Component', 'Encounter Type', 'Encounter Count'], ['2024 (FYTD)', 'OCT', 'Office of Field Operations', 'Inadmissibles', '5'],
        ['2024 (FYTD)', 'OCT', 'Office of Field Operations', 'Expulsions', '1'], ['2024 (FYTD)', 'NOV', 'U.S. Border Patrol', 'Apprehensions', '7']]
    table = long_table(grid)
    assert (table.outer, table.inner) == (['Fiscal Year', 'Month (abbv)', 'Component'], ['Encounter Type'])
    assert long_table([['Fiscal Year', 'Region', 'Count']]) is None
    docs = read_statistics_table(RAW, '\n'.join(','.join(r) for r in grid).encode())
    assert [d.coverage for d in docs] == [1.0, 1.0] and 'In fiscal year 2024 to date (FYTD), CBP encounters nationwide were 13 (sum of 3 rows).' in docs[0].text
    assert 'October 2023 (fiscal year 2024 to date (FYTD)), Office of Field Operations: Inadmissibles 5; Expulsions 1. Together 6.' in docs[1].text


def test_labels_keep_their_codes():
    assert label_of('State', 'PR') == 'Puerto Rico (PR)' and label_of('State', 'XX') == 'XX' and label_of('Citizenship', 'MEXICO') == 'Mexico'


def test_coverage_counts_each_number_as_often_as_it_stands():
    assert cell_coverage(['5', '5', '5'], [], '5 and 5') == pytest.approx(2 / 3, abs=1e-4)
    assert cell_coverage(['5'], ['Haiti', 'Nepal'], 'Haiti: 5') == pytest.approx(2 / 3, abs=1e-4)


def test_a_workbook_with_a_cover_sheet_and_two_levels():
    openpyxl = pytest.importorskip('openpyxl')
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.active.title = 'Cover'; book.active['A1'] = 'Read me first'
    sheet = book.create_sheet('Table 1')
    for row in (['Country', 'Received', 'Approved'], ['Haiti', 12_345, 0.5], ['Nepal', 7, None]): sheet.append(row)
    book.save(out)
    doc, = read_statistics_workbook(RAW, out.getvalue())
    assert ('Permits by country, Table 1: Haiti, Received: 12,345.', 'B2') in said(doc) and doc.doc_id.endswith(':sheet-2') and doc.coverage == 1.0


def test_an_archive_that_unpacks_to_too_much_is_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('xl/workbook.xml', b'0' * 201_000_000)
    with pytest.raises(Reject, match='more than 200 MB'): read_sheets(out.getvalue())


def test_header_is_not_a_row_of_numbers():
    assert find_header([['T'], ['', '2018', '2019'], ['Haiti', '1', '2']]) == 1
    with pytest.raises(Reject): find_header([['1', '2'], ['3', '4']])


def test_rows_that_a_reader_sees_are_put_together_from_left_to_right():
    lines = [Line('7', 300, 310, 500), Line('Haiti', 50, 80, 501), Line('5', 200, 210, 500), Line('Text', 50, 80, 480)]
    assert [n.text for n in visual_rows(lines)] == ['Haiti 5 7', 'Text']
    assert row_cells(visual_rows(lines)[0]) == ['Haiti', '5', '7']


def test_names_of_table_rows_that_repeat_on_pages_are_kept():
    pages = [[Line('Report', 0, 0, 700), Line('Miami 5 6', 0, 0, 600), Line('Houlton 7 8', 0, 0, 500), Line(f'{k}', 0, 0, 30)] for k in range(4)]
    assert [[n.text for n in rows] for rows in once(pages)] == [['Report', 'Miami 5 6', 'Houlton 7 8']] + [['Miami 5 6', 'Houlton 7 8']] * 3


TABLE = [['Country', '2018', '2019'], ['Haiti', '5', '7'], ['TOTAL', '5', 'D']]


def test_a_sure_table_is_said_in_words():
    assert table_in_words(TABLE, 'Visits') == ['Visits: Haiti: 2018 5; 2019 7.', 'Visits: TOTAL: 2018 5; 2019 D.']
    parts = [TABLE[0], ['Islands', '', ''], TABLE[1], TABLE[2]]
    assert table_in_words(parts, 'Visits')[0] == 'Visits: Islands, Haiti: 2018 5; 2019 7.'
    assert table_in_words(parts, 'Visits')[1] == 'Visits: TOTAL: 2018 5; 2019 D.'
    assert table_in_words([['', 'Oct', 'Jan'], ['Country', 'to Dec', 'to Mar'], ['Haiti16', '5', '7']], 'Visits') == [
        'Visits: Haiti: Oct to Dec 5; Jan to Mar 7.']


@pytest.mark.parametrize('rows', [
    [TABLE[0], ['Haiti', '5 7', '']], [TABLE[0], ['Haiti', '5', '7'], ['Cuba', '', '9']],    # not one figure in each cell
    [['Country', '2018', ''], *TABLE[1:]], [['', 'Total', 'Total'], *TABLE[1:]],             # not one name over each column
    [TABLE[0], ['', '5', '7']], [TABLE[0], ['Haiti', '5', 'rose to 7']], TABLE[1:], [],      # no label, prose, no names
])
def test_a_doubtful_table_is_not_said_in_words(rows): assert table_in_words(rows, 'Visits') == []


def test_a_graph_is_not_said_in_words():
    lines = [Line('FY 2009', 245, 290, 520), Line('FY 2015', 320, 370, 520), Line('Median Age', 110, 160, 500), Line('40', 250, 260, 500),
        Line('41', 330, 340, 500), Line('6.3', 469, 483, 500)]
    assert [n.kind for n in report_lines(visual_rows(lines), 1, 11.0)] == ['text', 'table'] and ruled_lines(lines, [], 1) == ([], 0)


def test_a_raised_number_of_a_note_is_no_figure():
    ruled = [Line('Table 1. Visits', 50, 200, 715, 11), Line('Country', 55, 80, 690), Line('2018', 205, 220, 690), Line('Haiti', 55, 80, 670),
        Line('16', 82, 88, 673, 7.0), Line('5', 205, 210, 670)]
    assert [n.text for n in ruled_lines(ruled, [Grid((50, 200, 300), (700, 680, 660))], 1)[0]] == ['Table 1. Visits: Haiti: 2018 5.']


def test_civics_answers_stand_under_their_question():
    data = b'[{"id": 7, "question": "Name one.", "answers": ["speech", "press\\nassembly"], "isRequiredFor65Plus": true}]'
    doc = read_civics(RawFile('uscis-civics', '', 'civics-2025.json', 'application/json', '', '2026-01-01', ''), data)
    assert doc.citation == 'Civics test (2025)' and doc.paragraphs[0]['id'] == 'Civics test (2025), question 7'
    assert doc.text.splitlines()[1:] == ['- speech', '- press', '- assembly'] and '65' in doc.text


@real
def test_the_monthly_tables_say_every_number_of_the_files():
    for raw in (r for r in read_store(STORE, ['dhs-stats']) if '/usbp-monthly' in r.path):
        data = read_bytes(STORE, raw)
        doc, = read_statistics_table(raw, data)
        want = Counter(c for line in data.decode().splitlines() for c in line.split('|') if re.fullmatch(r'[\d,]+', c))
        have = Counter(m[1] for text, _ in said(doc) if (m := re.search(r'were ([\d,]+)\.$', text)))
        assert have == want and len(want) > 200, raw.path
        names = {text for p in doc.paragraphs if p['kind'] == 'heading' for text in [doc.text[p['start']:p['end']]]}
        assert {'Tucson Sector', 'Yuma Sector', 'Southwest Border', 'Monthly Total'} <= names and len(names) in (24, 25)


@real
def test_every_row_of_the_encounters_can_be_found_again():
    raw = next(r for r in read_store(STORE, ['dhs-stats']) if 'nationwide-encounters' in r.path)
    data = read_bytes(STORE, raw)
    rows = list(csv.DictReader(io.StringIO(data.decode('utf-8-sig').lstrip('\x0c'))))
    docs = {d.doc_id.rsplit(':', 1)[1]: d for d in read_statistics_table(raw, data)}
    assert len(rows) == 42_532 and sorted(docs) == [f'fy{y}-{k}' for y in (2020, 2021, 2022, 2023) for k in ('rows', 'totals')]
    for year in ('2020', '2021', '2022', '2023'):
        total = sum(int(r['Encounter Count']) for r in rows if r['Fiscal Year'] == year)
        assert f'CBP encounters nationwide were {total:,} (sum of' in docs[f'fy{year}-totals'].text
        doc = docs[f'fy{year}-rows']
        assert sum(int(n.replace(',', '')) for n in re.findall(r'Together ([\d,]+)\.', doc.text)) == total
        assert len(doc.text.encode()) < 2_000_000
    for i in range(0, len(rows), 997):
        r = rows[i]
        doc = docs[f'fy{r["Fiscal Year"]}-rows']
        text = next(t for t, cell in said(doc) if (m := re.fullmatch(r'A(\d+):I(\d+)', cell)) and int(m[1]) <= i + 2 <= int(m[2]))
        who = re.search(re.escape(label_of('Citizenship', r['Citizenship'])) + r' ([^;.]*(?:\([^)]*\))*[^;.]*)', text)[1]
        assert f'({r["State"]})' in text and f'{int(r["Encounter Count"]):,} ({r["Title of Authority"]})' in who


@real
def test_reports_are_read_whole():
    tables = {}
    for raw in (r for r in read_store(STORE, ['dhs-stats']) if r.path.endswith('.pdf')):
        doc = read_report(raw, read_bytes(STORE, raw))
        assert doc.coverage >= .95 and all(re.match(r'p\. \d+, (?:line|table) \d+', p['cell']) for p in doc.paragraphs), raw.path
        if 'monthly-encounters' in raw.path: assert doc.text.count('Tucson | ') == 21
        sure = {re.match(r'p\. \d+, table \d+', p['cell'])[0] for p in doc.paragraphs if ', table ' in p['cell']}
        tables[raw.path.split('/')[-1][:12]] = len(sure), sum(p.get('doubtful', 0) for p in doc.paragraphs)
    assert tables['us-border-pa'] == (21, 0) and tables['fy-2022-annu'] == (4, 1) and tables['ola-signed-f'] == (5, 0)
    assert tables['stem-related'] == (0, 5) and tables['characterist'] == (0, 0)
