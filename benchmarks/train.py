"""LoRA training of the embedded model: ours, TRL's SFTTrainer at its best settings, and the seed's way.

    make bench NAME=train              pairs of the dataset folder that IMMIG_DATASET names, else of the packaged sample
    python benchmarks/train.py --search          tries settings of TRL one after another, to find its best

The same pairs, chat template, LoRA targets (all linear layers, r 16), rate and data order by length for all; loading the
model and encoding the pairs is not timed. A token counts if it is one of a pair's, padding does not. The seed's way is a
pair at a time padded to 512 in float32, and runs a fixed subset of 24 pairs. `gemm` is what the machine gives in one
large bfloat16 matrix product; a share of it counts 4 N operations a token, N being the model's 134.5 million weights,
whatever was really computed. `cpu_seconds` is the time of all cores, which other work on the machine disturbs less.
"""
import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench import row, run_child, turns, write_result

import immig_research
from immig_research.records import QAPair, read_jsonl

SAMPLE = Path(immig_research.__file__).parent/'sample'/'written.jsonl'
PAIRS = Path(os.environ['IMMIG_DATASET'])/'train.jsonl' if 'IMMIG_DATASET' in os.environ else SAMPLE
SEED_WAY, WEIGHTS = 24, 134.5e6
TRL = { # Settings of SFTConfig that were tried; `base` is the format of the frozen weights, `attention` its kernel
    'trl': dict(base='bfloat16', bf16=True, per_device_train_batch_size=8, train_sampling_strategy='group_by_length'),
    'trl-16': dict(base='bfloat16', bf16=True, per_device_train_batch_size=16, train_sampling_strategy='group_by_length'),
    'trl-packed': dict(base='bfloat16', bf16=True, per_device_train_batch_size=1, packing=True, max_length=1024),
    'trl-packed-512': dict(base='bfloat16', bf16=True, per_device_train_batch_size=1, packing=True, max_length=512),
    'trl-packed-2048': dict(base='bfloat16', bf16=True, per_device_train_batch_size=1, packing=True, max_length=2048),
    'trl-packed-eager': dict(base='bfloat16', attention='eager', bf16=True, per_device_train_batch_size=1, packing=True, max_length=512),
    'trl-small': dict(base='bfloat16', bf16=True, per_device_train_batch_size=4, train_sampling_strategy='group_by_length'),
    'trl-padding-free': dict(base='bfloat16', bf16=True, per_device_train_batch_size=8, padding_free=True, max_length=None),
    'trl-autocast': dict(base='float32', bf16=True, per_device_train_batch_size=8, train_sampling_strategy='group_by_length'),
    'trl-float32': dict(base='float32', bf16=False, per_device_train_batch_size=8, train_sampling_strategy='group_by_length'),
    'trl-defaults': dict(base='float32', gradient_checkpointing=True)}


def rows_of(tokenizer, recipe, pairs):
    "The encoded pairs, the same for every system."
    from immig_research.rows import choose_pairs, encode_pairs
    return encode_pairs(tokenizer, choose_pairs(read_jsonl(PAIRS, QAPair), pairs, 42), recipe.prompt, recipe.max_length)[0]


def prepared(dtype, pairs):
    "Model with adapter, rows, recipe."
    from immig_research.loop import add_lora
    from immig_research.models import load_base
    from immig_research.recipes import RECIPES
    recipe = replace(RECIPES['laptop'], epochs=1)
    base, tokenizer = load_base('smollm2-135m', dtype)
    return add_lora(base, recipe), tokenizer, rows_of(tokenizer, recipe, pairs), recipe


def tokens(rows): return sum(len(r['input_ids']) for r in rows)


def ours(pairs):
    "Our loop in the machine's faster format."
    from immig_research.loop import fit
    from immig_research.models import fast_dtype
    model, _, rows, recipe = prepared(fast_dtype(), pairs)
    def work():
        with tempfile.TemporaryDirectory() as folder: fit(model, rows, recipe, Path(folder))
        return tokens(rows)
    return work


def seed_way(pairs):
    "A pair at a time, padded to 512, all logits, in float32; a fixed subset of 24 pairs."
    import torch

    from immig_research.loop import make_optimizer
    model, _, rows, recipe = prepared('float32', pairs)
    rows, optimizer = rows[::max(1, len(rows)//SEED_WAY)][:SEED_WAY], make_optimizer(model, recipe)
    def work():
        model.train()
        for r in rows:
            n = 512 - len(r['input_ids'])
            ids, labels = torch.tensor([r['input_ids'] + [0]*n]), torch.tensor([r['labels'] + [-100]*n])
            mask = torch.tensor([[1]*(512 - n) + [0]*n])
            model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
            optimizer.step(); optimizer.zero_grad()
        return tokens(rows)
    return work


def trl(system, pairs):
    "TRL's SFTTrainer on the same rows."
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from immig_research.models import load_base
    from immig_research.recipes import RECIPES
    settings, recipe = dict(TRL[system]), RECIPES['laptop']
    base, tokenizer = load_base('smollm2-135m', settings.pop('base'))
    if 'attention' in settings: base.set_attn_implementation(settings.pop('attention'))
    rows = rows_of(tokenizer, recipe, pairs)
    lora = LoraConfig(r=recipe.lora_r, lora_alpha=recipe.lora_alpha, target_modules=list(recipe.target_modules), task_type='CAUSAL_LM')
    usual = dict(learning_rate=recipe.learning_rate, num_train_epochs=1, lr_scheduler_type='cosine', warmup_steps=1, gradient_checkpointing=False,
                 save_strategy='no', logging_steps=1000, report_to='none', disable_tqdm=True, use_cpu=True, max_length=512)
    config = SFTConfig(output_dir=tempfile.mkdtemp(), **{**usual, **settings})
    data = Dataset.from_list([dict(input_ids=r['input_ids'], labels=r['labels']) for r in rows])
    trainer = SFTTrainer(model=base, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora)
    def work():
        trainer.train()
        return tokens(rows)
    return work


def gemm():
    "Operations of large bfloat16 matrix products, in GFLOP."
    import torch
    a, b = (torch.randn(2048, 2048).bfloat16() for _ in range(2))
    a @ b
    def work():
        for _ in range(60): a @ b
        return 60*2*2048**3/1e9
    return work


def work(system, pairs):
    "The work of one system."
    from immig_research.models import use_threads
    use_threads()
    if system == 'gemm': return gemm()
    return trl(system, pairs) if system in TRL else dict(ours=ours, **{'seed-way': seed_way})[system](pairs)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('--child', nargs='+')
    ap.add_argument('--repeats', type=int, default=3)
    ap.add_argument('--pairs', type=int, default=128)
    ap.add_argument('--systems', default='gemm,ours,trl,trl-packed-512,seed-way')
    ap.add_argument('--search', action='store_true')
    ap.add_argument('--out', type=Path)
    args = ap.parse_args()
    if args.child: run_child(work(args.child[0], int(args.child[2]))); return
    systems = ['ours', *TRL] if args.search and args.systems == ap.get_default('systems') else args.systems.split(',')
    found = turns(__file__, [(s, 'smollm2-135m') for s in systems], 1 if args.search else args.repeats, (args.pairs,))
    speed = {s: [m['units']/m['seconds'] for m in ms] for (s, _), ms in found.items()}
    if args.search:
        for (s, _), ms in found.items(): print(f'{s:18} {speed[s][0]:7.0f} tokens/s, {ms[0]["units"]/ms[0]["cpu_seconds"]:7.0f} tokens a second of one core')
        return
    rows, ceiling = [], statistics.median(speed['gemm'])
    best = max((s for s in systems if s in TRL), key=lambda s: statistics.median(speed[s]), default=None)
    for (s, what), ms in found.items():
        if s == 'gemm': rows.append(row(s, what, 'gflop_per_s', speed[s], 'GFLOP/s')); continue
        rows.append(row(s, what, 'real_tokens_per_s', speed[s], 'tokens/s', speed['seed-way']))
        rows.append(row(s, what, 'real_tokens_per_cpu_s', [m['units']/m['cpu_seconds'] for m in ms], 'tokens/s of one core'))
        rows.append(row(s, what, 'share_of_gemm', [4*WEIGHTS*v/1e9/ceiling for v in speed[s]], '4 N operations a token'))
        rows.append(row(s, what, 'peak_mb', [m['peak_mb'] for m in ms], 'MB'))
    if best: rows.append(row('ours', f'against {best}', 'real_tokens_per_s', speed['ours'], 'tokens/s', speed[best]))
    note = f'{args.pairs} pairs of {"a real dataset" if PAIRS != SAMPLE else "the packaged sample"}; LoRA r 16 on all linear layers; ' \
        f'seed-way on a fixed subset of {SEED_WAY}; {os.environ.get("OMP_NUM_THREADS") or os.cpu_count()} threads; ratios against seed-way'
    more = {} if args.out is None else dict(folder=args.out)
    write_result('train', rows, ('torch', 'transformers', 'peft', 'trl', 'accelerate'), note, **more)


if __name__ == '__main__': main()
