"Fit the facts judge on the labels, audit the judges that ship, and write both as data of the package."
import json
import tempfile
from pathlib import Path

import immig_research
from immig_research.audit import audit
from immig_research.facts_judge import calibration_rows, design_matrix, fit_model, judge_model

DATA = Path(immig_research.__file__).parent/'data'
KEPT = ('judge', 'passed', 'lacks', 'kill_rate', 'identity_rate', 'kappa', 'questions', 'answers', 'killed', 'identity', 'spared', 'agreement')

if __name__ == '__main__':
    rows = calibration_rows()
    model = fit_model(design_matrix(rows), [r['score'] for r in rows])
    (DATA/'facts_judge.json').write_text(json.dumps(model) + '\n')
    judge_model.cache_clear()
    found = {}
    for name in ('facts', 'overlap'):
        with tempfile.TemporaryDirectory() as folder: result = audit(name, folder)
        found[name] = {k: result[k] for k in KEPT}
    (DATA/'judge_audits.json').write_text(json.dumps(found, indent=1) + '\n')
    print(json.dumps({name: {k: r[k] for k in KEPT[:6]} for name, r in found.items()}, indent=1))
