"The trainer: masks on odd rows, parity with the library, kills at every step, gates with a model broken on purpose."
import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('peft')
from immig_research import adapters, gates, llama, loop, losses  # noqa: E402
from immig_research import train as T  # noqa: E402
from immig_research.losses import answer_loss  # noqa: E402
from immig_research.models import byte_tokenizer, device, load_base, read_record, toy_model, write_record  # noqa: E402
from immig_research.prompts import prompt_sha256  # noqa: E402
from immig_research.records import BadInput, QAPair, read_jsonl, write_jsonl  # noqa: E402
from immig_research.rows import common_head, encode_pair, pack  # noqa: E402

TOPICS = ['asylum', 'general', 'removal']
VOLATILE = 'timings.jsonl'


class Killed(Exception): pass


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def one_core(monkeypatch): monkeypatch.setenv('OMP_NUM_THREADS', '1')


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp('dataset')
    pairs = [QAPair(f'q{k}', f'Which form has number {k}?', f'Form I-{100 + k}' + ', with the fee' * (k % 4) + '.', immigration_subtopic=TOPICS[k % 3]) for k in range(26)]
    write_jsonl(folder/'train.jsonl', pairs[:20])
    write_jsonl(folder/'eval.jsonl', pairs[20:])
    return folder


@pytest.fixture(scope='module')
def recipe(): return replace(T.RECIPES['toy'], epochs=1, lora_dropout=0.1)


@pytest.fixture(scope='module')
def whole(dataset, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp('whole')
    return out, T.train(dataset, recipe, out, model='toy')


def files(folder): return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file() and p.name != VOLATILE}


@pytest.mark.parametrize('answer', ['x', 'At least 18.', 'One.\n\nTwo.', 'ends oddly<|im_end|>', '§ 1229b — "ten years"', '\n  blanks  \n'])
def test_loss_is_on_answer_and_end_mark_only(answer):
    tok = byte_tokenizer()
    row = encode_pair(tok, 'Who<|im_end|>?', answer, max_length=1000)
    n = row['labels'].count(-100)
    assert row['labels'][:n] == [-100]*n and row['labels'][n:] == row['input_ids'][n:]
    assert row['labels'].count(tok.eos_token_id) == 1 and row['labels'][-1] == tok.eos_token_id
    assert tok.decode(row['labels'][n:-1]) == answer.strip().replace('<|', '< |')


def test_rows_that_would_be_cut_are_refused_and_counted(dataset, recipe, tmp_path):
    lengths = [len(encode_pair(byte_tokenizer(), p.question, p.answer, max_length=9999)['input_ids']) for p in read_jsonl(dataset/'train.jsonl', QAPair)]
    limit = sorted(lengths)[10]
    report = T.train(dataset, replace(recipe, max_length=limit), tmp_path, model='toy')
    assert report['train']['pairs'] == sum(n <= limit for n in lengths)
    assert report['refused']['train'] == sum(n > limit for n in lengths) > 0
    rows = read_jsonl(tmp_path/'refused.jsonl')
    assert len(rows) == sum(report['refused'].values()) and all('its answer would be cut' in r['reason'] for r in rows)


def test_a_template_without_end_mark_can_not_be_learnt():
    tok = byte_tokenizer()
    tok.chat_template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    with pytest.raises(BadInput, match='does not end an answer'): encode_pair(tok, 'Who?', 'You.')


def lively(changes=(), dtype='float32'):
    "A toy with an adapter that does something."
    model = loop.add_lora(toy_model()[0].to(getattr(torch, dtype)), replace(T.RECIPES['toy'], **dict(changes)))
    torch.manual_seed(1)
    for _, p in loop.learnt(model): p.data.normal_(std=0.05)
    return model.train()


def gradient(model, loss):
    model.zero_grad()
    loss.backward()
    return [p.grad.clone() for _, p in loop.learnt(model)]


@pytest.fixture(scope='module')
def rows():
    tok = byte_tokenizer()
    return [encode_pair(tok, 'Q' * k, 'An answer. ' * k) for k in (1, 2, 5, 3)]


def library(model, rows, total):
    "The library's own loss and mask, a row at a time."
    loss = 0
    for r in rows:
        ids, labels = (torch.tensor([r[k]]) for k in ('input_ids', 'labels'))
        loss = loss + model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss*sum(x != -100 for x in r['labels'])/total
    return loss


@pytest.mark.parametrize('way', ['padded', 'packed', 'written out', 'micro 1', 'micro 300'])
def test_gradients_equal_the_library(rows, way):
    model = lively()
    total = T.count_rows(rows)['answer_tokens']
    expected = gradient(model, library(model, rows, total))
    if way == 'written out':
        assert llama.written_out(model)
        found = gradient(model, llama.training_loss(model, rows)[0]/total)
    elif way in ('padded', 'packed'): found = gradient(model, answer_loss(model, rows, way == 'packed')[0]/total)
    else:
        model.zero_grad()
        loop.gradients(model, rows, total, int(way.split()[1]))
        found = [p.grad for _, p in loop.learnt(model)]
    for a, b in zip(expected, found, strict=True): torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('head', [0, 5, 20])
def test_packed_rows_do_not_see_each_other(rows, head):
    tok = byte_tokenizer()
    alike = [encode_pair(tok, 'The same beginning' + end, 'And an answer.') for end in ('', ' and more', '?')]
    assert common_head(alike) > 20
    ids, at, seen, where, target = pack(alike, head)
    model = lively().eval()
    base = model.get_base_model().model
    together = base(input_ids=ids, position_ids=at, attention_mask=seen).last_hidden_state[0, where]
    apart = torch.cat([base(input_ids=torch.tensor([r['input_ids']])).last_hidden_state[0, r['labels'].count(-100) - 1:-1] for r in alike])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)
    assert target.tolist() == [x for r in alike for x in r['labels'] if x != -100]


@pytest.mark.parametrize('trial', range(6))
def test_written_out_pass_equals_the_library_on_random_rows(trial):
    import random
    rng = random.Random(trial)
    begin = [rng.randrange(3, 250) for _ in range(rng.randrange(0, 12))]
    rows = []
    for _ in range(rng.randrange(1, 6)):
        ids = begin + [rng.randrange(3, 250) for _ in range(rng.randrange(3, 60))]
        n = rng.randrange(len(begin) + 1, len(ids))
        rows.append(dict(input_ids=ids, labels=[-100]*n + ids[n:]))
    targets = [('q_proj',), ('q_proj', 'v_proj'), ('gate_proj', 'down_proj', 'o_proj'), T.RECIPES['laptop'].target_modules][trial % 4]
    model = lively(dict(target_modules=targets, lora_r=1 + trial).items())
    fast, slow = llama.training_loss(model, rows), answer_loss(model, rows)
    assert fast[1] == slow[1] and float(fast[0].detach()) == pytest.approx(float(slow[0].detach()), rel=1e-5)
    for a, b in zip(gradient(model, llama.training_loss(model, rows)[0]), gradient(model, answer_loss(model, rows)[0]), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-5)


NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')


def on_gpu(dtype): return pytest.param('cuda', dtype, marks=[NO_GPU, pytest.mark.gpu])


@pytest.mark.parametrize(('where', 'dtype'), [('cpu', 'float32'), on_gpu('float32'), on_gpu('bfloat16')])
def test_the_pass_for_a_gpu_equals_the_library(rows, where, dtype, monkeypatch):
    "On a processor its attention alone; on a GPU all of it."
    real = llama.lay_out

    def without_masks(*args):
        x, layout = real(*args)
        return x, replace(layout, masks=(None, None))
    monkeypatch.setattr(llama, 'lay_out', without_masks)
    model = lively(dtype=dtype).to(where)
    assert llama.written_out(model)
    for part in (rows, rows[:1]):
        ours = gradient(model, llama.training_loss(model, part)[0])
        with losses.precision(model): slow = answer_loss(model, part)[0]
        theirs = gradient(model, slow)
        if dtype == 'float32':
            for a, b in zip(ours, theirs, strict=True): torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-5)
        else:
            a, b = (torch.cat([g.flatten() for g in found]) for found in (ours, theirs))
            assert float((a - b).norm()/b.norm()) < 0.1


@pytest.mark.parametrize('cut', [None, 3, 4])
def test_losses_that_are_read_late_are_the_same_and_in_order(dataset, recipe, tmp_path, monkeypatch, cut):
    "As on a GPU, where a loss is read when the next step is under way; killed at call 4, the loss of the third step is unread."
    pairs = [encode_pair(byte_tokenizer(), p.question, p.answer) for p in read_jsonl(dataset/'train.jsonl', QAPair)]
    recipe, seen, real, calls, ticks = replace(recipe, epochs=2, evals=2), [], loop.train_step, [], itertools.count()
    run = lambda folder, **more: loop.fit(loop.add_lora(toy_model()[0], recipe), pairs, recipe, tmp_path/folder, evaluate=lambda: dict(loss=9.0), **more)
    expected = run('a')
    monkeypatch.setattr(loop, 'reads_late', lambda model: True)
    monkeypatch.setattr(loop, 'CHECKPOINT_S', 2) # A tick each time the clock is read: every second step
    monkeypatch.setattr(loop, 'time', SimpleNamespace(monotonic=lambda: next(ticks)))

    def dying(*args):
        calls.append(1)
        if len(calls) == cut: raise Killed
        return real(*args)
    watch = lambda row: seen.append(row['step'])
    if cut:
        with monkeypatch.context() as patch:
            patch.setattr(loop, 'train_step', dying)
            with pytest.raises(Killed): run('b', on_step=watch)
        assert len(calls) == cut and seen == [0, 1] # What was learnt after the checkpoint waits
    done = run('b', on_step=watch)
    assert done['curve'] == expected['curve'] and done['evals'] == expected['evals']
    assert done['begun'] == (2 if cut else 0) and seen == list(range(len(expected['curve'])))


@pytest.mark.parametrize(('seconds', 'kept'), [(0, ['step-0000001', 'step-0000002']), (60, [])])
def test_a_loss_that_is_no_number_stops_a_run_that_reads_late(rows, tmp_path, monkeypatch, seconds, kept):
    "And no checkpoint holds it."
    monkeypatch.setattr(loop, 'reads_late', lambda model: True)
    monkeypatch.setattr(loop, 'CHECKPOINT_S', seconds)
    model, real, calls = lively(), loop.train_step, []

    def spoilt(*args):
        calls.append(1)
        if len(calls) == 3: loop.learnt(model)[0][1].data.fill_(float('nan'))
        return real(*args)
    monkeypatch.setattr(loop, 'train_step', spoilt)
    with pytest.raises(RuntimeError, match='the loss is nan'): loop.fit(model, rows*8, T.RECIPES['toy'], tmp_path)
    assert sorted(p.stem for p in tmp_path.rglob('step-*')) == kept
    assert len(calls) == (4 if seconds else 3) # Without a checkpoint it is read a step late


def test_gradients_of_an_interrupted_step_are_not_learnt(rows):
    "What a step left behind changes nothing in the next one."
    ends = []
    for left in (0.0, 1.0):
        model = lively()
        for _, p in loop.learnt(model): p.grad = torch.full_like(p, left)
        loop.train_step(model, loop.make_optimizer(model, T.RECIPES['toy']), rows, T.RECIPES['toy'])
        ends.append([p.detach().clone() for _, p in loop.learnt(model)])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.parametrize(('device', 'count', 'late'), [('cpu', 1, False), ('cuda', 1, True), ('cuda', 2, False)])
def test_losses_are_read_late_by_one_process_on_a_gpu(monkeypatch, device, count, late):
    monkeypatch.setattr(loop, 'processes', lambda: (0, count))
    monkeypatch.setattr(loop, 'bare', lambda model: SimpleNamespace(device=torch.device(device)))
    assert loop.reads_late(None) is late


@pytest.mark.gpu
@NO_GPU
def test_on_a_gpu_a_run_goes_on_where_it_was_killed(dataset, recipe, tmp_path, monkeypatch):
    whole = T.train(dataset, recipe, tmp_path/'whole', model='toy')
    monkeypatch.setattr(loop, 'CHECKPOINT_S', 0)

    def killed(folder, model, optimizer, state, real=loop.save_checkpoint):
        real(folder, model, optimizer, state)
        if state['step'] == 2: raise Killed
    with monkeypatch.context() as patch:
        patch.setattr(loop, 'save_checkpoint', killed)
        with pytest.raises(Killed): T.train(dataset, recipe, tmp_path/'cut', model='toy')
    again = T.train(dataset, recipe, tmp_path/'cut', model='toy')
    assert again['loss_last'] == pytest.approx(whole['loss_last'], abs=1e-4) # The GPU adds in no fixed order
    assert json.loads((tmp_path/'cut'/'timings.jsonl').read_text().splitlines()[-1])['begun'] == 2


@pytest.mark.gpu
@NO_GPU
def test_too_little_memory_of_a_gpu_makes_smaller_parts(rows, tmp_path, capsys):
    recipe = replace(T.RECIPES['toy'], epochs=1, batch_size=1024, micro_tokens=10**6)
    model = loop.add_lora(toy_model()[0].to('cuda'), recipe)
    room = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2e8)/room)
    try: done = loop.fit(model, rows*256, recipe, tmp_path)['curve']
    finally: torch.cuda.set_per_process_memory_fraction(1.0)
    assert done[0]['pairs'] == 1024 and 'out of memory: going on with' in ''.join(capsys.readouterr())


def test_bfloat16_gradients_are_as_near_to_float32_as_the_library_s(rows):
    wide = lively()
    exact = torch.cat([g.flatten() for g in gradient(wide, answer_loss(wide, rows)[0])])
    model, far = lively(dtype='bfloat16'), {}
    with losses.precision(model): slow = answer_loss(model, rows)[0]
    for name, loss in (('library', slow), ('ours', llama.training_loss(model, rows)[0])):
        found = torch.cat([g.flatten() for g in gradient(model, loss)])
        far[name] = float((found - exact).norm()/exact.norm())
    assert far['ours'] < 1.3*far['library'] + 0.01, far


def test_other_architectures_use_their_own_head(monkeypatch):
    model, tok = toy_model()
    rows = [encode_pair(tok, 'Who?', 'You.'), encode_pair(tok, 'Who else?', 'They.')]
    ours = float(answer_loss(model, rows)[0].detach())
    monkeypatch.setattr(losses, 'PLAIN_HEADS', ())
    assert float(answer_loss(model, rows)[0].detach()) == pytest.approx(ours, rel=1e-5)


def test_another_architecture_trains_by_the_library_s_pass(rows):
    from transformers import Qwen2Config, Qwen2ForCausalLM
    torch.manual_seed(0)
    base = Qwen2ForCausalLM(Qwen2Config(vocab_size=259, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1))
    model = loop.add_lora(base, T.RECIPES['toy'])
    assert not llama.written_out(model)
    steps = [loop.train_step(model, loop.make_optimizer(model, T.RECIPES['toy']), rows, T.RECIPES['toy'])[0]['loss'] for _ in range(3)]
    assert steps[-1] < steps[0]


@pytest.mark.parametrize('at', range(5))
@pytest.mark.parametrize('when', ['before', 'after'])
def test_killed_at_any_step_it_ends_in_the_same_bytes(whole, dataset, recipe, tmp_path, monkeypatch, at, when):
    monkeypatch.setattr(loop, 'CHECKPOINT_S', 0.0)
    real, calls = loop.train_step, []

    def dying(*args):
        calls.append(1)
        if when == 'before' and len(calls) == at + 1: raise Killed
        out = real(*args)
        if when == 'after' and len(calls) == at + 1: raise Killed
        return out
    monkeypatch.setattr(loop, 'train_step', dying)
    with pytest.raises(Killed): T.train(dataset, recipe, tmp_path/'run', model='toy')
    monkeypatch.setattr(loop, 'train_step', lambda *args: calls.append(1) or real(*args))
    report = T.train(dataset, recipe, tmp_path/'run', model='toy')
    assert len(calls) == 6 and report['steps'] == 5  # One step is done twice, none is lost
    assert files(tmp_path/'run') == files(whole[0])


def test_killed_between_training_and_report(whole, dataset, recipe, tmp_path, monkeypatch):
    def dies(*args): raise Killed
    with monkeypatch.context() as m:
        m.setattr(T, 'merge', dies)
        with pytest.raises(Killed): T.train(dataset, recipe, tmp_path/'run', model='toy')
    monkeypatch.setattr(loop, 'train_step', dies)  # Nothing is trained again
    T.train(dataset, recipe, tmp_path/'run', model='toy')
    assert files(tmp_path/'run') == files(whole[0])


def test_a_damaged_checkpoint_gives_way_to_the_one_before(whole, dataset, recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, 'CHECKPOINT_S', 0.0)
    real, calls = loop.train_step, []

    def dying(*args):
        calls.append(1)
        if len(calls) == 4: raise Killed
        return real(*args)
    with monkeypatch.context() as m:
        m.setattr(loop, 'train_step', dying)
        with pytest.raises(Killed): T.train(dataset, recipe, tmp_path/'run', model='toy')
    newest = sorted((tmp_path/'run'/'checkpoints').rglob('step-*'))[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    T.train(dataset, recipe, tmp_path/'run', model='toy')
    said = ''.join(capsys.readouterr())
    assert 'step-0000003.safetensors is damaged' in said and 'going on at step 2 of 5' in said
    assert files(tmp_path/'run') == files(whole[0])


def test_a_flipped_bit_in_a_checkpoint_is_seen(whole, dataset, recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, 'CHECKPOINT_S', 0.0)
    real, calls = loop.train_step, []

    def dying(*args):
        calls.append(1)
        if len(calls) == 4: raise Killed
        return real(*args)
    with monkeypatch.context() as m:
        m.setattr(loop, 'train_step', dying)
        with pytest.raises(Killed): T.train(dataset, recipe, tmp_path/'run', model='toy')
    for path in (tmp_path/'run'/'checkpoints').rglob('step-*'):
        data = bytearray(path.read_bytes())
        data[len(data)//2] ^= 4
        path.write_bytes(data)
    T.train(dataset, recipe, tmp_path/'run', model='toy')
    said = ''.join(capsys.readouterr())
    assert said.count('its content is not what was written') == 2 and 'going on' not in said
    assert files(tmp_path/'run') == files(whole[0])


def test_a_full_disk_is_a_line_and_the_run_ends_in_the_same_bytes(whole, dataset, recipe, tmp_path, monkeypatch, capsys):
    "The system itself refuses the bytes: files may not grow past what the second checkpoint needs."
    import resource
    monkeypatch.setattr(loop, 'CHECKPOINT_S', 0.0)
    limits, real = resource.getrlimit(resource.RLIMIT_FSIZE), loop.save_checkpoint

    def in_little_room(folder, model, optimizer, state):
        if state['step'] in (2, 3): resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        try: return real(folder, model, optimizer, state)
        finally: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    monkeypatch.setattr(loop, 'save_checkpoint', in_little_room)

    def die(row):
        if row['step'] == 2: raise Killed
    model = loop.add_lora(toy_model()[0].to(device()), recipe)
    rows = [encode_pair(byte_tokenizer(), p.question, p.answer) for p in read_jsonl(dataset/'train.jsonl', QAPair)]
    with pytest.raises(Killed): loop.fit(model, rows, recipe, tmp_path, on_step=die)
    said = ''.join(capsys.readouterr())
    assert 'checkpoint of step 2 was not written (File too large)' in said and 'the last good one is step-0000001.safetensors' in said
    assert [p.name for p in tmp_path.rglob('*') if p.is_file()] == ['step-0000001.safetensors']
    done = loop.fit(loop.add_lora(toy_model()[0].to(device()), recipe), rows, recipe, tmp_path)
    assert 'going on at step 1 of 5' in ''.join(capsys.readouterr())
    assert done['curve'] == read_jsonl(whole[0]/'curve.jsonl')


def test_a_changed_recipe_does_not_go_on_from_an_old_checkpoint(dataset, recipe, tmp_path):
    model, tok = toy_model()
    rows = [encode_pair(tok, p.question, p.answer) for p in read_jsonl(dataset/'train.jsonl', QAPair)]
    first = loop.fit(loop.add_lora(model, recipe), rows, recipe, tmp_path)['curve']
    other = replace(recipe, learning_rate=1e-3)
    second = loop.fit(loop.add_lora(toy_model()[0], other), rows, other, tmp_path)['curve']
    assert second[0]['lr'] != first[0]['lr'] and second[0]['loss'] == first[0]['loss']
    assert len([p for p in tmp_path.rglob('step-*')]) == 2  # One run's checkpoints do not push out another's


def test_out_of_memory_makes_smaller_parts_of_the_same_batch(dataset, recipe, tmp_path, monkeypatch, capsys):
    rows = [encode_pair(byte_tokenizer(), p.question, p.answer) for p in read_jsonl(dataset/'train.jsonl', QAPair)]
    calm = replace(recipe, lora_dropout=0.0)
    whole = loop.fit(loop.add_lora(toy_model()[0], calm), rows, calm, tmp_path/'a')['curve']
    real, sizes = loop.training_loss, []

    def small(model, part, *more):
        sizes.append(len(part))
        if len(part) > 2: raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return real(model, part, *more)
    monkeypatch.setattr(loop, 'training_loss', small)
    done = loop.fit(loop.add_lora(toy_model()[0], calm), rows, calm, tmp_path/'b')['curve']
    assert max(sizes) > 2 and sizes.count(max(sizes)) <= 2  # What fitted once is kept
    assert [(r['pairs'], r['tokens']) for r in done] == [(r['pairs'], r['tokens']) for r in whole]
    assert [r['loss'] for r in done] == pytest.approx([r['loss'] for r in whole], rel=1e-4)
    assert 'out of memory: going on with' in ''.join(capsys.readouterr())


def test_other_errors_are_not_taken_for_a_lack_of_memory(rows, monkeypatch):
    def broken(*args): raise RuntimeError('shapes cannot be multiplied')
    monkeypatch.setattr(loop, 'training_loss', broken)
    with pytest.raises(RuntimeError, match='shapes'): loop.fitting_gradients(lively(), rows, 9, 4096)


def test_report_and_records(whole, dataset):
    out, report = whole
    assert report == json.loads((out/'report.json').read_text())
    assert report['train']['pairs'] == 20 and report['eval']['pairs'] == 6 and report['available'] == dict(train=20, eval=6)
    assert report['tokens_seen'] == report['train']['tokens']
    record = read_record(out/'merged')
    assert record == read_record(out/'adapter')
    assert record['prompt_sha256'] == report['prompt_sha256'] and record['base'] == 'toy'
    curve = read_jsonl(out/'curve.jsonl')
    assert [r['step'] for r in curve] == list(range(5)) and not any('wall' in k for r in curve for k in r)
    assert not list(out.rglob('*.bin')) + list(out.rglob('*.pt'))
    run = json.loads((out/'run.json').read_text())
    assert run['chat_template'] == byte_tokenizer().chat_template and run['seed'] == 42 and set(run['versions']) >= {'torch', 'peft'}
    assert run['prompt']['sha256'] == report['prompt_sha256'] and run['key'] == report['key'] == record['key']
    assert [e['step'] for e in read_jsonl(out/'evals.jsonl')] == [0, 2, 5] and report['failed'] == []


def test_changed_weights_or_data_are_not_taken_for_done(whole, dataset, recipe, tmp_path):
    import shutil
    shutil.copytree(whole[0], tmp_path/'run')
    key = whole[1]['key']
    assert T.finished(tmp_path/'run', key) == whole[1]
    assert T.finished(tmp_path/'run', 'other') is None
    weights = tmp_path/'run'/'merged'/'model.safetensors'
    weights.write_bytes(weights.read_bytes()[:-4] + b'\0\1\2\3')
    assert T.finished(tmp_path/'run', key) is None


def test_gate_catches_a_merge_that_went_wrong(whole, tmp_path, monkeypatch):
    from peft.tuners.lora import LoraModel
    real = LoraModel.merge_and_unload

    def broken(self, *args, **kwargs):
        model = real(self, *args, **kwargs)
        with torch.no_grad(): model.model.layers[0].mlp.down_proj.weight.normal_(std=3.0)
        return model
    monkeypatch.setattr(LoraModel, 'merge_and_unload', broken)
    rows = [encode_pair(byte_tokenizer(), 'Who may file?', 'A resident may.')]*4
    with pytest.raises(RuntimeError, match='merged model is not the base'): adapters.merge(whole[0]/'adapter', tmp_path/'merged', rows)
    assert not (tmp_path/'merged').exists()


def test_gate_marks_a_model_that_got_worse(recipe, tmp_path):
    "What is learnt from one letter makes another unlikely."
    write_jsonl(tmp_path/'train.jsonl', [QAPair(f'q{k}', 'Which?', 'a'*40) for k in range(20)])
    write_jsonl(tmp_path/'eval.jsonl', [QAPair('e', 'Which?', 'Z'*40)])
    report = T.train(tmp_path, replace(recipe, learning_rate=3e-2, lora_dropout=0.0), tmp_path/'out', model='toy')
    assert report['eval_after']['loss'] > report['eval_before']['loss'] and report['gates']['loss'] == 'not better' and report['failed'] == ['loss']


@pytest.mark.parametrize('learnt, kind', [('a'*40, 'repetition'), ('.', 'empty')])
def test_gate_marks_a_model_that_collapsed(recipe, tmp_path, monkeypatch, learnt, kind):
    "The toy is taught, on purpose, to say one letter for ever, or nothing."
    question = 'Which form is it that I shall file now'
    write_jsonl(tmp_path/'train.jsonl', [QAPair(f'q{k}', question, learnt) for k in range(20)])
    write_jsonl(tmp_path/'eval.jsonl', [QAPair('e', question, learnt)])
    real = T.answer_canaries
    first = []

    def sane_at_first(*args):
        said = real(*args)
        first.append(1)
        return [dict(c, collapse='') for c in said] if len(first) == 1 else said
    monkeypatch.setattr(T, 'answer_canaries', sane_at_first)  # The toy has no language to begin with
    report = T.train(tmp_path, replace(recipe, epochs=10, lora_dropout=0.0), tmp_path/'out', model='toy')
    assert report['canaries'] == {'asked': 1, kind: 1}
    assert read_jsonl(tmp_path/'out'/'evals.jsonl')[-1]['canaries'][0]['collapse'] == kind
    assert report['gates']['canaries'] == 'collapsed' and 'canaries' in report['failed']


def test_gate_marks_a_model_that_says_the_question_again():
    from transformers import LlamaForCausalLM

    class Echo(LlamaForCausalLM):
        "Says again, token by token, what it was asked"
        def forward(self, input_ids=None, **kwargs):
            out = super().forward(input_ids=input_ids, **kwargs)
            if input_ids.shape[1] > 1: self.asked, self.said = input_ids[0].tolist(), 0
            start = len(self.asked) - self.asked[::-1].index(tokenizer.convert_tokens_to_ids('<|im_end|>')) - len(question) - 1
            out.logits[:, -1] = -9.
            out.logits[:, -1, self.asked[start + self.said]] = 9.
            self.said += 1
            return out
    question, (toy, tokenizer) = 'Which form must an applicant file to adjust status?', toy_model()
    broken = Echo(toy.config).eval()
    broken.load_state_dict(toy.state_dict())
    said = gates.answer_canaries(broken, tokenizer, [question])
    assert said[0]['answer'] and question.startswith(said[0]['answer']) and said[0]['collapse'] == 'echo'
    lost = dict(step=1, loss=1., canaries=said)
    parity = dict(max_logit_difference=0., top1_agreement=1.)
    found = gates.verdicts([dict(lost, step=0, canaries=[dict(said[0], collapse='')]), lost], parity)
    assert found['canaries'] == 'collapsed' and 'canaries' in found['failed']


def test_gate_refuses_an_adapter_beside_another_base_or_under_another_prompt(whole, tmp_path):
    import shutil

    from immig_research.infer import infer
    shutil.copytree(whole[0]/'adapter', tmp_path/'adapter')
    record = read_record(tmp_path/'adapter')
    assert record['prompt_sha256'] == prompt_sha256(byte_tokenizer(), 'immig')
    questions = [QAPair('q', 'Who may file?')]
    infer(questions, tmp_path/'adapter', tmp_path/'good.jsonl', system='t', max_new_tokens=2)
    with pytest.raises(BadInput, match='use the same prompt'): infer(questions, tmp_path/'adapter', tmp_path/'p.jsonl', system='t', prompt='seed')
    write_record(tmp_path/'adapter', dict(record, base_sha256='1'*64))
    with pytest.raises(BadInput, match='use the same base'): load_base(tmp_path/'adapter')


@pytest.mark.parametrize('quantize', ['int8', 'nf4'])
def test_quantized_bases_are_trained_and_merged_in_float32(dataset, recipe, tmp_path, quantize):
    pytest.importorskip('bitsandbytes')
    report = T.train(dataset, replace(recipe, quantize=quantize), tmp_path, model='toy')
    assert report['failed'] == [] and load_base(tmp_path/'merged')[0].dtype == torch.float32


@pytest.mark.parametrize('name', ['best', 'best-nf4'])
def test_the_best_recipes_run_as_they_are_named(dataset, tmp_path, name):
    if name == 'best-nf4': pytest.importorskip('bitsandbytes')
    recipe = replace(T.RECIPES[name], pairs=8, eval_pairs=4, canaries=2)  # All else as it stands: packing, bfloat16, two epochs
    report = T.train(dataset, recipe, tmp_path, model='toy')
    assert report['dtype'] == 'bfloat16' and report['train']['pairs'] == 8 and report['failed'] == []
    assert 0 < report['eval_after']['loss'] < report['eval_before']['loss']


@pytest.mark.parametrize('quantize, most', [('int8', 0.1), ('nf4', 0.01)])
def test_gradients_through_a_quantized_base_are_those_of_its_values(rows, quantize, most):
    "The same weights, quantized, and as the plain numbers that they stand for; 8 bits round the activations as well."
    bnb = pytest.importorskip('bitsandbytes')
    small, plain = load_base('toy', quantize=quantize)[0], toy_model()[0].to(device())
    for name, layer in small.named_modules():
        if isinstance(layer, bnb.nn.Linear4bit): values = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        elif isinstance(layer, bnb.nn.Linear8bitLt): values = bnb.functional.int8_vectorwise_dequant(layer.weight.data, layer.weight.SCB)
        else: continue
        plain.get_submodule(name).weight.data.copy_(values)
    found = []
    for base in (plain, small):
        model = loop.add_lora(base, T.RECIPES['toy'])
        torch.manual_seed(1)
        for _, p in loop.learnt(model): p.data.normal_(std=0.05)
        T.evaluate_rows(model, rows)  # As before the first step: some processors lay 4-bit weights out anew when they answer
        found.append(torch.cat([g.flatten().float() for g in gradient(model, answer_loss(model, rows)[0])]))
    assert float((found[0] - found[1]).norm()/found[0].norm()) < most


def test_collapse_is_not_seen_in_honest_answers():
    for answer in ('Form I-485.', '$1,225.', 'No.', '18 years.', 'Yes, under 8 CFR 245.1(a), 8 CFR 245.1(b) and 8 CFR 245.1(c)(1).', 'The form, the fee, the photos and the evidence.'):
        assert gates.collapse(answer, 'Which form must an applicant file to adjust status?') == ''


def test_card_snippet_runs_on_the_merged_folder(whole):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    path = whole[0]/'merged'
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16, device_map='auto')
    messages = [{'role': 'system', 'content': 'You are an expert on U.S. immigration law.'}, {'role': 'user', 'content': 'Who may file Form I-485?'}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors='pt', return_dict=True).to(model.device)
    out = model.generate(**inputs, max_new_tokens=8)
    assert isinstance(tokenizer.decode(out[0][inputs['input_ids'].shape[1]:], skip_special_tokens=True), str)
    assert model.dtype == torch.bfloat16


def test_prompts_are_the_same_tokens_in_training_and_inference(whole):
    from immig_research.infer import encode_prompts
    tok = load_base(whole[0]/'merged')[1]
    row = encode_pair(tok, 'Who may file?', 'A resident.')
    assert row['input_ids'][:row['labels'].count(-100)] == encode_prompts(tok, [QAPair('q', 'Who may file?')])[0]


def test_torn_dataset_is_bad_input(dataset, recipe, tmp_path):
    (tmp_path/'train.jsonl').write_text('{"qa_id": "q1", "question": "a"}\n{"qa_')
    with pytest.raises(BadInput, match='train.jsonl, line 2'): T.train(tmp_path, recipe, tmp_path/'out', model='toy')


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path/'pytorch_model.bin').write_bytes(b'x')
    (tmp_path/'config.json').write_text('{}')
    with pytest.raises(BadInput, match='holds no .safetensors'): load_base(tmp_path)


def test_what_training_and_a_sweep_gave_is_kept_as_the_notebooks_show_it(whole, tmp_path):
    import runpy
    import shutil
    from pathlib import Path
    record = runpy.run_path(str(Path(__file__).resolve().parents[1]/'tools'/'record_run.py'))
    kept = record['record_training'](whole[0])
    assert kept['report'] == whole[1] and [r['step'] for r in kept['curve']] == list(range(5))
    assert [e['step'] for e in kept['evals']] == [0, 2, 5] and kept['evals'][-1]['perplexity'] == whole[1]['eval_after']['perplexity']
    assert kept['timings'][0]['begun'] == 0 and 'stages' not in kept  # It is no whole run, and none of its tables
    shutil.copytree(whole[0], tmp_path/'rate-0.01')
    (tmp_path/'sweep.json').write_text(json.dumps(dict(recipe={}, rows=[dict(learning_rate=0.01, loss_after=1.0, failed=[]), dict(learning_rate=9.0, loss_after=None, failed=['x'])])))
    kept = record['record_sweep'](tmp_path)
    assert len(kept['rows']) == 2 and len(kept['curves']['0.01']['curve']) == 5 and kept['curves']['9']['curve'] == []


@pytest.mark.parametrize('name, steps', [('seed-v1', 4), ('seed-v3', 4)])
def test_the_published_recipes_run_on_a_processor(dataset, tmp_path, name, steps):
    pytest.importorskip('bitsandbytes')
    report = T.train(dataset, replace(T.RECIPES[name], pairs=4, eval_pairs=2, canaries=0), tmp_path, model='toy')
    assert report['steps'] == steps and report['parity']['top1_agreement'] >= 0.99
    assert json.loads((tmp_path/'run.json').read_text())['recipe']['quantize'] == T.RECIPES[name].quantize


def test_gate_stops_a_run_that_runs_away(dataset, recipe, tmp_path, monkeypatch):
    "Its adapter is overwritten with large noise half way, on a toy whose last norm is loud enough to be far wrong."
    model, tokenizer = toy_model()
    model.model.norm.weight.data.mul_(20)
    for part in (model, tokenizer): part.save_pretrained(tmp_path/'loud')
    real, done = loop.train_step, []

    def spoiled(model, *args):
        done.append(1)
        if len(done) > 125:
            for _, p in loop.learnt(model): p.data.normal_(std=2.0)
        return real(model, *args)
    monkeypatch.setattr(loop, 'train_step', spoiled)
    with pytest.raises(RuntimeError, match='training stopped: the loss ran away'):
        T.train(dataset, replace(recipe, epochs=32, canaries=0), tmp_path/'out', model=tmp_path/'loud')
    assert 125 < len(done) < 150 and not (tmp_path/'out'/'merged').exists() and not (tmp_path/'out'/'report.json').exists()
