"""Read the chapters of another field into a corpus: `python read_texts.py TEXTS CORPUS`."""
import re
import sys
from pathlib import Path

from immig_research.chunk import chunk_document
from immig_research.records import Document, sha256_file, write_jsonl

LICENSE = 'CC0-1.0'


def read_chapter(path):
    "One chapter: its sections are its paragraphs, each with an id that can be cited."
    text = path.read_text(encoding='utf-8')
    title = re.match(r'# (.+)', text)[1]
    paragraphs = []
    for section in re.finditer(r'^## ([\d.]+) (.+)\n\n(.+)', text, re.M):
        start, end = section.start(3), section.end(3)
        paragraphs.append(dict(id=f'Harbour Rules {section[1]}', start=start, end=end, kind='text'))
    return Document(f'harbour:{path.stem}', title, text, source_name='Harbour Rules', source_type='regulation', agency='Harbour board',
                    jurisdiction='Town', license_note=LICENSE, source_id='harbour', raw_path=path.name, raw_sha256=sha256_file(path),
                    citation=f'Harbour Rules {paragraphs[0]["id"].split()[-1].split(".")[0]}', section_path=[title], paragraphs=paragraphs,
                    as_of=re.search(r'As of: (\S+)', text)[1])


if __name__ == '__main__':
    texts, corpus = map(Path, sys.argv[1:])
    documents = [read_chapter(p) for p in sorted(texts.glob('*.md'))]
    write_jsonl(corpus/'documents.jsonl', documents)
    write_jsonl(corpus/'chunks.jsonl', [chunk for d in documents for chunk in chunk_document(d)])
    print(f'{len(documents)} documents')
