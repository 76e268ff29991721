"""Answers a second: this project's two modes against the seed's way and its peers at their best, on the same prompts.

`python benchmarks/infer.py` asks 101 questions of the packaged written set (development part) with the embedded model: the
same prompts as token ids, 64 new tokens each (the end mark does not stop an engine), every engine in a process of its own,
all of them in turn, three times. Loading and converting the model is not timed; it is the same work for all. The seed's way
(bfloat16, one at a time) answers the first 24 questions only. Threads are the machine's cores: unset OMP_NUM_THREADS.
`same_text` is the share of prompts at which an engine wrote the tokens that transformers writes in float32, up to the end mark.
`--sweep` tries the settings of the peers once each and writes nothing: those in `SYSTEMS` were the fastest.
"""
import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import row, run_child, turns, write_result

TOKENS, SEED_N, REFERENCE = 64, 24, 'transformers-fp32'
SYSTEMS = { # engine and its settings
    'seed-way': ('transformers', dict(dtype='bfloat16', size=1)),
    'transformers-fp32': ('transformers', dict(dtype='float32', size=101)),
    'transformers-b101': ('transformers', dict(dtype='bfloat16', size=101)),
    'ctranslate2': ('ctranslate2', dict(compute='int8', size=101)),
    'llama.cpp': ('llama.cpp', dict(weights='bf16', slots=32)),
    'ours-scored': ('ours', dict(mode='scored')),
    'ours-fast': ('ours', dict(mode='fast'))}
SWEEP = {
    **{f'ctranslate2-{compute}-{size}': ('ctranslate2', dict(compute=compute, size=size)) for compute, size in
       (('int8', 32), ('int8', 101), ('float32', 101), ('bfloat16', 101), ('int8_bfloat16', 101))},
    **{f'llama.cpp-{weights}-{slots}': ('llama.cpp', dict(weights=weights, slots=slots)) for weights, slots in
       (('bf16', 16), ('bf16', 32), ('bf16', 64), ('f16', 32), ('q4', 32))},
    **{f'transformers-{dtype}-{size}': ('transformers', dict(dtype=dtype, size=size)) for dtype, size in (('bfloat16', 32), ('float32', 32))}}


def prompts_of(tokenizer, n):
    from immig_research.infer import encode_prompts
    from immig_research.records import QAPair
    from immig_research.written import read_written
    return encode_prompts(tokenizer, [QAPair(r.qa_id, r.question) for r in read_written(splits=['dev'])[:n]])


def cores(): return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


# Each engine: prompts in, a function that gives the new tokens of every prompt out
def transformers(prompts, dtype, size):
    "The library's `generate` in batches of `size`, left padded, in the order given."
    import torch
    from immig_research.infer import left_pad
    from immig_research.train import load_base
    model, tokenizer = load_base('smollm2-135m', dtype)
    end = tokenizer.eos_token_id

    def work():
        out = []
        for s in range(0, len(prompts), size):
            batch = left_pad(prompts[s:s + size], end)
            with torch.inference_mode():
                new = model.generate(**batch, do_sample=False, max_new_tokens=TOKENS, min_new_tokens=TOKENS, eos_token_id=None, pad_token_id=end)
            out += new[:, batch['input_ids'].shape[1]:].tolist()
        return out
    return work


def ours(prompts, mode):
    from immig_research import infer as I
    from immig_research.train import load_base
    model, tokenizer = load_base('smollm2-135m', I.choose_dtype(mode))

    def fit(length): return I.rows_that_fit(model.config, length + TOKENS, I.free_bytes(), model.dtype.itemsize)

    def work():
        out = [None] * len(prompts)
        for batch in I.plan_batches(prompts, 101, fit):
            for i, ids in zip(batch, I._decode(model, I.left_pad([prompts[i] for i in batch], tokenizer.eos_token_id), [-1], TOKENS)): out[i] = ids
        return out
    return work


def kept(name, make):
    "A converted model among the project's data, made once."
    from immig_research.records import data_dir
    path = data_dir()/'models'/'bench'/name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f'.{os.getpid()}.{name}')
        make(part)
        part.rename(path)
    return path


def ctranslate2(prompts, compute, size):
    import ctranslate2
    from ctranslate2.converters import TransformersConverter
    from immig_research.train import load_base, model_folder
    folder = kept('ctranslate2', lambda part: TransformersConverter(str(model_folder('smollm2-135m'))).convert(str(part)))
    tokenizer = load_base('smollm2-135m')[1]
    engine = ctranslate2.Generator(str(folder), device='cpu', compute_type=compute, intra_threads=cores(), inter_threads=1)
    asked = [tokenizer.convert_ids_to_tokens(p) for p in prompts]
    return lambda: [r.sequences_ids[0] for r in engine.generate_batch(asked, max_batch_size=size, min_length=TOKENS, max_length=TOKENS, sampling_topk=1, include_prompt_in_result=False)]


def gguf_file(weights):
    "The embedded model as GGUF: q4, as it is packaged (Q4_1), or f16 or bf16 from the weights that all other engines use."
    import gguf
    from immig_research import gguf_file as G
    from immig_research.models import embedded_gguf, load_base, model_folder
    if weights == 'q4': return embedded_gguf()
    if weights == 'f16': return kept('f16.gguf', lambda part: G.export_gguf(model_folder('smollm2-135m'), part))

    def write(part):
        model, writer, kind = load_base('smollm2-135m')[0], gguf.GGUFWriter(str(part), 'llama'), gguf.GGMLQuantizationType.BF16
        G._copy_settings(writer, embedded_gguf(), G._own_settings(model.config), True)
        for name, array in G.gguf_tensors(model):
            if array.ndim > 1: writer.add_tensor(name, gguf.quantize(array, kind), raw_dtype=kind)
            else: writer.add_tensor(name, array)
        writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file()
        writer.close()
    return kept('bf16.gguf', write)


def llama_cpp(prompts, weights, slots):
    "llama.cpp's own HTTP server on loopback, as many requests at a time as it has slots."
    import httpx
    import xllamacpp
    said = xllamacpp.CommonParams()
    said.model.path, said.n_parallel, said.n_ctx, said.verbosity = str(gguf_file(weights)), slots, 256 * slots, -1
    said.cpuparams.n_threads = said.cpuparams_batch.n_threads = cores()
    server = xllamacpp.Server(said)
    client = httpx.Client(base_url=server.listening_address, timeout=600, limits=httpx.Limits(max_connections=slots))

    def one(ids):
        body = dict(prompt=ids, n_predict=TOKENS, temperature=0, ignore_eos=True, cache_prompt=False, return_tokens=True)
        return client.post('/completion', json=body).raise_for_status().json()['tokens']

    def work():
        assert server # it ends with its last reference
        with ThreadPoolExecutor(slots) as pool: return list(pool.map(one, prompts))
    return work


ENGINES = {'transformers': transformers, 'ours': ours, 'ctranslate2': ctranslate2, 'llama.cpp': llama_cpp}


def child(system, n, folder):
    from immig_research.train import load_base
    engine, settings = {**SWEEP, **SYSTEMS}[system]
    prompts = prompts_of(load_base('smollm2-135m')[1], min(n, SEED_N) if system == 'seed-way' else n)
    work, wrote = ENGINES[engine](prompts, **settings), []

    def timed():
        wrote[:] = work()
        return sum(map(len, wrote))
    run_child(timed)
    if any(len(ids) != TOKENS for ids in wrote): raise SystemExit(f'{system} wrote {sorted({len(ids) for ids in wrote})} tokens, not {TOKENS}')
    (Path(folder)/f'{system}.json').write_text(json.dumps(wrote))


def same_text(folder, system):
    "Share of prompts at which `system` wrote what the reference wrote up to its end mark."
    from immig_research.train import load_base
    end = load_base('smollm2-135m')[1].eos_token_id
    mine, theirs = (json.loads((Path(folder)/f'{s}.json').read_text()) for s in (system, REFERENCE))
    ends = [t.index(end) if end in t else TOKENS for t in theirs]
    return sum(m[:e] == t[:e] for m, t, e in zip(mine, theirs, ends)) / len(mine)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--questions', type=int, default=101)
    parser.add_argument('--systems', default='', help='some of them, apart by commas; nothing is written')
    parser.add_argument('--sweep', action='store_true', help='try the settings of the peers once each; nothing is written')
    args = parser.parse_args()
    names = [REFERENCE, *SWEEP] if args.sweep else args.systems.split(',') if args.systems else list(SYSTEMS)
    with tempfile.TemporaryDirectory() as folder:
        found = turns(__file__, [(s, str(args.questions)) for s in names], 1 if args.sweep else args.repeats, (folder,))
        same = {s: same_text(folder, s) for s in names} if REFERENCE in names else {}
    rate = {s: [m['units'] / m['seconds'] for m in found[s, str(args.questions)]] for s in names}
    rows = []
    for s in names:
        rows.append(row(s, 'written dev', 'new_tokens_per_s', rate[s], 'tokens/s', rate.get('seed-way')))
        rows.append(row(s, 'written dev', 'peak_mb', [m['peak_mb'] for m in found[s, str(args.questions)]], 'MB'))
        if same: rows.append(row(s, 'written dev', 'same_text', [same[s]], 'share of prompts'))
    for r in rows: print(r['system'], r['metric'], r['value'], r['ratio'] or '')
    if args.sweep or args.systems or args.questions != 101: return
    note = (f'{args.questions} prompts, {TOKENS} new tokens each; the seed\'s way answers the first {SEED_N}. {cores()} cores; engines in turn, each in a process of its own. '
            + '; '.join(f'{s}: {", ".join(f"{k} {v}" for k, v in settings.items())}' for s, (_, settings) in SYSTEMS.items()))
    write_result('infer', rows, ('torch', 'transformers', 'ctranslate2', 'xllamacpp'), note)


if __name__ == '__main__':
    if len(sys.argv) > 2 and sys.argv[1] == '--child': child(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else: main()
