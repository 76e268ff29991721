#!/usr/bin/env python3
"""Builds the sample store: instruction PDFs, manifest.jsonl and written.jsonl, the same bytes each time.

    python tools/make_sample.py            write into immig_research/sample
    python tools/make_sample.py --check    write nothing, exit 1 if a file differs from what would be written

Sources are in tools/sample: `<form>instr.txt` (text of a PDF), `<chapter>.print.txt` (of a browser's print),
`meta-*.jsonl` (manifest rows without sha256 and bytes) and `written-*.jsonl` (hand-written pairs).
Markdown, text and HTML files of the store are written by hand and only hashed here. The PDFs are drawn
without a library, so that no version of one can change their bytes: base-14 fonts, no compression, no dates.
"""
import argparse
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT/'tools'/'sample'
SAMPLE = ROOT/'immig_research'/'sample'
COLUMNS = ('source_id', 'url', 'path', 'media_type', 'sha256', 'bytes', 'retrieved_at', 'license', 'as_of', 'as_of_basis',
           'title', 'origin')
# Advance widths (1/1000 em) of the characters 32-126, from Adobe's font metrics for the base-14 fonts.
WIDTHS = {
    'F1': [250, 333, 408, 500, 500, 833, 778, 180, 333, 333, 500, 564, 250, 333, 250, 278, 500, 500, 500, 500, 500, 500, 500, 500,
           500, 500, 278, 278, 564, 564, 564, 444, 921, 722, 667, 667, 722, 611, 556, 722, 722, 333, 389, 722, 611, 889, 722, 722,
           556, 722, 667, 556, 611, 722, 722, 944, 722, 722, 611, 333, 278, 333, 469, 500, 333, 444, 500, 444, 500, 444, 333, 500,
           500, 278, 278, 500, 278, 778, 500, 500, 500, 500, 333, 389, 278, 500, 500, 722, 500, 500, 444, 480, 200, 480, 541],
    'F2': [250, 333, 555, 500, 500, 1000, 833, 278, 333, 333, 500, 570, 250, 333, 250, 278, 500, 500, 500, 500, 500, 500, 500, 500,
           500, 500, 333, 333, 570, 570, 570, 500, 930, 722, 667, 722, 722, 667, 611, 778, 778, 389, 500, 778, 667, 944, 722, 778,
           611, 778, 722, 556, 667, 722, 722, 1000, 722, 722, 667, 333, 278, 333, 581, 500, 333, 500, 556, 444, 556, 444, 333, 500,
           556, 278, 333, 556, 278, 833, 556, 500, 556, 556, 444, 389, 333, 556, 500, 722, 500, 500, 444, 394, 220, 394, 520]}
WIDTH, HEIGHT, MARGIN, SIZE, LEADING = 612, 792, 36, 11, 14


def rows(path):
    "The JSON rows of the file `path`."
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]


def text_width(text, font, size):
    "Width in points of `text` in `font` at `size`."
    return sum(WIDTHS[font][ord(c) - 32] for c in text)*size/1000


def wrap(text, font, size, room):
    "Lines of `text`, broken at blanks only, each at most `room` points wide."
    lines, line = [], ''
    for word in text.split():
        longer = f'{line} {word}'.strip()
        if line and text_width(longer, font, size) > room: lines.append(line); line = word
        else: line = longer
    return lines + [line]


def read_form(path):
    "Head fields (dict) and paragraphs ((kind, text) pairs) of the form source `path`."
    head, _, body = path.read_text(encoding='ascii').partition('\n\n')
    fields = dict(line.split(': ', 1) for line in head.splitlines())
    paragraphs = []
    for line in (l.strip() for l in body.splitlines()):
        if not line: continue
        mark, _, rest = line.partition(' ')
        if mark == '#': paragraphs.append(('heading', rest))
        elif mark[:-1].isdigit() and mark.endswith('.'): paragraphs.append(('item', line))
        elif len(mark) == 2 and mark[0].isupper() and mark.endswith('.'): paragraphs.append(('letter', line))
        else: paragraphs.append(('text', line))
    return fields, paragraphs


def show(text, x, y, font='F1', size=SIZE):
    "Drawing commands that put `text` at `x`, `y` in `font` and `size`."
    safe = text.replace('\\', r'\\').replace('(', r'\(').replace(')', r'\)')
    return f'BT /{font} {size} Tf 1 0 0 1 {x:.2f} {y:.2f} Tm ({safe}) Tj ET\n'


def title_block(fields):
    "Commands of the first page's head and the height where the text may begin."
    lines = wrap(fields['title'], 'F2', 15, 400)
    out = ''.join(show(line, MARGIN, 745 - 18*i, 'F2', 15) for i, line in enumerate(lines))
    low = 745 - 18*len(lines)
    for i, (line, font) in enumerate((('Department of Homeland Security', 'F2'), ('U.S. Citizenship and Immigration Services', 'F1'))):
        out += show(line, MARGIN, low - 13*i, font, 10)
    for i, line in enumerate(('USCIS', f"Form {fields['form']}", f"OMB No. {fields['omb']}", f"Expires {fields['expires']}")):
        out += show(line, 480, 745 - 13*i, 'F2' if i < 2 else 'F1', 10)
    return out, low - 45


def set_pages(fields, paragraphs):
    "Commands of each page, without stamp and footer."
    out, y = title_block(fields)
    pages = [out]
    for kind, text in paragraphs:
        font, size, indent = ('F2', 12, 4) if kind == 'heading' else ('F1', SIZE, {'text': 0, 'item': 0, 'letter': 18}[kind])
        hang = 0 if kind in ('heading', 'text') else 16
        lines = wrap(text, font, size, WIDTH - 2*MARGIN - indent - hang)
        if y - LEADING*(len(lines) + 2*(kind == 'heading')) < 50: pages.append(''); y = 745
        if kind == 'heading':
            y -= 6
            pages[-1] += f'0.85 g {MARGIN} {y - 5:.2f} {WIDTH - 2*MARGIN} 19 re f 0 g\n'
        for i, line in enumerate(lines):
            pages[-1] += show(line, MARGIN + indent + (hang if i else 0), y, font, size)
            y -= LEADING
        y -= 6
    return pages


def stamp(lines):
    "Commands of a leftover stamp of `lines` in the layer that viewers hide and text extraction reads."
    drawn = ''.join(show(line, (WIDTH - text_width(line, 'F2', 54))/2, 540 - 72*i, 'F2', 54) for i, line in enumerate(lines))
    return f'/OC /Stamp BDC\n0.8 g\n{drawn}0 g\nEMC\n'


def make_pdf(path):
    "Bytes of the PDF drawn from the form source `path`."
    fields, paragraphs = read_form(path)
    pages = set_pages(fields, paragraphs)
    marked = [part.strip() for part in fields.get('stamp', '').split('|') if part.strip()]
    layers = ' /OCProperties << /OCGs [5 0 R] /D << /Order [5 0 R] /OFF [5 0 R] >> >>' if marked else ''
    kids = ' '.join(f'{6 + 2*i} 0 R' for i in range(len(pages)))
    objects = [f'<< /Type /Catalog /Pages 2 0 R{layers} >>', f'<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>']
    objects += [f'<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>' for name in ('Times-Roman', 'Times-Bold')]
    objects.append('<< /Type /OCG /Name (Stamp) >>')
    resources = '/Font << /F1 3 0 R /F2 4 0 R >>' + (' /Properties << /Stamp 5 0 R >>' if marked else '')
    for i, page in enumerate(pages):
        foot = f"Form {fields['form']} Instructions   {fields['edition']}"
        last = f'Page {i + 1} of {len(pages)}'
        drawn = (stamp(marked) if marked else '') + show(foot, MARGIN, 22, size=9) + \
            show(last, WIDTH - MARGIN - text_width(last, 'F1', 9), 22, size=9) + page
        objects.append(f'<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Resources << {resources} >> /Contents {7 + 2*i} 0 R >>')
        objects.append(f'<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream')
    return write_objects(objects)


def flow(text, size, room):
    "Lines of `text` as lists of (x, word, is it a footnote's mark); a mark `[1]` stands right behind its word."
    lines, x, blank = [[]], 0, text_width(' ', 'F1', size)
    for word in text.replace('[', ' [').split() if not text.startswith('[^') else text.split():
        mark = word.startswith('[') and word.endswith(']') and word[1:-1].isdigit()
        wide = text_width(word, 'F1', 9 if mark else size)
        if lines[-1] and not mark and x + wide > room: lines.append([]); x = 0
        lines[-1].append((x - blank + 1 if mark else x, word, mark))
        x += wide + 2 if mark else wide + blank
    return lines


class Print:
    "Pages as a browser prints them: text from above, marks of footnotes drawn after it, then head and foot."
    def __init__(self): self.pages, self.marks, self.y = [''], [[]], 735

    def room(self, height):
        "Go to a new page unless `height` points are left."
        if self.y - height >= 36: return
        self.pages.append(''); self.marks.append([]); self.y = 750

    def line(self, words, left, size):
        "Draw one line of `words`."
        plain = ''
        for x, word, mark in words:
            if mark: self.marks[-1].append(show(word, left + x, self.y + 4.5, size=9))
        run, start = [], None
        for x, word, mark in [*words, (0, '', True)]:
            if mark:
                if run: plain += show(' '.join(run), left + start, self.y, size=size)
                run, start = [], None
            else:
                start = x if start is None else start
                run.append(word)
        self.pages[-1] += plain

    def paragraph(self, text, left=31.5, size=12, leading=18, after=12, bullet=False):
        "Draw `text`."
        for i, words in enumerate(flow(text, size, 581 - left)):
            self.room(leading)
            self.line(words, left, size)
            if bullet and not i: self.pages[-1] += f'{left - 12.75:.2f} {self.y + 1.5:.2f} 3.75 3.75 re f\n'
            self.y -= leading
        self.y -= after

    def table(self, rows):
        "Draw `rows` of cells, each in its rules."
        wide = 549.0/len(rows[0])
        for row in rows:
            cells = [flow(cell, 12, wide - 26) for cell in row]
            high = 18*max(map(len, cells)) + 24
            self.room(high)
            top, low = self.y + 14, self.y + 14 - high
            for i, cell in enumerate(cells):
                left = 31.5 + i*wide
                for x0, y0, w, h in ((left, low, wide, .75), (left, top - .75, wide, .75), (left, low, .75, high),
                                     (left + wide - .75, low, .75, high)):
                    self.pages[-1] += f'{x0:.2f} {y0:.2f} {w:.2f} {h:.2f} re f\n'
                middle = (top + low)/2 + 9*len(cell) - 13
                keep = self.y
                for j, words in enumerate(cell):
                    self.y = middle - 18*j
                    self.line(words, left + 12.75, 12)
                self.y = keep
            self.y = low - 14
        self.y -= 16


def make_print(path):
    "Bytes of the PDF that a browser would print of the chapter in the source `path`."
    head, _, body = path.read_text(encoding='ascii').partition('\n\n')
    fields, out, table = dict(line.split(': ', 1) for line in head.splitlines()), Print(), []
    out.paragraph(fields['trail'], left=28.5, after=15)
    for line in [*body.splitlines(), f"Current as of {fields['current']}"]:
        if line.startswith('| '): table.append(line.strip('| ').split(' | ')); continue
        if table: out.table(table); table = []
        if line.startswith('# '):
            out.y -= 12
            out.paragraph(line[2:], size=30, leading=30)
            for tab in fields['tabs'].split(' | '): out.paragraph(tab, after=6)
            out.y -= 24
        elif line.startswith('## ') or line == 'Footnotes':
            out.y -= 18
            out.paragraph(line.removeprefix('## '), size=23.25, leading=24, after=9)
        elif line.startswith('### '): out.y -= 12; out.paragraph(line[4:], size=16.5, leading=21, after=6)
        elif line.startswith('- '): out.paragraph(line[2:], left=55.5, after=6, bullet=True)
        else: out.paragraph(line, left=440 if line.startswith('Current as of') else 31.5)
    kids = ' '.join(f'{5 + 2*i} 0 R' for i in range(len(out.pages)))
    objects = ['<< /Type /Catalog /Pages 2 0 R >>', f'<< /Type /Pages /Kids [{kids}] /Count {len(out.pages)} >>']
    objects += [f'<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>' for name in ('Times-Roman', 'Times-Bold')]
    title = fields['trail'].split(' > ')[-1] + ' | USCIS'
    for i, page in enumerate(out.pages):
        drawn = page + (show('MENU', 536, 757, size=10) if not i else '') + ''.join(out.marks[i])
        drawn += show(fields['printed'], 24, 769.5, size=8) + show(title, 240, 769.5, size=8)
        drawn += show(fields['url'], 24, 16.5, size=8) + show(f'{i + 1}/{len(out.pages)}', 577, 16.5, size=8)
        objects.append(f'<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] '
                       f'/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> /Contents {6 + 2*i} 0 R >>')
        objects.append(f'<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream')
    return write_objects(objects)


def write_objects(objects):
    "A PDF file of the numbered `objects`; the first one is the catalog."
    out, places = '%PDF-1.5\n', []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f'{number} 0 obj\n{body}\nendobj\n'
    table = ''.join(f'{place:010d} 00000 n \n' for place in places)
    size = len(objects) + 1
    out += f'xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n'
    return out.encode('ascii')


def build(sources=SOURCES, sample=SAMPLE):
    "Path in the store -> bytes of every file that is made from `sources`; hand-written files are read from `sample`."
    made = {f'uscis-forms/{path.stem}.pdf': make_pdf(path) for path in sorted(sources.glob('*instr.txt'))}
    made |= {f'uscis-policy-manual/{path.stem}.pdf': make_print(path) for path in sorted(sources.glob('*.print.txt'))}
    manifest = []
    for meta in sorted(sources.glob('meta-*.jsonl')):
        for row in rows(meta):
            data = made[row['path']] if row['path'] in made else (sample/row['path']).read_bytes()
            row |= dict(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
            manifest.append({name: row[name] for name in COLUMNS} | {k: v for k, v in row.items() if k not in COLUMNS})
    manifest.sort(key=lambda row: row['path'])
    if left := set(made) - {row['path'] for row in manifest}: raise SystemExit(f'no row in meta-*.jsonl for {sorted(left)}')
    made['manifest.jsonl'] = lines_of(manifest)
    made['written.jsonl'] = lines_of([row for path in sorted(sources.glob('written-*.jsonl')) for row in rows(path)])
    return made


def lines_of(items):
    "The rows `items` as JSON lines."
    return ''.join(json.dumps(item, ensure_ascii=False) + '\n' for item in items).encode('utf-8')


def main():
    "Write the store, or compare with `--check`."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing; exit 1 if a file differs')
    check = parser.parse_args().check
    different = []
    for name, data in build().items():
        path = SAMPLE/name
        if path.exists() and path.read_bytes() == data: continue
        different.append(name)
        if check: continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    print(f"{len(different)} file(s) {'differ' if check else 'written'}: {', '.join(different) or 'none'}")
    return int(check and bool(different))


if __name__ == '__main__': sys.exit(main())
