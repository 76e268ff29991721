"""Questions a second, time to build and memory of the search, against bm25s alone and faiss on the same passages.

`python benchmarks/retrieve.py --corpus CORPUS` asks the first 100 questions of the written development part, one at a time, for the best 20.
The passages are taken once, 10 times (vectors too) and 100 times (words alone): a copy has a word of its own in its text and a
little noise in its vector. Indexes of words are built once, by our `bm25_index`, which is bm25s over our terms, and mapped by all that ask.
"""
import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench import row, run_child, turns, write_result

K = 20
VECTORS = ('faiss', 'ours-vectors', 'ours') # Those that need vectors
ASKERS = {1: ('bm25s', 'ours-bm25', 'ours-words', *VECTORS, 'ours-read'), 10: ('bm25s', 'ours-bm25', 'ours-words', *VECTORS), 100: ('bm25s', 'ours-bm25')}


def questions(system):
    from immig_research.written import read_written
    return [r.question for r in read_written(splits=['dev'])[:20 if system == 'ours-read' else 100]]


def build_words(corpus, times, folder):
    "Index the terms of `times` copies of all passages and write the index; the terms are cut before the clock starts, headings indexed after it stops"
    from immig_research.retrieve import _word_fields, bm25_index, open_index
    index = open_index(corpus, vectors=False)
    cut = dict(zip(('words', *['headings'] * (times <= 10)), _word_fields(index.documents, index.passages)))
    count = len(index.passages) * times
    del index
    def work(field='words'):
        bm25_index(t + [f'copy{n}'] * (n > 0) for n in range(times) for t in cut[field]).save(str(folder/f'{times}-{field}'), show_progress=False)
        return count
    run_child(work)
    if 'headings' in cut: work('headings')


def build_whole(corpus, vectors):
    "Everything that `open_index` makes of a corpus that has no index"
    from immig_research.retrieve import open_index
    with tempfile.TemporaryDirectory() as folder:
        for file in Path(corpus).glob('*.jsonl'): shutil.copy(file, folder)
        run_child(lambda: len(open_index(folder, vectors).passages))


def searcher(system, corpus, times, folder):
    "A function from a question to its best K"
    import bm25s
    import numpy as np
    from dataclasses import replace
    from immig_research import retrieve as R
    from immig_research.embed import encode, products
    load = lambda field: bm25s.BM25.load(str(folder/f'{times}-{field}'), mmap=True)
    best = lambda scores: (top := np.argpartition(-scores, K)[:K])[np.argsort(-scores[top], kind='stable')]
    if system == 'bm25s':
        words = load('words')
        return lambda q: words.retrieve([R.terms(q)], k=K, show_progress=False)
    if system == 'ours-bm25':
        words = load('words')
        return lambda q: best(R.bm25_scores(words, R.terms(q)))
    index = R.open_index(corpus, vectors=system != 'ours-words')
    if system in VECTORS and times > 1:
        noise = np.random.default_rng(0)
        index.vectors = np.concatenate([index.vectors + np.float32(1e-3) * noise.standard_normal(index.vectors.shape, np.float32) * (n > 0) for n in range(times)])
    if system == 'ours-vectors': return lambda q: best(products(index.vectors, encode(index.asker, [q])[0]))
    if system == 'faiss':
        import faiss
        flat = faiss.IndexFlatIP(index.vectors.shape[1])
        flat.add(np.ascontiguousarray(index.vectors))
        index.vectors = None
        return lambda q: flat.search(encode(index.asker, [q]), K)[1][0]
    if system != 'ours-read': index.cross = ()
    if times > 1:
        index.words, index.headings, index.kept = load('words'), load('headings'), {}
        index.passages = [replace(p, text=f'{p.text} copy{n}') if n else p for n in range(times) for p in index.passages]
        index.document = np.tile(index.document, times)
    return lambda q: R.search(index, q, K)


def child(system, what, corpus, folder):
    times, step = what.split('-')
    if system == 'ours-build': return build_whole(corpus, vectors=step == 'vectors')
    if step == 'build': return build_words(corpus, int(times), Path(folder))
    find, asked = searcher(system, corpus, int(times), Path(folder)), questions(system)
    find(asked[0])
    run_child(lambda: sum(len(find(q)) > 0 for q in asked))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--corpus', required=True)
    parser.add_argument('--repeats', type=int, default=3)
    args = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = lambda plan, repeats: turns(__file__, plan, repeats, [args.corpus, folder])
        found = run([('ours-bm25', f'{n}-build') for n in ASKERS], 1)
        found |= run([('ours-build', '1-words')], args.repeats) | run([('ours-build', '1-vectors')], 1)
        found |= run([(s, f'{n}-ask') for n, systems in ASKERS.items() for s in systems], args.repeats)
    rows = []
    for (system, what), ms in found.items():
        rate = lambda some: [m['units'] / m['seconds'] for m in some]
        asks = what.endswith('ask')
        base = rate(found['bm25s', what]) if asks and system != 'ours-read' else None # Fewer questions
        rows.append(row(system, what, 'questions_per_s' if asks else 'passages_per_s', rate(ms), 'questions/s' if asks else 'passages/s', base))
        if system not in ('faiss', 'ours-vectors'): rows.append(row(system, what, 'peak_mb', [m['peak_mb'] for m in ms], 'MB')) # These two load what they don't use
        if not asks: rows.append(row(system, what, 'seconds', [m['seconds'] for m in ms], 's'))
    note = ('bm25s: its retrieve over our terms. ours-bm25: our scores and best of the same index. ours-words: three word searches, places named and the ranker. faiss: IndexFlatIP, the question encoded as by ours-vectors. '
        'ours: words, vectors and ranker. ours-read: both cross-encoders too, over 20 questions. ours-build: passages cut, all indexes made and written, without and with vectors. Ratios against bm25s.')
    for r in write_result('retrieve', rows, ('bm25s', 'faiss-cpu', 'numpy', 'torch'), note)['rows']: print(r['system'], r['what'], r['metric'], r['value'], r['ratio'])
    print(f'{time.perf_counter() - start:.0f} s')


if __name__ == '__main__':
    if len(sys.argv) > 2 and sys.argv[1] == '--child': child(*sys.argv[2:6])
    else: main()
