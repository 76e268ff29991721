"""Put an adapter into the package: `python tools/ship_adapter.py OUT`.

OUT is the folder of `immig train --dataset grounded --recipe grounded`. Its adapter is written to
immig_research/data/smollm2-135m-immig in bfloat16, with the record of what it was made from, its evaluations and a card.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from immig_research.cards import base_of, model_card, model_facts
from immig_research.models import SHIPPED, read_record, write_record
from immig_research.records import BadInput

FOLDER = Path(__file__).resolve().parents[1]/'immig_research'/'data'/SHIPPED
KEPT = ('steps', 'tokens_seen', 'eval_before', 'eval_after', 'gates', 'parity', 'train', 'refused')


def main(out, folder=FOLDER):
    facts, adapter = model_facts(out), out/'adapter'  # A wrong folder is told here, before anything is touched
    report, record = json.loads((out/'report.json').read_text()), read_record(adapter)
    if report['failed']: raise BadInput(f'{out} is not shipped: its gates failed ({", ".join(report["failed"])})')
    weights = load_file(adapter/'adapter_model.safetensors')
    config = json.loads((adapter/'adapter_config.json').read_text()) | dict(base_model_name_or_path=base_of(record['base'])[0])
    card, figures = model_card(facts, SHIPPED, system=SHIPPED)
    part = folder.with_name(f'.{folder.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file({k: v.to(torch.bfloat16) for k, v in weights.items()}, part/'adapter_model.safetensors', metadata={'format': 'pt'})
    write_record(part, record)
    for name, value in dict(adapter_config=config, training={k: report[k] for k in KEPT}, figures=figures).items():
        (part/f'{name}.json').write_text(json.dumps(value, indent=1) + '\n')
    (part/'README.md').write_text(card)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    print({f.name: f.stat().st_size for f in sorted(folder.iterdir())})


if __name__ == '__main__':
    if len(sys.argv) != 2: sys.exit(__doc__)
    try: main(Path(sys.argv[1]))
    except BadInput as e: sys.exit(str(e))
