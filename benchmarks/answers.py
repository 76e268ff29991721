"""What the answers to the written set are worth: cited, quoted, refused, how many traps are seen, and what readers made of them.

`python benchmarks/answers.py --corpus CORPUS` asks the development and the test part and writes benchmarks/results/answers.json.
Readings, 0 to 3 for what a lay reader would take away, stand in benchmarks/answer-readings.jsonl; an interval there redraws questions.
"""
import argparse
import json
from datetime import date
from pathlib import Path

import numpy as np
from bench import commit, machine, versions

from immig_research.grounded import answer, count_answers
from immig_research.retrieve import open_index
from immig_research.sources import read_corpus
from immig_research.written import read_written, written_pairs

OUT, READ = (Path(__file__).resolve().parent/name for name in ('results/answers.json', 'answer-readings.jsonl'))


def read_rows():
    "Means of the readings by round."
    rows = [json.loads(line) for line in READ.read_text().splitlines()]
    for name in dict.fromkeys(r['round'] for r in rows):
        scores = np.array([r['score'] for r in rows if r['round'] == name])
        means = np.random.default_rng(42).choice(scores, (5000, len(scores))).mean(1)
        low, high = np.quantile(means, (.025, .975))
        yield dict(round=name, n=len(scores), mean=round(float(scores.mean()), 3), low=round(float(low), 3), high=round(float(high), 3),
            full=round(float((scores == 3).mean()), 3), none=round(float((scores == 0).mean()), 3))


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
    result = dict(name='answers', date=date.today().isoformat(), commit=commit(), machine=machine(), versions=versions('bm25s', 'torch', 'transformers'), answers=answers, traps=traps, read=list(read_rows()))
    OUT.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__': main()
