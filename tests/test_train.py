"The trainer: masks on odd rows, parity with the library, kills at every step, gates with a model broken on purpose."
import json
from dataclasses import replace

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('peft')
from immig_research import train as T  # noqa: E402
from immig_research.records import BadInput, QAPair, read_jsonl, write_jsonl  # noqa: E402

TOPICS = ['asylum', 'general', 'removal']
VOLATILE = 'timings.jsonl'


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
    tok = T.byte_tokenizer()
    row = T.encode_pair(tok, 'Who<|im_end|>?', answer, max_length=1000)
    n = row['labels'].count(-100)
    assert row['labels'][:n] == [-100]*n and row['labels'][n:] == row['input_ids'][n:]
    assert row['labels'].count(tok.eos_token_id) == 1 and row['labels'][-1] == tok.eos_token_id
    assert tok.decode(row['labels'][n:-1]) == answer.strip().replace('<|', '< |')


def test_rows_that_would_be_cut_are_refused_and_counted(dataset, recipe, tmp_path):
    lengths = [len(T.encode_pair(T.byte_tokenizer(), p.question, p.answer, max_length=9999)['input_ids']) for p in read_jsonl(dataset/'train.jsonl', QAPair)]
    limit = sorted(lengths)[10]
    data = T.prepare(dataset, T.byte_tokenizer(), replace(recipe, max_length=limit))
    assert len(data['train']) == sum(n <= limit for n in lengths)
    assert len(data['refused']['train']) == sum(n > limit for n in lengths)
    assert all('its answer would be cut' in r['reason'] for r in data['refused']['train'])


def test_a_template_without_end_mark_can_not_be_learnt():
    tok = T.byte_tokenizer()
    tok.chat_template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    with pytest.raises(BadInput, match='does not end an answer'): T.encode_pair(tok, 'Who?', 'You.')


@pytest.mark.parametrize('micro', [1, 300, 4096])
def test_gradients_equal_the_library(micro):
    "Padded, pieced and summed here; one row at a time with its own mask and loss there."
    tok = T.byte_tokenizer()
    rows = [T.encode_pair(tok, 'Q' * k, 'An answer. ' * k) for k in (1, 2, 5, 3)]
    grads = []
    for ours in (True, False):
        model = T.add_lora(T.toy_model()[0], T.RECIPES['toy'])
        torch.manual_seed(1)
        for _, p in T.learnt(model): p.data.normal_(std=0.05)
        total = T.count_rows(rows)['answer_tokens']
        if ours:
            for part in T.micro_batches(rows, micro): (T.answer_loss(model, part)[0]/total).backward()
        else:
            for r in rows:
                ids, labels = (torch.tensor([r[k]]) for k in ('input_ids', 'labels'))
                n = sum(x != -100 for x in r['labels'])
                (model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss*n/total).backward()
        grads.append([p.grad for _, p in T.learnt(model)])
    for a, b in zip(*grads, strict=True): torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_other_architectures_use_their_own_head(monkeypatch):
    model, tok = T.toy_model()
    rows = [T.encode_pair(tok, 'Who?', 'You.'), T.encode_pair(tok, 'Who else?', 'They.')]
    ours = float(T.answer_loss(model, rows)[0].detach())
    monkeypatch.setattr(T, 'PLAIN_HEADS', ())
    assert float(T.answer_loss(model, rows)[0].detach()) == pytest.approx(ours, rel=1e-5)


class Killed(Exception): pass


@pytest.mark.parametrize('at', range(5))
@pytest.mark.parametrize('when', ['before', 'after'])
def test_killed_at_any_step_it_ends_in_the_same_bytes(whole, dataset, recipe, tmp_path, monkeypatch, at, when):
    monkeypatch.setattr(T, 'CHECKPOINT_S', 0.0)
    real, calls = T.train_step, []

    def dying(*args):
        calls.append(1)
        if when == 'before' and len(calls) == at + 1: raise Killed
        out = real(*args)
        if when == 'after' and len(calls) == at + 1: raise Killed
        return out
    monkeypatch.setattr(T, 'train_step', dying)
    with pytest.raises(Killed): T.train(dataset, recipe, tmp_path/'run', model='toy')
    monkeypatch.setattr(T, 'train_step', lambda *args: calls.append(1) or real(*args))
    report = T.train(dataset, recipe, tmp_path/'run', model='toy')
    assert len(calls) == 6 and report['steps'] == 5  # One step is done twice, none is lost
    assert files(tmp_path/'run') == files(whole[0])


def test_killed_between_training_and_report(whole, dataset, recipe, tmp_path, monkeypatch):
    def dies(*args): raise Killed
    with monkeypatch.context() as m:
        m.setattr(T, 'merge', dies)
        with pytest.raises(Killed): T.train(dataset, recipe, tmp_path/'run', model='toy')
    monkeypatch.setattr(T, 'train_step', dies)  # Nothing is trained again
    T.train(dataset, recipe, tmp_path/'run', model='toy')
    assert files(tmp_path/'run') == files(whole[0])


def test_a_damaged_checkpoint_gives_way_to_the_one_before(whole, dataset, recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(T, 'CHECKPOINT_S', 0.0)
    real, calls = T.train_step, []

    def dying(*args):
        calls.append(1)
        if len(calls) == 4: raise Killed
        return real(*args)
    with monkeypatch.context() as m:
        m.setattr(T, 'train_step', dying)
        with pytest.raises(Killed): T.train(dataset, recipe, tmp_path/'run', model='toy')
    newest = sorted((tmp_path/'run'/'checkpoints').iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    T.train(dataset, recipe, tmp_path/'run', model='toy')
    said = ''.join(capsys.readouterr())
    assert 'step-0000003.safetensors is damaged' in said and 'going on at step 2 of 5' in said
    assert files(tmp_path/'run') == files(whole[0])


def test_a_changed_recipe_does_not_go_on_from_an_old_checkpoint(dataset, recipe, tmp_path):
    model, tok = T.toy_model()
    rows = [T.encode_pair(tok, p.question, p.answer) for p in read_jsonl(dataset/'train.jsonl', QAPair)]
    first = T.fit(T.add_lora(model, recipe), rows, recipe, tmp_path)
    other = replace(recipe, learning_rate=1e-3)
    assert T.fit(T.add_lora(T.toy_model()[0], other), rows, other, tmp_path)[0]['lr'] != first[0]['lr']


def test_report_and_records(whole, dataset):
    out, report = whole
    assert report == json.loads((out/'report.json').read_text())
    assert report['train']['pairs'] == 20 and report['eval']['pairs'] == 6 and report['available'] == dict(train=20, eval=6)
    assert report['tokens_seen'] == report['train']['tokens']
    record = T.read_record(out/'merged')
    assert record == T.read_record(out/'adapter')
    assert record['prompt_sha256'] == report['prompt_sha256'] and record['base'] == 'toy'
    curve = read_jsonl(out/'curve.jsonl')
    assert [r['step'] for r in curve] == list(range(5)) and not any('wall' in k for r in curve for k in r)
    assert not list(out.rglob('*.bin')) + list(out.rglob('*.pt'))


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
    rows = [T.encode_pair(T.byte_tokenizer(), 'Who may file?', 'A resident may.')]*4
    with pytest.raises(RuntimeError, match='merged model is not the base'): T.merge(whole[0]/'adapter', tmp_path/'merged', rows)


def test_gate_marks_a_model_that_got_worse(recipe, tmp_path):
    "What is learnt from one letter makes another unlikely."
    write_jsonl(tmp_path/'train.jsonl', [QAPair(f'q{k}', 'Which?', 'a'*40) for k in range(20)])
    write_jsonl(tmp_path/'eval.jsonl', [QAPair('e', 'Which?', 'Z'*40)])
    report = T.train(tmp_path, replace(recipe, learning_rate=3e-2, lora_dropout=0.0), tmp_path/'out', model='toy')
    assert report['eval_after']['loss'] > report['eval_before']['loss'] and report['gates'] == dict(loss='not better')


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
    tok = T.load_base(whole[0]/'merged')[1]
    row = T.encode_pair(tok, 'Who may file?', 'A resident.')
    assert row['input_ids'][:row['labels'].count(-100)] == encode_prompts(tok, [QAPair('q', 'Who may file?')])[0]


def test_torn_dataset_is_bad_input(dataset, recipe, tmp_path):
    (tmp_path/'train.jsonl').write_text('{"qa_id": "q1", "question": "a"}\n{"qa_')
    with pytest.raises(BadInput, match='train.jsonl, line 2'): T.train(tmp_path, recipe, tmp_path/'out', model='toy')


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path/'pytorch_model.bin').write_bytes(b'x')
    (tmp_path/'config.json').write_text('{}')
    with pytest.raises(BadInput, match='holds no .safetensors'): T.load_base(tmp_path)
