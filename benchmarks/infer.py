"""Answers a second: this project's two modes against the seed's way and the library at its best, on the same prompts.

`python benchmarks/infer.py` asks 101 questions of the packaged written set (development part) with the embedded model:
the same prompts, 64 new tokens each (the end mark suppressed), every engine in a process of its own. Loading the model is
not timed; it is the same for all. The seed's way (bfloat16, one at a time) runs the first 24 questions only.
"""
import argparse
import sys

from bench import row, run_child, turns, write_result

TOKENS, SEED_N = 64, 24
SYSTEMS = ('seed-way', 'transformers-one', 'transformers-fp32', 'transformers-bf16', 'ours-scored', 'ours-fast')


def prompts_of(tokenizer, n):
    from immig_research.infer import encode_prompts
    from immig_research.records import QAPair
    from immig_research.written import read_written
    return encode_prompts(tokenizer, [QAPair(r.qa_id, r.question) for r in read_written(splits=['dev'])[:n]])


def library(model, tokenizer, prompts, size):
    "The library's `generate` in batches of `size`, left padded, in the order given."
    import torch
    from immig_research.infer import left_pad
    out = []
    for s in range(0, len(prompts), size):
        batch = left_pad(prompts[s:s + size], tokenizer.eos_token_id)
        with torch.inference_mode():
            new = model.generate(**batch, do_sample=False, max_new_tokens=TOKENS, min_new_tokens=TOKENS, eos_token_id=None, pad_token_id=tokenizer.eos_token_id)
        out += new[:, batch['input_ids'].shape[1]:].tolist()
    return out


def ours(model, tokenizer, prompts):
    from immig_research import infer as I
    fit = lambda length: I.rows_that_fit(model.config, length + TOKENS, I.free_bytes(), model.dtype.itemsize)
    out = [None] * len(prompts)
    for batch in I.plan_batches(prompts, 101, fit):
        for i, ids in zip(batch, I._decode(model, I.left_pad([prompts[i] for i in batch], tokenizer.eos_token_id), [-1], TOKENS)): out[i] = ids
    return out


def child(system, n):
    from immig_research.train import fast_dtype, load_base
    dtype = {'seed-way': 'bfloat16', 'transformers-one': 'float32', 'transformers-bf16': 'bfloat16', 'ours-fast': fast_dtype()}.get(system, 'float32')
    model, tokenizer = load_base('smollm2-135m', dtype)
    prompts = prompts_of(tokenizer, min(n, SEED_N) if system in ('seed-way', 'transformers-one') else n)
    run = {'seed-way': lambda: library(model, tokenizer, prompts, 1), 'transformers-one': lambda: library(model, tokenizer, prompts, 1)}
    work = run.get(system) or ((lambda: ours(model, tokenizer, prompts)) if system.startswith('ours') else (lambda: library(model, tokenizer, prompts, 101)))
    run_child(lambda: sum(map(len, work())))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--questions', type=int, default=101)
    args = parser.parse_args()
    found = turns(__file__, [(s, str(args.questions)) for s in SYSTEMS], args.repeats)
    rate = {s: [m['units'] / m['seconds'] for m in found[s, str(args.questions)]] for s in SYSTEMS}
    rows = []
    for s in SYSTEMS:
        rows.append(row(s, 'written dev', 'new_tokens_per_s', rate[s], 'tokens/s', rate['seed-way']))
        rows.append(row(s, 'written dev', 'peak_mb', [m['peak_mb'] for m in found[s, str(args.questions)]], 'MB'))
    note = f'{args.questions} prompts, {TOKENS} new tokens each; one-at-a-time systems run the first {SEED_N}. Two shared cores, other work beside: only ratios count.'
    for r in write_result('infer', rows, ('torch', 'transformers'), note)['rows']: print(r['system'], r['metric'], r['value'], r['ratio'])


if __name__ == '__main__':
    if len(sys.argv) > 2 and sys.argv[1] == '--child': child(sys.argv[2], int(sys.argv[3]))
    else: main()
