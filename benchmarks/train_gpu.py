"""LoRA training of a model with the shape of Llama 3.2 3B on one GPU: ours, and TRL's SFTTrainer with packing.

    python benchmarks/train_gpu.py --encode rows.json.gz       encodes the pairs that IMMIG_DATASET names, where the tokenizer is
    python benchmarks/train_gpu.py --rows rows.json.gz         the measurement, where the GPU is
    python benchmarks/train_gpu.py --rows rows.json.gz --search   tries settings of TRL one after another, to find its best

The weights are random, so a run shows speed and memory, not learning. Rows are pairs of a real dataset in the embedded
model's tokens. The recipe is `best` with rank 16: LoRA on all linear layers, no dropout, a base in bfloat16, no gradient
checkpointing for anyone. Each system is a process of its own that loads, warms up on all rows once, and then waits
for its turns; only the turns are timed, from encoded rows to the end of an epoch over them. TRL's batches are
packed (best fit) before the clock starts. Its attention is the FlashAttention that torch carries, called with the bounds of
the packed rows, as `flash-attn` would be: no wheel of that package could be had.

A token counts if it is one of a pair's. `mfu` is 4 N operations a token, N being all weights, over the card's dense
bfloat16 peak; `mfu_of_what_ran` counts the products with weights that really ran: a common head once a part, the
output layer only where something is learnt, padding too; attention and LoRA are left out. `share_of_product` sets the former against a large bfloat16 product on this card.
"""
import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench import row, write_result

PEAK, EPOCH_PAIRS = 989e12, 16_065
SHAPES = {'llama-3b': dict(hidden_size=3072, num_hidden_layers=28, num_attention_heads=24, num_key_value_heads=8, intermediate_size=8192,
                           vocab_size=128256, rms_norm_eps=1e-5, rope_parameters=dict(rope_type='default', rope_theta=500000.0)),
          'tiny': dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=128, vocab_size=49152)}
PACKED = dict(attention='varlen', packing=True, per_device_train_batch_size=1)
TRL = { # Settings of SFTConfig that were tried; `attention` is the kernel's name in transformers
    'trl-padded': dict(attention='sdpa', per_device_train_batch_size=32, train_sampling_strategy='group_by_length'),
    'trl-packed-sdpa': dict(PACKED, attention='sdpa', max_length=4096),
    'trl-packed': dict(PACKED, max_length=6144),
    'trl-packed-16k': dict(PACKED, max_length=16384),
    'trl-packed-liger': dict(PACKED, max_length=6144, use_liger_kernel=True),
    'trl-packed-liger-10k': dict(PACKED, max_length=10240, use_liger_kernel=True),
    'trl-padding-free': dict(attention='varlen', padding_free=True, per_device_train_batch_size=32, max_length=None, train_sampling_strategy='group_by_length'),
    'trl-packed-compiled': dict(PACKED, max_length=6144, torch_compile=True),
    'trl-packed-flex': dict(PACKED, attention='flex_attention', max_length=6144)}


def encode(path):
    "Write the encoded pairs of the dataset as `path`."
    from immig_research.models import model_folder
    from immig_research.records import QAPair, read_jsonl
    from immig_research.rows import encode_pairs
    from transformers import AutoTokenizer
    tokenizer, recipe = AutoTokenizer.from_pretrained(model_folder('smollm2-135m')), best()
    rows, refused = encode_pairs(tokenizer, read_jsonl(Path(os.environ['IMMIG_DATASET'])/'train.jsonl', QAPair), recipe.prompt, recipe.max_length)
    path.write_bytes(gzip.compress(json.dumps([[r['input_ids'], r['labels'].count(-100)] for r in rows]).encode()))
    print(len(rows), 'rows,', len(refused), 'refused')


def read_rows(path, pairs):
    "`pairs` of the rows, evenly over the file."
    found = json.loads(gzip.decompress(path.read_bytes()))
    found = found[::max(1, len(found)//pairs)][:pairs]
    return [dict(input_ids=ids, labels=[-100]*n + ids[n:]) for ids, n in found]


def best():
    "The recipe, for one epoch."
    from immig_research.recipes import RECIPES
    return replace(RECIPES['best'], lora_r=16, lora_alpha=32, epochs=1, evals=1)


def random_model(shape, attention='sdpa'):
    "A Llama of that `shape` with random weights in bfloat16, where training takes place."
    import torch
    from immig_research.models import device
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device()):
            model = LlamaForCausalLM._from_config(LlamaConfig(**SHAPES[shape], tie_word_embeddings=True, max_position_embeddings=16384, attn_implementation=attention))
    finally: torch.set_default_dtype(torch.float32)
    return model


def weights_of(model): return sum(p.numel() for n, p in model.named_parameters() if 'lora_' not in n)


def operations(lm, rows, recipe, weights):
    "Floating-point operations of our pass over `rows`: the products with `weights` that run, forward and backward; attention and LoRA left out."
    from immig_research.loop import plan_steps
    from immig_research.rows import common_head, count_rows, micro_batches
    head = lm.get_output_embeddings().weight.numel()
    tokens = 0
    for _, batch in plan_steps(rows, recipe):
        for part in micro_batches([rows[i] for i in batch], recipe.micro_tokens):
            n = common_head(part)
            tokens += n + len(part)*(max(len(r['input_ids']) for r in part) - n)
    return 4*(weights - head)*tokens + 4*head*count_rows(rows)['answer_tokens']


def ours(shape, rows):
    "The package's own `fit`, checkpoint at the end and all."
    from immig_research.loop import add_lora, fit
    model, recipe = random_model(shape), best()
    count = weights_of(model)
    tuned = add_lora(model, recipe)
    def work():
        with tempfile.TemporaryDirectory() as folder: done = fit(tuned, rows, recipe, Path(folder))
        return dict(loss=done['curve'][-1]['loss'], steps=len(done['curve']))
    return work, dict(weights=count, ran=operations(model, rows, recipe, count))


def library(shape, rows):
    "Our loop over the library's own pass, rows packed under a mask, to see what the written-out pass brings."
    from immig_research import llama
    llama.written_out = lambda model: False
    return ours(shape, rows)


def varlen(module, query, key, value, attention_mask, *, cu_seq_lens_q, max_length_q, scaling=None, dropout=0.0, **more):
    "Attention inside the bounds of packed rows: the FlashAttention that torch carries, as transformers calls flash-attn."
    import torch
    q, k, v = (t.transpose(1, 2)[0] for t in (query, key, value))
    out = torch.ops.aten._flash_attention_forward(q, k, v, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, dropout, True, False, scale=scaling)[0]
    return out[None], None


def trl(shape, rows, system):
    "TRL's SFTTrainer on the same rows."
    import torch
    from datasets import Dataset
    from immig_research.models import byte_tokenizer
    from peft import LoraConfig
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import flash_attention_mask
    from trl import SFTConfig, SFTTrainer
    AttentionInterface.register('varlen', varlen)
    AttentionMaskInterface.register('varlen', flash_attention_mask)
    settings, recipe = dict(TRL[system]), best()
    base = random_model(shape, settings.pop('attention'))
    count = weights_of(base)
    lora = LoraConfig(r=recipe.lora_r, lora_alpha=recipe.lora_alpha, target_modules=list(recipe.target_modules), task_type='CAUSAL_LM')
    usual = dict(learning_rate=recipe.learning_rate, num_train_epochs=1, lr_scheduler_type='cosine', warmup_steps=1, gradient_checkpointing=False, bf16=True,
                 optim='adamw_torch_fused', save_strategy='no', logging_steps=1000, report_to='none', disable_tqdm=True, max_length=1024, use_cpu=not torch.cuda.is_available())
    config = SFTConfig(output_dir=tempfile.mkdtemp(), **{**usual, **settings})
    trainer = SFTTrainer(model=base, args=config, train_dataset=Dataset.from_list(rows), processing_class=byte_tokenizer(), peft_config=lora)
    def work():
        done = trainer.train()
        return dict(loss=done.training_loss, steps=done.global_step)
    return work, dict(weights=count)


def product():
    "A large bfloat16 matrix product."
    import torch
    from immig_research.models import device
    n = 8192 if torch.cuda.is_available() else 512
    a, b = (torch.randn(n, n, device=device()).bfloat16() for _ in range(2))
    def work():
        for _ in range(50): a @ b
        return dict(operations=50*2*n**3)
    return work, {}


def child(args):
    "Load one system, say so, and then do a turn for each line that comes in."
    import torch
    from immig_research.rows import count_rows
    gpu, said = torch.cuda.is_available(), os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1) # Whatever libraries print goes to the error stream
    rows = read_rows(args.rows, args.pairs)
    make = dict(ours=lambda: ours(args.shape, rows), library=lambda: library(args.shape, rows), product=product)
    work, about = make.get(args.child, lambda: trl(args.shape, rows, args.child))()
    def turn():
        if gpu: torch.cuda.synchronize(); torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        done = work()
        if gpu: torch.cuda.synchronize()
        done['seconds'] = time.perf_counter() - start
        if gpu: done['peak_mb'] = torch.cuda.max_memory_allocated()/1e6; torch.cuda.empty_cache()
        return done
    print(json.dumps(dict(about, **count_rows(rows), gpu=torch.cuda.get_device_name() if gpu else 'none')), file=said, flush=True)
    for _ in sys.stdin: print(json.dumps(turn()), file=said, flush=True)


class Worker:
    "A process that holds one system."
    def __init__(self, args, system):
        self.system, self.log = system, tempfile.TemporaryFile('w+')
        command = [sys.executable, __file__, '--child', system, '--rows', str(args.rows), '--pairs', str(args.pairs), '--shape', args.shape]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1)
    def read(self):
        line = self.process.stdout.readline()
        if line: return json.loads(line)
        self.process.wait(); self.log.seek(0)
        raise RuntimeError(f'{self.system} ended: {self.log.read()[-1500:]}')
    def turn(self):
        self.process.stdin.write('go\n'); self.process.stdin.flush()
        return self.read()
    def close(self): self.process.stdin.close(); self.process.wait()


def search(args, systems):
    "Each system for one turn, one after another."
    for system in systems:
        start = time.perf_counter()
        try:
            worker = Worker(args, system)
            about, warm, done = worker.read(), worker.turn(), worker.turn()
            worker.close()
        except RuntimeError as e: print(f'{system:20} {e}', flush=True); continue
        print(f'{system:20} {about["tokens"]/done["seconds"]:8.0f} tokens/s {done.get("peak_mb", 0):8.0f} MB, {done["steps"]} steps, loss {done["loss"]:.3f}, '
              f'warm-up {warm["seconds"]:.1f} s, all {time.perf_counter() - start:.0f} s', flush=True)


def turns(args, systems):
    "All systems in turn: what each said of itself, and its measurements; kept on disk after each turn."
    workers, about, found = {s: Worker(args, s) for s in systems}, {}, {s: [] for s in systems}
    for system, worker in list(workers.items()):
        try: about[system], warm = worker.read(), worker.turn()
        except RuntimeError as e: print(e, flush=True); del workers[system], found[system]; continue
        print(f'ready: {system} {about[system]} {warm}', flush=True)
    for n in range(args.repeats):
        for system, worker in list(workers.items()):
            try: found[system].append(worker.turn())
            except RuntimeError as e: print(e, flush=True); del workers[system], about[system], found[system]; continue
            print(f'{n + 1}/{args.repeats} {system} {found[system][-1]}', flush=True)
            if args.out: args.out.mkdir(parents=True, exist_ok=True); (args.out/'train-gpu.part.json').write_text(json.dumps(dict(about=about, found=found)))
    for worker in workers.values(): worker.close()
    return about, found


def table(shape, about, found, baseline):
    "The rows of the result."
    rows, seconds = [], {s: [m['seconds'] for m in ms] for s, ms in found.items()}
    ceiling = statistics.median([m['operations']/m['seconds'] for m in found['product']])
    rows.append(row('product', 'bfloat16', 'tflop_per_s', [m['operations']/m['seconds']/1e12 for m in found['product']], 'TFLOP/s'))
    rate = {s: [about[s]['tokens']/t for t in ts] for s, ts in seconds.items()}
    for s, said in about.items():
        if s == 'product': continue
        work = 4*said['weights']
        rows.append(row(s, shape, 'real_tokens_per_s', rate[s], 'tokens/s', rate[baseline]))
        rows.append(row(s, shape, 'mfu', [work*v/PEAK for v in rate[s]], '4 N operations a token, of 989 TFLOP/s'))
        if 'ran' in said: rows.append(row(s, shape, 'mfu_of_what_ran', [said['ran']/t/PEAK for t in seconds[s]], 'operations that ran, of 989 TFLOP/s'))
        rows.append(row(s, shape, 'share_of_product', [work*v/ceiling for v in rate[s]], '4 N operations a token, of the product'))
        rows.append(row(s, shape, 'peak_mb', [m['peak_mb'] for m in found[s]], 'MB of the GPU'))
        rows.append(row(s, f'{EPOCH_PAIRS} pairs', 'epoch_s', [t*EPOCH_PAIRS/said['pairs'] for t in seconds[s]], 's, worked out'))
    return rows


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('--child')
    ap.add_argument('--encode', type=Path)
    ap.add_argument('--rows', type=Path)
    ap.add_argument('--pairs', type=int, default=1280)
    ap.add_argument('--repeats', type=int, default=3)
    ap.add_argument('--shape', choices=SHAPES, default='llama-3b')
    ap.add_argument('--systems', default='product,ours,trl-packed-liger,trl-packed-liger-10k')
    ap.add_argument('--search', action='store_true')
    ap.add_argument('--out', type=Path)
    args = ap.parse_args()
    if args.encode: encode(args.encode); return
    if args.child: child(args); return
    if args.search: search(args, ['ours', 'library', *TRL] if args.systems == ap.get_default('systems') else args.systems.split(',')); return
    about, found = turns(args, args.systems.split(','))
    baseline = max((s for s in found if s in TRL), key=lambda s: -statistics.median(m['seconds'] for m in found[s]))
    said = about['ours']
    note = (f'{said["gpu"]}; {said["pairs"]} pairs of a real dataset, {said["tokens"]} tokens, {said["answer_tokens"]} of them learnt; random weights, LoRA r 16 on all linear '
            f'layers; loading and a first pass not timed; ours keeps a checkpoint within its time, TRL none; ratios against {baseline}; an epoch of {EPOCH_PAIRS} pairs is worked out from the measured ones')
    write_result('train-gpu', table(args.shape, about, found, baseline), ('torch', 'transformers', 'peft', 'trl', 'accelerate', 'liger-kernel'), note,
                 **({} if args.out is None else dict(folder=args.out)))


if __name__ == '__main__': main()
