"""Make again what `retrieve` and `compose` have learnt: the files of immig_research/data that `tune` describes.

`python tools/tune.py asker|ranker|groups|cross|composer --corpus CORPUS --dataset DATASET --out OUT`, in this order. `groups` and `cross`
apart let a machine with a GPU do the teaching: `cross` needs OUT/groups.jsonl.gz and the encoder alone. It writes three files: the one
that ships, and two that learnt from one half of the questions each, which `composer` here and `benchmarks/abstain.py` ask about the other half.
Then `python benchmarks/abstain.py --corpus CORPUS --halves OUT` fits when to abstain.
"""
import argparse
import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

import immig_research
from immig_research.cross_encoder import Group, half_of, teach_cross_encoder, with_weights
from immig_research.embed import load_encoder
from immig_research.records import QAPair, read_jsonl
from immig_research.retrieve import Index, open_index
from immig_research.sources import read_corpus
from immig_research.traps import read_taught
from immig_research.tune import asked_pairs, plain_wording, reading_groups, right_rows, teach_asker, tune_composer, tune_retrieval
from immig_research.written import read_written, written_pairs

DATA = Path(immig_research.__file__).parent/'data'
GENERATED = 2500 # Pairs of the dataset that teach


def pairs_of(args, generated=True):
    "All pairs that teach."
    corpus = read_corpus(args.corpus)
    pairs = written_pairs(corpus, read_written(splits=['train']))[0] + asked_pairs(corpus)
    if not generated: return pairs
    made = [replace(p, question=plain_wording(p.question)) for p in read_jsonl(args.dataset/'train.jsonl', QAPair) if p.generation_mode in ('rule', 'faq', 'form')]
    return pairs + random.Random(3).sample(made, min(GENERATED, len(made)))


def halves(out):
    "index, question -> the index whose cross-encoder has not learnt from the question."
    cross = [with_weights(load_encoder(), out/f'cross-encoder-without-{half}.safetensors') for half in (0, 1)]
    made = {}
    def blind(index: Index, question: str) -> Index:
        if index.cross is None: return index
        key = id(index), half_of(question)
        if key not in made: made[key] = replace(index, cross=cross[key[1]])
        return made[key]
    return blind


def asker(args):
    index = open_index(args.corpus)
    asked = [(p.question, right_rows(index, p)) for p in pairs_of(args)]
    print(teach_asker(load_encoder('float32'), index.vectors, asked, DATA/'asker.safetensors'))


def ranker(args): print(tune_retrieval(open_index(args.corpus), pairs_of(args, generated=False), DATA/'ranker.json'))


def groups(args):
    index, traps = replace(open_index(args.corpus), cross=None), [r.question for r in read_taught() if r.trap]
    with gzip.open(args.out/'groups.jsonl.gz', 'wt') as f:
        for question, pair in tqdm([*((p.question, p) for p in pairs_of(args)), *((q, None) for q in traps)], unit='question'):
            for g in reading_groups(index, question, pair): f.write(json.dumps(g._asdict()) + '\n')


def cross(args):
    with gzip.open(args.out/'groups.jsonl.gz', 'rt') as f: every = [Group(**json.loads(line)) for line in f]
    encoder = load_encoder('float32')
    print(teach_cross_encoder(encoder, every, args.out/'cross-encoder.safetensors'))
    for half in (0, 1):
        print(teach_cross_encoder(encoder, [g for g in every if half_of(g.question) != half], args.out/f'cross-encoder-without-{half}.safetensors'))
    (DATA/'cross-encoder.safetensors').write_bytes((args.out/'cross-encoder.safetensors').read_bytes())


def composer(args): print(tune_composer(open_index(args.corpus), pairs_of(args, generated=False), DATA/'composer.json', halves(args.out)))


def main():
    steps = dict(asker=asker, ranker=ranker, groups=groups, cross=cross, composer=composer)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('step', choices=steps)
    parser.add_argument('--corpus', type=Path)
    parser.add_argument('--dataset', type=Path)
    parser.add_argument('--out', type=Path, required=True)
    args = parser.parse_args()
    steps[args.step](args)


if __name__ == '__main__': main()
