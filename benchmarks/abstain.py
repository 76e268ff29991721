"""Teach when to abstain, and measure it on questions that taught nothing.

`python benchmarks/abstain.py --corpus CORPUS` writes immig_research/data/abstainer.json (with vectors, and for words alone) and
benchmarks/results/abstain.json: a cross-validated table (a voice is never on both sides), and the development part of the written set.
`--test` adds the questions that were kept back, of the new ones and of the written set.
"""
import argparse
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from bench import commit, machine, versions

from immig_research.abstain import weigh
from immig_research.retrieve import FOUND, open_index, search
from immig_research.traps import measure_traps, read_taught, teach_abstainer
from immig_research.written import TRAPS

ROOT = Path(__file__).resolve().parents[1]


def crossed_table(evidence, crossed, rows, threshold):
    "Shares seen by kind and source, by rule or at `threshold` by weights that never saw the voice"
    table, ruled = [], [any(e.signs[n] for n in ('not_found', 'late_year_apart', 'markup')) for e in evidence]
    for part in ('written', 'new'):
        for kind in (*TRAPS, 'all traps', 'answerable'):
            mine = [rule or 1 - p[0] > threshold for rule, p, r in zip(ruled, crossed, rows) if (r.voice.startswith('written') == (part == 'written'))
                and (r.trap == kind or kind == 'all traps' and r.trap or kind == 'answerable' and not r.trap)]
            table.append(dict(part=f'{part}, cross-validated', kind=kind, n=len(mine), seen=round(float(np.mean(mine)), 3)))
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--corpus', required=True)
    parser.add_argument('--test', action='store_true', help='also ask the questions that were kept back')
    args = parser.parse_args()
    rows, models, tables = read_taught(), {}, []
    for name in ('words_alone', 'with_vectors'):
        index = replace(open_index(args.corpus, vectors=name == 'with_vectors'), cross=None) # It changes no sign
        evidence = [weigh(index, r.question, search(index, r.question, FOUND)) for r in rows]
        models[name], crossed = teach_abstainer(evidence, rows)
        tables += [dict(weights=name, **row) for row in crossed_table(evidence, crossed, rows, models[name]['threshold'])]
        for part, written in [('dev', True)] + [('test', False), ('test', True)] * args.test:
            asked = [r for r in read_taught([part], written) if r.voice.startswith('written') == written]
            found = measure_traps(index, [r for r in asked if r.trap], [r.question for r in asked if not r.trap], models[name])
            tables += [dict(weights=name, part=f'{"written" if written else "new"}, {part}', **row) for row in found[['kind', 'n', 'seen']].to_dict('records')]
        print(*(row for row in tables if row['weights'] == name), sep='\n', flush=True)
    (ROOT/'immig_research'/'data'/'abstainer.json').write_text(json.dumps(models, separators=(',', ':')).replace('},"', '},\n"') + '\n')
    result = dict(name='abstain', date=date.today().isoformat(), commit=commit(), machine=machine(), versions=versions('bm25s', 'torch', 'transformers'),
        taught=dict(traps=sum(bool(r.trap) for r in rows), answerable=sum(not r.trap for r in rows)), seen=tables)
    (ROOT/'benchmarks'/'results'/'abstain.json').write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__': main()
