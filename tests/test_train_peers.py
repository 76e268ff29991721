"The loop against TRL's, and against itself in two processes."
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('peft')
from immig_research import loop  # noqa: E402
from immig_research.models import byte_tokenizer, toy_model  # noqa: E402
from immig_research.prompts import render_pair  # noqa: E402
from immig_research.recipes import RECIPES  # noqa: E402
from immig_research.records import QAPair, read_jsonl, write_jsonl  # noqa: E402
from immig_research.rows import encode_pair  # noqa: E402

TOLERANCE = 2e-4  # Of a step's loss, relative: both are float32, and sum in another order


def pairs(n): return [(f'Which form has number {k}?', f'Form I-{100 + k}' + ', with the fee' * (k % 4) + '.') for k in range(n)]


@pytest.mark.slow
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_twenty_steps_give_the_losses_of_trl(tmp_path, monkeypatch, dtype):
    "Same pairs as prompt and completion, same order, same adapter to begin with, same settings."
    trl = pytest.importorskip('trl')
    from datasets import Dataset
    recipe, tokenizer = replace(RECIPES['toy'], batch_size=4, schedule='constant', warmup=0.0, learning_rate=5e-3), byte_tokenizer()
    tuned = [loop.add_lora(toy_model()[0].to(getattr(torch, dtype)), recipe) for _ in range(2)]
    texts = [render_pair(tokenizer, q, a) for q, a in pairs(80)]
    data = Dataset.from_list([dict(prompt=head, completion=tail[:tail.index(tokenizer.eos_token) + len(tokenizer.eos_token)]) for head, tail in texts])
    config = trl.SFTConfig(output_dir=str(tmp_path), per_device_train_batch_size=4, max_steps=20, learning_rate=5e-3, lr_scheduler_type='constant', warmup_steps=0,
                           optim='adamw_torch', gradient_checkpointing=False, bf16=dtype == 'bfloat16', use_cpu=True, logging_steps=1, report_to='none', save_strategy='no',
                           disable_tqdm=True, train_sampling_strategy='sequential', max_length=600)
    trainer = trl.SFTTrainer(model=tuned[0], args=config, train_dataset=data, processing_class=tokenizer)
    trainer.train()
    theirs = [row['loss'] for row in trainer.state.log_history if 'loss' in row]
    rows = [encode_pair(tokenizer, q, a) for q, a in pairs(80)]
    optimizer = loop.make_optimizer(tuned[1], recipe)
    ours = [loop.learn_step(tuned[1], optimizer, rows[4*k:4*k + 4], recipe, k, 20)[0]['loss'] for k in range(20)]
    assert len(theirs) == 20 and ours[-1] < ours[0] - 0.5
    assert ours == pytest.approx(theirs, rel=TOLERANCE if dtype == 'float32' else 0.02)
    weights = [torch.cat([p.detach().float().flatten() for _, p in loop.learnt(m)]) for m in tuned]
    assert float((weights[0] - weights[1]).norm()/weights[0].norm()) < (5e-3 if dtype == 'float32' else 0.3)


TWO = '''
import sys
from dataclasses import replace
from accelerate import debug_launcher
from immig_research.recipes import RECIPES
from immig_research.train import train
def work(dataset, out): train(dataset, replace(RECIPES['toy'], epochs=2), out, model='toy')
if __name__ == '__main__':
    dataset, out, count = sys.argv[1:]
    if count == '1': work(dataset, out)
    else: debug_launcher(work, (dataset, out), num_processes=int(count))
'''


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path):
    "Through accelerate, over gloo, with the same batch in all: an odd number of rows, so that the shares differ."
    rows = [QAPair(f'q{k}', q, a, immigration_subtopic='asylum') for k, (q, a) in enumerate(pairs(27))]
    write_jsonl(tmp_path/'data'/'train.jsonl', rows[:21])
    write_jsonl(tmp_path/'data'/'eval.jsonl', rows[21:])
    (tmp_path/'two.py').write_text(TWO)
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    for count in ('1', '2'):
        done = subprocess.run([sys.executable, 'two.py', 'data', count, count], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr[-3000:]
        assert ('2 processes' in done.stderr) == (count == '2')
    one, two = (read_jsonl(tmp_path/count/'curve.jsonl') for count in ('1', '2'))
    assert [(r['step'], r['pairs'], r['tokens']) for r in one] == [(r['step'], r['pairs'], r['tokens']) for r in two]
    assert [r['loss'] for r in one] == pytest.approx([r['loss'] for r in two], rel=1e-4)
    after = [json.loads((tmp_path/count/'report.json').read_text())['eval_merged']['loss'] for count in ('1', '2')]
    assert after[0] == pytest.approx(after[1], rel=1e-3)
