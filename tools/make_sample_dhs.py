#!/usr/bin/env python3
"""Draws the sample decision (PDF) and the sample workbook (XLSX), the same bytes each time; then run make_sample.py.

    python tools/make_sample_dhs.py

Sources: tools/sample/matter-of-a-b.txt (lines; `# ` heading, `= ` centred, `> ` not indented, `^ ` footnote of its page, `--- 317` a new page) and
tools/sample/naturalizations-by-fiscal-year.json (rows of cells).
"""
import io
import json
import sys
import zipfile
from xml.sax.saxutils import escape

from make_sample import MARGIN, SAMPLE, SOURCES, WIDTH, show, text_width, wrap, write_objects

CITE = 'Cite as 27 I&N Dec. 316 (A.G. 2018)'


def page_commands(lines, number):
    "Drawing commands of one page of the decision: head, `lines`, footnotes, printed `number`."
    left, room = MARGIN + 36, WIDTH - 2*MARGIN - 72
    out, y = show(CITE, left, 745, size=10) + show('Interim Decision #3929', 400, 745, size=10), 715
    notes = [line[2:] for line in lines if line.startswith('^ ')]
    for line in (n for n in lines if not n.startswith('^ ')):
        head, centred = line.startswith('# '), line.startswith('= ')
        plain = line[:2] not in ('# ', '= ', '> ')
        text, font = line if plain else line[2:], 'F2' if head else 'F1'
        indent = 24 if plain else 0
        rows = wrap(text, font, 12, room - indent)
        rows = rows[:1] + (wrap(' '.join(rows[1:]), font, 12, room) if rows[1:] else [])
        for i, row in enumerate(rows):
            x = (WIDTH - text_width(row, font, 12))/2 if head or centred else left + (0 if i else indent)
            out += show(row, x, y, font, 12)
            y -= 14
        y -= 6 if head or centred else 3
    y = 70 + 11*sum(len(wrap(n, 'F1', 9, room)) for n in notes)
    for note in notes:
        for row in wrap(note, 'F1', 9, room):
            out += show(row, left, y, size=9)
            y -= 11
    return out + show(str(number), (WIDTH - text_width(str(number), 'F1', 10))/2, 40, size=10)


def decision():
    "Bytes of the sample decision."
    pages = {}
    for line in (SOURCES/'matter-of-a-b.txt').read_text(encoding='ascii').splitlines():
        if line.startswith('--- '): pages[int(line[4:])] = []
        elif line.strip(): pages[max(pages)].append(line.strip())
    kids = ' '.join(f'{5 + 2*i} 0 R' for i in range(len(pages)))
    objects = ['<< /Type /Catalog /Pages 2 0 R >>', f'<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>']
    objects += [f'<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>' for name in ('Times-Roman', 'Times-Bold')]
    for i, (number, lines) in enumerate(sorted(pages.items())):
        drawn = page_commands(lines, number)
        objects.append(f'<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> /Contents {6 + 2*i} 0 R >>')
        objects.append(f'<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream')
    return write_objects(objects)


def cell(value):
    "The XML of one cell."
    if value is None: return '<c/>'
    return f'<c><v>{value}</v></c>' if isinstance(value, int) else f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def workbook():
    "Bytes of the sample workbook: one sheet, no dates, no styles."
    rows = json.loads((SOURCES/'naturalizations-by-fiscal-year.json').read_text(encoding='utf-8'))
    head, ns = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n', 'http://schemas.openxmlformats.org'
    parts = {
        '[Content_Types].xml': f'<Types xmlns="{ns}/package/2006/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
            '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
            '<Override PartName="/xl/worksheets/sheet1.xml" '
            'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
        '_rels/.rels': f'<Relationships xmlns="{ns}/package/2006/relationships"><Relationship Id="rId1" '
            f'Type="{ns}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        'xl/workbook.xml': f'<workbook xmlns="{ns}/spreadsheetml/2006/main" xmlns:r="{ns}/officeDocument/2006/relationships">'
            '<sheets><sheet name="Naturalizations" sheetId="1" r:id="rId1"/></sheets></workbook>',
        'xl/_rels/workbook.xml.rels': f'<Relationships xmlns="{ns}/package/2006/relationships"><Relationship Id="rId1" '
            f'Type="{ns}/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        'xl/worksheets/sheet1.xml': f'<worksheet xmlns="{ns}/spreadsheetml/2006/main"><sheetData>'
            + ''.join(f'<row>{"".join(map(cell, row))}</row>' for row in rows) + '</sheetData></worksheet>'}
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_STORED) as z:
        for name, text in parts.items(): z.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), head + text)
    return out.getvalue()


def build():
    "Path in the store -> bytes."
    return {'bia/27-316.pdf': decision(), 'dhs-stats/naturalizations-by-fiscal-year.xlsx': workbook()}


def main():
    "Write the two files into the sample store."
    for name, data in build().items():
        (SAMPLE/name).parent.mkdir(parents=True, exist_ok=True)
        (SAMPLE/name).write_bytes(data)
        print(name, len(data))


if __name__ == '__main__': sys.exit(main())
