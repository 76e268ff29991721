"""Make again what `retrieve` and `compose` have learnt: the files of immig_research/data that `tune` describes.

`python tools/tune.py asker|ranker|groups|cross|large|answerability|composer --corpus CORPUS --dataset DATASET --out OUT`, in this order. `groups` is a step
of its own so that a machine with a GPU can do the two after it, for which OUT/groups.json.gz and the base models are enough. The packaged large
cross-encoder has seen 6,400 of the 7,499 groups once (`dev/LOG.md`); here it is taught twice over all.
Afterwards `python benchmarks/abstain.py --corpus CORPUS` fits when to abstain, and `python benchmarks/recall.py --corpus CORPUS` measures.
"""
import argparse
import gzip
import json
import random
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

import immig_research
from immig_research.answerability import cross_encoder_base, teach_answerability
from immig_research.cross_encoder import Group, Text, large_base, teach_cross_encoder
from immig_research.embed import load_encoder
from immig_research.models import device
from immig_research.records import QAPair, read_jsonl
from immig_research.retrieve import open_index
from immig_research.sources import read_corpus
from immig_research.traps import read_taught
from immig_research.tune import (
    apart_from,
    asked_pairs,
    labelled,
    plain_wording,
    reading_group,
    right_rows,
    teach_asker,
    tune_composer,
    tune_retrieval,
)
from immig_research.written import read_written, written_pairs

DATA = Path(immig_research.__file__).parent/'data'
GENERATED = 2500 # Pairs of the dataset that teach
ASKED = 1500 # Of `data/asked.jsonl` that teach what can be answered


def pairs_of(args, generated=True):
    "All pairs that teach."
    corpus = read_corpus(args.corpus)
    pairs = written_pairs(corpus, read_written(splits=['train']))[0] + asked_pairs(corpus)
    if not generated: return pairs
    made = [replace(p, question=plain_wording(p.question)) for p in read_jsonl(args.dataset/'train.jsonl', QAPair) if p.generation_mode in ('rule', 'faq', 'form')]
    return pairs + random.Random(3).sample(made, min(GENERATED, len(made)))


def asker(args):
    index = open_index(args.corpus)
    asked = [(p.question, right_rows(index, p)) for p in pairs_of(args)]
    plain = load_encoder('float32') # Shared: the one that is taught must be another
    print(teach_asker(replace(plain, model=deepcopy(plain.model)), index.vectors, asked, DATA/'asker.safetensors'))


def ranker(args): print(tune_retrieval(open_index(args.corpus), pairs_of(args, generated=False), DATA/'ranker.json'))


def groups(args):
    index = replace(open_index(args.corpus), cross=())
    traps = [r.question for r in read_taught() if r.trap and not r.voice.startswith('premises')] # A passage that sets a false premise right must be found
    asked = [*((p.question, p) for p in pairs_of(args)), *((q, None) for q in traps)]
    every = [g for question, pair in tqdm(asked, unit='question', disable=None) if (g := reading_group(index, question, pair))]
    number = {t: n for n, t in enumerate(dict.fromkeys(t for g in every for t in (*g.right, *g.wrong)))}
    rows = [(g.question, [number[t] for t in g.right], g.proofs, [number[t] for t in g.wrong]) for g in every]
    with gzip.open(args.out/'groups.json.gz', 'wt') as f: json.dump(dict(texts=list(number), groups=rows), f)


def read_groups(args):
    "What `groups` wrote"
    with gzip.open(args.out/'groups.json.gz', 'rt') as f: kept = json.load(f)
    texts = [Text(said, tuple(map(tuple, sentences))) for said, sentences in kept['texts']]
    said = lambda numbers: [texts[n] for n in numbers]
    return [Group(question, said(right), proofs, said(wrong)) for question, right, proofs, wrong in kept['groups']]


def cross(args): print(teach_cross_encoder(load_encoder('float32'), read_groups(args), DATA/'cross-encoder.safetensors', epochs=6))


def large(args):
    base = large_base('float32' if device() == 'cpu' else 'bfloat16')
    print(teach_cross_encoder(base, read_groups(args), DATA/'large-cross-encoder.safetensors', epochs=2, rate=5e-4))


def answerability(args):
    index, corpus = replace(open_index(args.corpus), cross=()), read_corpus(args.corpus)
    plain = random.Random(4).sample([r for r in read_jsonl(DATA/'asked.jsonl') if r['split'] == 'train'], ASKED)
    own = {p.question: p for p in asked_pairs(corpus, [*read_jsonl(DATA/'premises.jsonl'), *plain])}
    rows = [*((r.question, r.trap) for r in read_taught()), *((r['question'], '') for r in plain)]
    every = [labelled(index, question, kind, own.get(question)) for question, kind in tqdm(rows, unit='question', disable=None)]
    base, below = cross_encoder_base()
    print(teach_answerability(base, every, DATA/'answerability.safetensors', below=below))


def composer(args):
    corpus = read_corpus(args.corpus)
    short = asked_pairs(corpus, [r for r in read_jsonl(DATA/'everyday.jsonl') if r['split'] == 'dev']) # Their words are new, their provisions mostly not
    unread = apart_from(asked_pairs(corpus, split='dev'), pairs_of(args)) + short
    print(tune_composer(open_index(args.corpus), pairs_of(args, generated=False), unread, DATA/'composer.json'))


def main():
    steps = dict(asker=asker, ranker=ranker, groups=groups, cross=cross, large=large, answerability=answerability, composer=composer)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('step', choices=steps)
    parser.add_argument('--corpus', type=Path)
    parser.add_argument('--dataset', type=Path)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    needs = dict(asker=('corpus', 'dataset'), ranker=('corpus',), groups=('corpus', 'dataset', 'out'), cross=('out',), large=('out',), answerability=('corpus',), composer=('corpus', 'dataset'))[args.step]
    if lost := [f'--{n}' for n in needs if getattr(args, n) is None]: parser.error(f'{args.step} needs {" and ".join(lost)}')
    if args.out: args.out.mkdir(parents=True, exist_ok=True)
    steps[args.step](args)


if __name__ == '__main__': main()
