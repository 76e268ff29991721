"""What sources and tuning add: the model alone, tuned, over sources, and taught to answer from sources.

`python benchmarks/grounded.py --corpus CORPUS --tuned MODEL --out OUT` asks a sample of the written set's test part (or `--part dev`),
at most eight questions of each subdomain, and scores all answers with the facts judge. `python tools/record_run.py OUT
results/grounded.json` keeps the cells. Answers stand in OUT, so a stopped run goes on.
"""
import argparse
import json
from pathlib import Path

from immig_research.analysis import analyze
from immig_research.benchmark import BenchmarkRecipe, System, run_benchmark
from immig_research.grounded import answer_all
from immig_research.infer import infer, select
from immig_research.models import SHIPPED
from immig_research.records import write_jsonl
from immig_research.retrieve import open_index
from immig_research.sources import read_corpus
from immig_research.worded import word_all
from immig_research.written import read_written, written_pairs

BASE = 'smollm2-135m'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--corpus', required=True)
    parser.add_argument('--tuned', required=True, help='model tuned on pairs without sources')
    parser.add_argument('--part', default='test', choices=['dev', 'test'])
    parser.add_argument('--shipped', default=SHIPPED, help='model taught to answer from sources')
    parser.add_argument('--out', required=True, type=Path)
    args = parser.parse_args()
    pairs = select(written_pairs(read_corpus(args.corpus), read_written(splits=[args.part]))[0], 'seed101')
    questions, index = args.out/'questions.jsonl', open_index(args.corpus)
    write_jsonl(questions, pairs)
    said = lambda name: args.out/f'{name}.jsonl'
    infer(pairs, BASE, said('base'), system='base')
    infer(pairs, args.tuned, said('tuned'), system='tuned')
    word_all(index, pairs, BASE, said('base-on-sources'), system='base-on-sources')
    word_all(index, pairs, args.shipped, said('tuned-on-sources'), system='tuned-on-sources')
    answer_all(index, pairs, said('quoted'), 'quoted')
    names = ('base', 'tuned', 'base-on-sources', 'tuned-on-sources', 'quoted')
    recipe = BenchmarkRecipe('grounded', systems=tuple(System(n, f'file:{said(n)}') for n in names), judges=('facts',), sample='all')
    print(json.dumps(run_benchmark(recipe, args.out, questions)['headline'], indent=1, default=str))
    analyze(args.out/'sample.jsonl', [args.out/'judgments.jsonl'], [args.out/'predictions.jsonl'], args.out)


if __name__ == '__main__': main()
