"""Put an adapter into the package: `python tools/ship_adapter.py OUT`.

OUT is the folder of `immig train --dataset grounded --recipe grounded`. Its adapter is written to
immig_research/data/smollm2-135m-immig in bfloat16, with the record of what it was made from, its curve and a card.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from immig_research.cards import model_card, model_facts
from immig_research.models import SHIPPED, read_record, write_record

FOLDER = Path(__file__).resolve().parents[1]/'immig_research'/'data'/SHIPPED


def main(out):
    report = json.loads((out/'report.json').read_text())
    if report['failed']: sys.exit(f'{out} is not shipped: its gates failed ({", ".join(report["failed"])})')
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    weights = load_file(out/'adapter'/'adapter_model.safetensors')
    save_file({k: v.to(torch.bfloat16) for k, v in weights.items()}, FOLDER/'adapter_model.safetensors', metadata={'format': 'pt'})
    shutil.copyfile(out/'adapter'/'adapter_config.json', FOLDER/'adapter_config.json')
    write_record(FOLDER, read_record(out/'adapter'))
    kept = ('steps', 'tokens_seen', 'eval_before', 'eval_after', 'gates', 'parity', 'train', 'refused')
    (FOLDER/'training.json').write_text(json.dumps({k: report[k] for k in kept}, indent=1) + '\n')
    card = model_card(model_facts(out), SHIPPED, system=SHIPPED)[0]
    (FOLDER/'README.md').write_text(card)
    print({f.name: f.stat().st_size for f in sorted(FOLDER.iterdir())})


if __name__ == '__main__':
    if len(sys.argv) != 2: sys.exit(__doc__)
    main(Path(sys.argv[1]))
