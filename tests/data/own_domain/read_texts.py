"""Read chapters of another field into a corpus: `python read_texts.py TEXTS CORPUS`."""
import re
import sys
from pathlib import Path

from immig_research.chunk import chunk_document
from immig_research.records import Document, sha256_file, write_jsonl

# What to change for your own texts
FIELD = 'harbour'          # One word; begins the id of every document
RULES = 'Harbour Rules'    # How people cite the texts
ISSUER, PLACE = 'Harbour board', 'Town'
LICENSE = 'CC0-1.0'


def read_paragraphs(text):
    "Paragraphs under headings such as `## 4.1 Nets`: places in the text, ids to cite."
    for section in re.finditer(r'^## ([\d.]+) .+\n((?:(?!#).*\n?)*)', text, re.M):
        for k, p in enumerate(re.finditer(r'\S.*(?:\n.*\S.*)*', section[2]), 1):
            start = section.start(2) + p.start()
            cite = f'{RULES} {section[1]}' + (f' para. {k}' if k > 1 else '')
            yield dict(id=cite, start=start, end=start + len(p[0]), kind='text')


def read_chapter(path):
    "One chapter as a document."
    text = path.read_text(encoding='utf-8')
    title = re.search(r'^# (.+)', text, re.M)
    day = re.search(r'^As of: (\d{4}-\d\d-\d\d)', text, re.M)
    paragraphs = list(read_paragraphs(text))
    if not (title and day and paragraphs):
        sys.exit(f'{path}: needs lines "# Title", "As of: 2026-03-01" and "## 1.1 Title"')
    return Document(
        f'{FIELD}:{path.stem}', title[1], text, source_name=RULES,
        source_type='regulation', agency=ISSUER, jurisdiction=PLACE,
        license_note=LICENSE, source_id=FIELD, raw_path=path.name,
        raw_sha256=sha256_file(path), citation=paragraphs[0]['id'].rpartition('.')[0],
        section_path=[title[1]], paragraphs=paragraphs, as_of=day[1])


if __name__ == '__main__':
    if len(sys.argv) != 3: sys.exit(__doc__)
    texts, corpus = map(Path, sys.argv[1:])
    documents = [read_chapter(p) for p in sorted(texts.glob('*.md'))]
    if not documents: sys.exit(f'{texts}: no file ends in .md; write texts there')
    write_jsonl(corpus/'documents.jsonl', documents)
    chunks = [chunk for d in documents for chunk in chunk_document(d)]
    write_jsonl(corpus/'chunks.jsonl', chunks)
    paragraphs = sum(len(d.paragraphs) for d in documents)
    print(f'{len(documents)} documents, {paragraphs} paragraphs')
