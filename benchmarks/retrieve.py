"""Questions a second and time to build: the word search alone, the whole search, bm25s, faiss and a plain vector matrix, at 1x and 10x.

`python benchmarks/retrieve.py --corpus CORPUS` multiplies the passages of a corpus, indexes them by each system in a process
of its own and asks the questions of the written development part. Vectors of copies are the corpus's own with a little noise.
"""
import argparse
import sys
import time

from bench import row, run_child, turns, write_result

SYSTEMS = ('bm25s', 'vector-matrix', 'faiss', 'ours-words', 'ours')


def questions():
    from immig_research.written import read_written
    return [r.question for r in read_written(splits=['dev'])[:100]]


def copies(corpus, times):
    "An index over `times` copies of the passages; the texts of copies carry a word of their own."
    from dataclasses import replace
    from immig_research.retrieve import open_index
    index = open_index(corpus)
    passages = list(index.passages)
    for n in range(1, times): passages += [replace(p, text=f'{p.text} copy{n}') for p in index.passages]
    return index, passages


def child(system, what, corpus):
    import numpy as np
    from immig_research import retrieve as R
    from immig_research.embed import encode
    times, step = int(what.split('-')[0]), what.split('-')[1]
    index, passages = copies(corpus, times)
    texts = [R.terms(f'{p.title} {p.context} {p.text}') for p in passages] if system not in ('vector-matrix', 'faiss') else []
    build = lambda: R.bm25_index(texts)
    if step == 'build': return run_child(lambda: build() and len(passages))
    asked = questions()
    vectors = None if index.vectors is None else np.concatenate([index.vectors + np.float32(1e-3 * n) for n in range(times)])
    if system == 'bm25s':
        words = build()
        top = lambda q: np.argpartition(-R.bm25_scores(words, R.terms(q)), 50)[:50]
    elif system == 'vector-matrix': top = lambda q: np.argpartition(-(vectors @ encode(index.asker, [q])[0]), 50)[:50]
    elif system == 'faiss':
        import faiss
        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(np.ascontiguousarray(vectors, np.float32))
        top = lambda q: flat.search(encode(index.asker, [q]), 50)[1][0]
    else:
        index.passages, index.words = passages, build()
        index.document, index.days = np.tile(index.document, times), {}
        heads = [R.terms(p.title) for p in passages]
        index.headings, index.vectors = R.bm25_index(heads), vectors if system == 'ours' else None
        if system == 'ours-words': index.reader = index.asker = None
        top = lambda q: R.search(index, q, 50)
    top(asked[0])
    run_child(lambda: sum(1 for q in asked if top(q) is not None))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--corpus', required=True)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--times', default='1,10')
    args = parser.parse_args()
    cells = [(s, f'{t}-ask') for t in args.times.split(',') for s in SYSTEMS] + [('bm25s', f'{t}-build') for t in args.times.split(',')]
    found = turns(__file__, cells, args.repeats, [args.corpus])
    rows = []
    for (s, what), ms in found.items():
        base = [m['units'] / m['seconds'] for m in found['bm25s', what]]
        metric, unit = ('queries_per_s', 'questions/s') if what.endswith('ask') else ('passages_per_s', 'passages/s')
        rows += [row(s, what, metric, [m['units'] / m['seconds'] for m in ms], unit, base), row(s, what, 'peak_mb', [m['peak_mb'] for m in ms], 'MB')]
    start = time.perf_counter()
    note = 'ours-words: three word searches, places named and the ranker; ours: with vectors too; faiss: IndexFlatIP over the same vectors, the question encoded as by ours. Ratios against bm25s.'
    for r in write_result('retrieve', rows, ('bm25s', 'faiss-cpu', 'numpy', 'torch'), note)['rows']: print(r['system'], r['what'], r['metric'], r['value'], r['ratio'])
    return time.perf_counter() - start


if __name__ == '__main__':
    if len(sys.argv) > 2 and sys.argv[1] == '--child': child(sys.argv[2], sys.argv[3], sys.argv[4])
    else: main()
