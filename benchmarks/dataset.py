"""How the dataset's steps grow with the corpus, and what grounding catches.

A corpus of 0.1, 1 and 10 times the size: every tenth document, all, and ten copies in each of which a quarter of the
long words is another word. Chunking, grounding, deduplication and split run once each in a process of its own.

    make bench NAME=dataset            the real store that IMMIG_STORE names, else the packaged sample
"""
import argparse
import os
import random
import re
import sys
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench import row, run_child, turns, write_result

from immig_research.chunk import chunk_document
from immig_research.dataset import draft_pairs, sift
from immig_research.filters import near_doubles
from immig_research.grounding import caught_share, ground
from immig_research.records import Document, QAPair, read_jsonl, write_jsonl
from immig_research.sources import collect, read_corpus
from immig_research.split import certify, split_pairs
from immig_research.store import Reject, sample_store

SIZES = ('0.1x', '1x', '10x')
STEPS = ('chunk', 'ground', 'dedup', 'split')
KEPT = re.compile(r'(?:sub)?(?:section|paragraph|clause|chapter)s?|applications?|petitions?|instructions?|affidavits?|eligible|ineligible|permitted|authorized|required|applicable|sufficient|available')


def changed(text, copy):
    "The text of a copy: a quarter of its long words with another letter, every length as it was."
    def other(m):
        word = m[0]
        if KEPT.fullmatch(word) or zlib.crc32(f'{copy}{word}'.encode()) % 4: return word
        return word[:2] + 'qxzjk'[copy % 5] + word[3:]
    return re.sub(r'\b[a-z]{8,}\b', other, text) if copy else text


def copies(folder, size):
    "The documents and the pairs of a corpus of this size."
    documents, pairs = read_jsonl(Path(folder)/'documents.jsonl', Document), read_jsonl(Path(folder)/'pairs.jsonl', QAPair)
    if size == '0.1x':
        documents = documents[::10]
        ids = {d.doc_id for d in documents}
        return documents, [p for p in pairs if p.source_doc_id in ids]
    out = [], []
    for copy in range(10 if size == '10x' else 1):
        mark = f'{copy}/' if copy else ''
        out[0].extend(replace(d, doc_id=mark + d.doc_id, text=changed(d.text, copy)) for d in documents)
        out[1].extend(replace(p, qa_id=mark + p.qa_id, parent_id=p.parent_id and mark + p.parent_id, source_doc_id=mark + p.source_doc_id, citation=mark + p.citation,
            question=changed(p.question, copy) + f' {mark}', answer=changed(p.answer, copy), source_span=changed(p.source_span, copy)) for p in pairs)
    return out


def child(size, step, folder):
    "One step on one size; gives how many records it went over."
    documents, pairs = copies(folder, size)
    if step == 'chunk': return lambda: [chunk_document(d) for d in documents] and len(documents)
    if step == 'dedup': return lambda: [near_doubles(pairs)] and len(pairs)
    if step == 'split': return lambda: [split_pairs(pairs)] and len(pairs)
    by_id = {d.doc_id: d for d in documents}
    def work():
        lost = 0
        for p in pairs:
            try: ground(p, by_id[p.source_doc_id])
            except Reject: lost += 1
        if lost > 0.02 * len(pairs): raise RuntimeError(f'{lost} of {len(pairs)} true pairs are turned away')
        return len(pairs)
    return work


def grounding_rows(pairs, documents):
    "What grounding catches of 1,000 falsified answers, and what it turns away of the true ones; the reworded apart."
    rows, drawn = [], random.Random(42)
    for what, some in (('all pairs', pairs), ('reworded pairs', [p for p in pairs if p.parent_id])):
        some = drawn.sample(some, len(some))
        caught = caught_share(some[:1300], documents)
        n = sum(of for _, of in caught.values())
        rows.append(row('ours', what, 'falsified_caught', [sum(c for c, _ in caught.values()) / n], f'share of {n}'))
        lost = 0
        for p in some[:1000]:
            try: ground(p, documents[p.source_doc_id])
            except Reject: lost += 1
        rows.append(row('ours', what, 'true_rejected', [lost / min(1000, len(some))], f'share of {min(1000, len(some))}'))
        rows += [row('ours', f'{what}: {kind}', 'falsified_caught', [c / of], f'share of {of}') for kind, (c, of) in caught.items()]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--corpus', help='folder that immig sources collect wrote; it is made from IMMIG_STORE or the sample if left out')
    parser.add_argument('--repeats', type=int, default=1)
    parser.add_argument('--child', nargs=3, metavar=('SIZE', 'STEP', 'FOLDER'))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not args.corpus: collect(os.environ.get('IMMIG_STORE') or sample_store(), Path(folder)/'corpus')
        texts = read_corpus(args.corpus or Path(folder)/'corpus')
        pairs = sift(draft_pairs(texts)[0])[0]
        certificate = certify(*split_pairs(pairs))
        write_jsonl(Path(folder)/'documents.jsonl', texts.documents.values())
        write_jsonl(Path(folder)/'pairs.jsonl', pairs)
        rows = grounding_rows(pairs, texts.documents)
        rows.append(row('ours', 'split', 'closest_across', [certificate['closest'][0]['similarity'] if certificate['closest'] else 0.0], 'Jaccard similarity of answer and span'))
        plan = [(size, step) for step in STEPS for size in SIZES]
        found = turns(__file__, plan, args.repeats, [folder])
        for step in STEPS:
            base = found['1x', step]
            for size in SIZES:
                took = found[size, step]
                rows.append(row(size, step, 'wall_s', [m['seconds'] for m in took], 's', [m['seconds'] for m in base]))
                rows.append(row(size, step, 'peak_mb', [m['peak_mb'] for m in took], 'MB', [m['peak_mb'] for m in base]))
                rows.append(row(size, step, 'records_per_s', [m['units'] / m['seconds'] for m in took], 'records/s', [m['units'] / m['seconds'] for m in base]))
        write_result('dataset', rows, ('numpy', 'scipy', 'distributed'), note=f'{len(texts.documents)} documents and {len(pairs)} pairs at 1x; a copy of 10x has a quarter of its words of eight letters or more changed; ratio is to 1x')


if __name__ == '__main__':
    if '--child' in sys.argv:
        at = sys.argv.index('--child')
        run_child(child(*sys.argv[at + 1:at + 4]))
    else: main()
