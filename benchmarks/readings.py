"""How many random pairs of the rules fresh readers accepted, round by round.

    python benchmarks/readings.py        from benchmarks/readings.jsonl, a row for each pair that somebody read

A reader got random pairs of one build with their source around them, knew neither the generator nor other verdicts, and
accepted a pair only if it was natural, standalone, correct and complete. Rounds 1 to 3 left statistics, lists of
forms and civics questions out or nearly so; the rules were changed after each round but the last. Readers were language models.
"""
import json
from collections import Counter
from pathlib import Path

from bench import write_result

from immig_research.estimate import wilson

ROWS = Path(__file__).resolve().parent/'readings.jsonl'
EASY = ('statistics', 'form_index', 'civics_test') # Nearly never refused, so their share moves the total


def accepted(rows): return sum(r['ok'] for r in rows)


def of_round(rows, number):
    "The rows of the result for one round: all pairs, and those of each source."
    mine = [r for r in rows if r['round'] == number]
    groups = {'all': mine, 'all but figures and lists': [r for r in mine if r['source'] not in EASY]}
    groups |= {s: [r for r in mine if r['source'] == s] for s in sorted({r['source'] for r in mine})}
    read, good = Counter(r['reader'] for r in mine), Counter(r['reader'] for r in mine if r['ok'])
    faults = Counter(r['fault'] for r in mine if not r['ok'])
    for name, some in groups.items():
        share = wilson(accepted(some), len(some))
        more = dict(by_reader=', '.join(f'{good[k]} of {read[k]}' for k in sorted(read)), **faults) if name == 'all' else {}
        yield dict(system=f'rules, round {number}', what=name, metric='accepted', value=round(share.mean, 3), low=round(share.low, 3), high=round(share.high, 3), unit='share', n=len(some), **more)


def main():
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    write_result('readings', [r for k in sorted({r['round'] for r in rows}) for r in of_round(rows, k)], (), __doc__.split('\n\n')[-1].replace('\n', ' ').strip())


if __name__ == '__main__': main()
