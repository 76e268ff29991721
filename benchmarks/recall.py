"""How often the right passage is found, step by step: on the development part of the written set, and with --test once on the test part
and on short questions as they are typed into a search box (data/everyday.jsonl, whose test part was asked of nobody before).

`python benchmarks/recall.py --corpus CORPUS [--test]` writes benchmarks/results/recall.json. Every row is the same questions
asked in another way; the last row of each part is what the package does.
"""
import argparse
import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from bench import commit, machine, versions

import immig_research
from immig_research import retrieve as R
from immig_research.rank import packaged_ranker
from immig_research.records import read_jsonl
from immig_research.sources import read_corpus
from immig_research.tune import asked_pairs
from immig_research.verify import documents_on
from immig_research.written import read_written, written_pairs

DATA = Path(immig_research.__file__).parent/'data'
OUT = Path(__file__).resolve().parent/'results'/'recall.json'


def naive_windows(index, words=140):
    "BM25 over windows of so many words, cut without regard to structure, lower-cased words as they are."
    hits = []
    for doc in index.documents.values():
        ends, step = [m.end() for m in re.finditer(r'\S+', doc.text)], words
        starts = [m.start() for m in re.finditer(r'\S+', doc.text)]
        hits += [R.Hit(doc.doc_id, starts[i], ends[min(i + step, len(ends)) - 1], '', '') for i in range(0, len(starts), step)]
    plain = lambda text: re.findall(r'\w+', text.lower())
    bm25 = R.bm25_index([plain(index.documents[h.doc_id].text[h.start:h.end]) for h in hits])
    return lambda q: [hits[i] for i in np.argsort(-R.bm25_scores(bm25, plain(q)), kind='stable')[:200]]


def ways(index):
    "Name of a way to search -> question -> hits."
    by = lambda score: lambda q: [R.as_hit(index, int(i)) for i in np.argsort(-score(R.all_scores(index, q)), kind='stable')[:200]]
    lexical = lambda s: s['words'] + .3*s['headings'] + .2*s['document'] + .2*s['law_words'] + 6*s['named_document'] + 8*s['named_place']
    yield 'BM25, 140-word windows', naive_windows(index)
    yield 'BM25, passages with context', by(lambda s: s['words'])
    yield '+ headings, document, law words', by(lambda s: s['words'] + .3*s['headings'] + .2*s['document'] + .2*s['law_words'])
    yield '+ places named', by(lexical)
    ranked = lambda index, name: lambda q: R.search(index, q, 200, ranker=packaged_ranker(name))
    yield 'ranker, words alone', ranked(R.words_alone(index), False)
    if index.vectors is not None:
        yield 'vectors alone', by(lambda s: s['vector'])
        yield 'ranker, words and vectors', ranked(replace(index, cross=()), True)
    for n, name in enumerate(('+ cross-encoder', '+ large cross-encoder')[:len(index.cross)], 1): yield name, ranked(replace(index, cross=index.cross[:n]), True)


def pairs_of(corpus, part):
    "Questions of a part with their spans, and how many have none in `corpus`."
    if part != 'everyday':
        pairs, lost = written_pairs(corpus, read_written(splits=[part]))
        return pairs, len(lost)
    rows = [r for r in read_jsonl(DATA/'everyday.jsonl') if r['split'] == 'test']
    pairs = asked_pairs(corpus, rows)
    return pairs, len(rows) - len(pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--corpus', required=True)
    parser.add_argument('--test', action='store_true', help='the last way on the test part too')
    args = parser.parse_args()
    index, corpus = R.open_index(args.corpus), read_corpus(args.corpus)
    documents_on(index.verify_index)
    rows = []
    for part in ('dev', 'test', 'everyday') if args.test else ('dev',):
        pairs, lost = pairs_of(corpus, part)
        for name, find in ways(index):
            if part != 'dev' and not name.startswith(('BM25, 140', 'ranker', '+ cross', '+ large')): continue
            table = R.measure(find, pairs).set_index('by')
            row = {f'{by}_{k}': float(table.loc[by, f'recall@{k}']) for by in ('document', 'paragraph', 'characters') for k in (1, 5, 20)}
            rows.append(dict(system=name, part=part, n=len(pairs), lost=lost, **row, mrr=float(table.loc['paragraph', 'mrr']), mrr_document=float(table.loc['document', 'mrr'])))
            print(rows[-1], flush=True)
    result = dict(name='recall', date=date.today().isoformat(), commit=commit(), machine=machine(), versions=versions('bm25s', 'torch', 'transformers'), rows=rows)
    OUT.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__': main()
