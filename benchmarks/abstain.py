"""Teach when to abstain, and measure it on questions that taught nothing.

`python benchmarks/abstain.py --corpus CORPUS` writes immig_research/data/abstainer.json (with vectors, and for words alone) and
benchmarks/results/abstain.json: what is seen of the questions set apart and of the development part of the written set, which chose
the weight of what `answerability` reads and the threshold. `--test` adds the questions that chose nothing.
"""
import argparse
import json
import random
from dataclasses import replace
from datetime import date
from pathlib import Path

from bench import commit, machine, versions
from tqdm import tqdm

import immig_research
from immig_research.abstain import weigh
from immig_research.records import read_jsonl
from immig_research.retrieve import READ, open_index, search
from immig_research.sources import read_corpus
from immig_research.traps import Taught, measure_traps, read_taught, teach_abstainer
from immig_research.tune import apart_from, asked_pairs
from immig_research.written import read_written, written_pairs

PLAIN, PAIRS = 1500, 400 # Of the answerable questions in people's words, and of the pairs, that teach the weights: with all pairs they lose sight of other traps
ROOT = Path(__file__).resolve().parents[1]
DATA = Path(immig_research.__file__).parent/'data'


def asked():
    "Questions in people's words that can be answered, and that may teach"
    return [Taught(r['question'], '', 'asked', 'train') for r in read_jsonl(DATA/'asked.jsonl') if r['split'] == 'train']


def kept_back(corpus):
    "Those that teach nothing, and whose spans no other question in people's words rests on"
    taught = written_pairs(corpus, read_written(splits=['train']))[0] + asked_pairs(corpus)
    return [Taught(p.question, '', 'asked', 'dev') for p in apart_from(asked_pairs(corpus, split='dev'), taught)]


def sort_of(row):
    "What the question is of"
    return next((sort for sort in ('written', 'premises', 'asked') if row.voice.startswith(sort)), 'voices')


def teaching():
    "The questions that teach the weights"
    rows, some = read_taught(), random.Random(0)
    pairs = [r for r in rows if sort_of(r) == 'premises']
    return [r for r in rows if sort_of(r) != 'premises'] + some.sample(pairs, PAIRS) + random.Random(4).sample(asked(), PLAIN)


def parts(plain, test):
    "Name of a part -> its questions, with the `plain` ones of people's"
    for split in ('dev', 'apart', *['test'] * test):
        rows = read_taught([split]) + (plain if split == 'dev' else [])
        for sort in ('written', 'voices', 'premises', 'asked'):
            if mine := [r for r in rows if sort_of(r) == sort]: yield f'{sort}, {split}', mine


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--corpus', required=True)
    parser.add_argument('--test', action='store_true', help='also ask the questions that chose nothing')
    args = parser.parse_args()
    plain = kept_back(read_corpus(args.corpus))
    rows, apart, models, tables = teaching(), read_taught(['dev', 'apart']) + plain, {}, []
    for name in ('words_alone', 'with_vectors'):
        index = replace(open_index(args.corpus, vectors=name == 'with_vectors'), cross=()) # They change no sign
        evidence, others = ([weigh(index, r.question, search(index, r.question, READ)) for r in tqdm(some, desc=name, disable=None)] for some in (rows, apart))
        models[name] = teach_abstainer(evidence, rows, others, apart)
        for part, asks in parts(plain, args.test):
            found = measure_traps(index, [r for r in asks if r.trap], [r.question for r in asks if not r.trap], models[name])
            tables += [dict(weights=name, part=part, **row) for row in found[['kind', 'n', 'seen']].to_dict('records') if row['n']]
        print(*(row for row in tables if row['weights'] == name), sep='\n', flush=True)
    (DATA/'abstainer.json').write_text(json.dumps(models, separators=(',', ':')).replace('},"', '},\n"') + '\n')
    result = dict(name='abstain', date=date.today().isoformat(), commit=commit(), machine=machine(), versions=versions('bm25s', 'torch', 'transformers'),
        taught=dict(traps=sum(bool(r.trap) for r in rows), answerable=sum(not r.trap for r in rows)), chosen={n: dict(read=m['read'], threshold=m['threshold']) for n, m in models.items()}, seen=tables)
    (ROOT/'benchmarks'/'results'/'abstain.json').write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__': main()
