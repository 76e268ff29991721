"Numbers that are printed stand in a committed result file."
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = {p.stem: json.loads(p.read_text()) for p in sorted((ROOT/'results').glob('*.json'))}


def test_the_readme_table_is_that_of_the_recorded_run():
    readme = (ROOT/'README.md').read_text()
    run = RESULTS['laptop']
    for s in run['stages']['6-analyze']['overall']:
        row = f"{s['mean']:.2f} ({s['low']:.2f} to {s['high']:.2f})", f"{s['pct_full']:.1f} ({s['pct_low']:.1f} to {s['pct_high']:.1f})"
        line = next(x for x in readme.splitlines() if re.match(rf"\| {re.escape(s['system'])} +\|", x))
        assert str(s['n']) in line and all(r in line for r in row)
    train = run['stages']['3-train']
    for text in (f"{train['eval_before']['perplexity']:.1f} before tuning, {train['eval_after']['perplexity']:.1f} after", f"{train['train']['pairs']:,}",
                 f"{run['stages']['2-dataset']['pairs']:,} pairs from {run['stages']['1-sources']['documents']} documents", run['commit'], run['date']):
        assert text in readme, text


@pytest.mark.parametrize('name', RESULTS)
def test_a_record_agrees_with_itself(name):
    run = RESULTS[name]
    dataset, overall = run['stages']['2-dataset'], run['stages']['6-analyze']['overall']
    assert dataset['train'] + dataset['eval'] == dataset['pairs'] == sum(dataset['by_subdomain'].values())
    assert sum(dataset['rejects_by_reason'].values()) == dataset['rejects'] and dataset['certificate'] is True
    for s in overall:
        assert run['summary']['overall'][s['system']]['mean'] == pytest.approx(s['mean'], abs=5e-4)
        assert 0 <= s['low'] <= s['mean'] <= s['high'] <= 3
    topics = run['summary']['by_subtopic']
    assert sum(t[overall[0]['system']]['n'] for t in topics.values()) == overall[0]['n']
