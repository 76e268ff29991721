"""Keep what a run gave as small files that README, docs and notebooks are made from: `python tools/record_run.py OUT results/NAME.json`.

OUT is the folder of `immig run`, of `immig train` alone, of a sweep, or of `immig benchmark`. Of a whole run, `results/NAME.json` has counts, hashes, times, the training curve and the facts of both cards; `results/NAME.cells.csv` has
every planned cell with its score, from which all tables and figures are made again. Of training alone, the file has the
report, the times, the curve and the evaluations; of a sweep, a row a rate; of a benchmark, its cells. No text of a source is kept.
"""
import json
import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from datetime import date
from importlib.metadata import version
from pathlib import Path

from immig_research.cards import dataset_facts, model_facts


def rows(path): return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]


def cpu():
    "The processor's name, where the system tells it."
    info = Path('/proc/cpuinfo')
    names = [line.split(':', 1)[1].strip() for line in info.read_text().splitlines() if line.startswith('model name')] if info.exists() else []
    return names[0] if names else platform.processor()


def commit(): return subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()


def card_facts(out):
    "What the data card and the model card of the run in the folder `out` say."
    models = sorted(p.parent for p in out.glob('models/*/report.json'))
    cells = out/'benchmark/cells.csv'
    found = dict(dataset=dataset_facts(out/'dataset', out/'corpus'))
    return found | (dict(model=model_facts(models[0], cells), system=models[0].name) if models else {})


def where():
    "When, on which commit and machine, with which libraries."
    return dict(date=date.today().isoformat(), commit=commit(), machine=f'{os.cpu_count()} cores, {cpu()}, no GPU',
                versions={p: version(p) for p in ('immig_research', 'torch', 'transformers', 'peft')})


def curves(files):
    "Loss of each step, and loss and perplexity of each evaluation, of the training in the folder `files`."
    if not (files/'curve.jsonl').exists(): return dict(curve=[], evals=[])
    return dict(curve=[dict(step=r['step'], loss=r['loss']) for r in rows(files/'curve.jsonl')],
                evals=[{k: e[k] for k in ('step', 'loss', 'perplexity')} for e in rows(files/'evals.jsonl')])


def noted(out):
    "What a person wrote of the run, in its note.json: {\"note\": ...}."
    return json.loads((out/'note.json').read_text()) if (out/'note.json').exists() else {}


def record_training(out):
    "The record of the training in the folder `out`."
    return dict(where(), report=json.loads((out/'report.json').read_text()), timings=rows(out/'timings.jsonl'), **curves(out), **noted(out))


def record_sweep(out):
    "The record of the sweep in the folder `out`."
    runs = {f'{r["learning_rate"]:g}': curves(out/f'rate-{r["learning_rate"]:g}') for r in json.loads((out/'sweep.json').read_text())['rows']}
    return dict(where(), **json.loads((out/'sweep.json').read_text()), curves=runs, **noted(out))


def record(out):
    "The record of the run in the folder `out`."
    stages = [json.loads(p.read_text()) for p in sorted((out/'stages').glob('*.json'))]
    summary = json.loads((out/'benchmark/summary.json').read_text())
    timings = {t['stage']: {k: t[k] for k in ('wall_s', 'peak_mb')} for t in rows(out/'timings.jsonl')}
    trained = next((p.parent for p in sorted(out.glob('models/*/curve.jsonl'))), out)
    return dict(where(), stages={s['name']: s['result'] for s in stages}, timings=timings, facts=card_facts(out),
                population=dict(Counter(r['immigration_subtopic'] for r in rows(out/'dataset/eval.jsonl'))),
                training_timings=rows(trained/'timings.jsonl'), **curves(trained),
                summary={k: v for k, v in summary.items() if k not in ('generated_at',)}, **noted(out))


def record_benchmark(out):
    "The record of the benchmark in the folder `out`."
    return dict(where(), stages={}, **noted(out))


if __name__ == '__main__':
    if len(sys.argv) != 3: sys.exit(__doc__)
    run, kept = Path(sys.argv[1]), Path(sys.argv[2])
    kinds = {'stages': record, 'sweep.json': record_sweep, 'report.json': record_training, 'cells.csv': record_benchmark}
    kind = next((k for k in kinds if (run/k).exists()), None)
    if kind is None: sys.exit(f'{run} is not the folder of a run, of training, of a sweep or of a benchmark: it has none of {", ".join(kinds)}')
    kept.write_text(json.dumps(kinds[kind](run), indent=1) + '\n')
    cells = run/('benchmark/cells.csv' if kind == 'stages' else 'cells.csv')
    if kind in ('stages', 'cells.csv'): shutil.copyfile(cells, kept.with_name(f'{kept.stem}.cells.csv'))
    print(f'{kept} is written: now `immig reproduce --offline`')
