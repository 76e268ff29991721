"""Keep what a run gave as two small files that README and docs are made from: `python tools/record_run.py OUT results/NAME.json`.

`results/NAME.json` has counts, hashes, times, the training curve and the facts of both cards; `results/NAME.cells.csv` has
every planned cell with its score, from which all tables and figures are made again. No text of a source is kept.
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


def record(out):
    "The record of the run in the folder `out`."
    stages = [json.loads(p.read_text()) for p in sorted((out/'stages').glob('*.json'))]
    summary = json.loads((out/'benchmark/summary.json').read_text())
    timings = {t['stage']: {k: t[k] for k in ('wall_s', 'peak_mb')} for t in rows(out/'timings.jsonl')}
    return dict(date=date.today().isoformat(), commit=commit(), machine=f'{os.cpu_count()} cores, {cpu()}, no GPU',
                versions={p: version(p) for p in ('immig_research', 'torch', 'transformers', 'peft')},
                stages={s['name']: s['result'] for s in stages}, timings=timings, facts=card_facts(out),
                population=dict(Counter(r['immigration_subtopic'] for r in rows(out/'dataset/eval.jsonl'))),
                curve=[dict(step=r['step'], loss=r['loss']) for f in sorted(out.glob('models/*/curve.jsonl')) for r in rows(f)],
                evals=[{k: e[k] for k in ('step', 'loss', 'perplexity')} for f in sorted(out.glob('models/*/evals.jsonl')) for e in rows(f)],
                summary={k: v for k, v in summary.items() if k not in ('generated_at',)})


if __name__ == '__main__':
    if len(sys.argv) != 3: sys.exit(__doc__)
    run, kept = Path(sys.argv[1]), Path(sys.argv[2])
    kept.write_text(json.dumps(record(run), indent=1) + '\n')
    shutil.copyfile(run/'benchmark/cells.csv', kept.with_name(f'{kept.stem}.cells.csv'))
    print(f'{kept} and {kept.stem}.cells.csv: now `immig reproduce --offline`')
