"""What the answers to the written set are worth before any judge: cited, quoted, refused, and how many traps are seen.

`python benchmarks/answers.py --corpus CORPUS` asks the development and the test part and writes benchmarks/results/answers.json.
"""
import argparse
import json
from datetime import date
from pathlib import Path

from bench import commit, machine, versions

from immig_research.grounded import answer, count_answers
from immig_research.retrieve import open_index
from immig_research.sources import read_corpus
from immig_research.written import read_written, written_pairs

OUT = Path(__file__).resolve().parent/'results'/'answers.json'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--corpus', required=True)
    args = parser.parse_args()
    index, corpus, answers, traps = open_index(args.corpus), read_corpus(args.corpus), [], []
    for part in ('dev', 'test'):
        pairs, _ = written_pairs(corpus, read_written(splits=[part]))
        answers.append(dict(part=part, **count_answers([answer(index, p.question) for p in pairs], pairs)))
        seen = {}
        for t in read_written(splits=[part], traps=True): seen.setdefault(t.trap, []).append(answer(index, t.question).disposition != 'answered')
        every = [s for group in seen.values() for s in group]
        traps += [dict(part=part, trap=k, n=len(v), seen=round(sum(v) / len(v), 3)) for k, v in [*sorted(seen.items()), ('all', every)]]
        print(answers[-1], traps[-1], flush=True)
    result = dict(name='answers', date=date.today().isoformat(), commit=commit(), machine=machine(), versions=versions('bm25s', 'torch', 'transformers'), answers=answers, traps=traps)
    OUT.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__': main()
