"""Keep what a run gave as one small file that README and docs are made from: `python tools/record_run.py OUT results/NAME.json`.

Only counts, hashes, times and scores are kept: no text of a source.
"""
import json
import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path


def rows(path): return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]


def cpu():
    "The processor's name, where the system tells it."
    info = Path('/proc/cpuinfo')
    names = [line.split(':', 1)[1].strip() for line in info.read_text().splitlines() if line.startswith('model name')] if info.exists() else []
    return names[0] if names else platform.processor()


def record(out):
    "The record of the run in the folder `out`."
    stages = [json.loads(p.read_text()) for p in sorted((out/'stages').glob('*.json'))]
    summary = json.loads((out/'benchmark/summary.json').read_text())
    timings = {}
    for t in rows(out/'timings.jsonl'): timings[t['stage']] = {k: t[k] for k in ('wall_s', 'peak_mb')}
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()
    return dict(date=date.today().isoformat(), commit=commit, machine=f'{os.cpu_count()} cores, {cpu()}, no GPU',
                versions={p: version(p) for p in ('immig_research', 'torch', 'transformers', 'peft')},
                stages={s['name']: s['result'] for s in stages}, timings=timings,
                curve=[dict(step=r['step'], loss=r['loss']) for f in sorted(out.glob('models/*/curve.jsonl')) for r in rows(f)],
                summary={k: v for k, v in summary.items() if k not in ('generated_at',)})


if __name__ == '__main__':
    if len(sys.argv) != 3: sys.exit(__doc__)
    Path(sys.argv[2]).write_text(json.dumps(record(Path(sys.argv[1])), indent=1) + '\n')
