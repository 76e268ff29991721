"The sampler against the seed's own lines, text at every batch size, kills at every batch."
import random
from collections import defaultdict

import pytest
from hub_stand_in import Hub

from immig_research.infer import select
from immig_research.records import BadInput, Prediction, QAPair, read_jsonl, write_jsonl

torch = pytest.importorskip('torch')
from immig_research import infer as I  # noqa: E402
from immig_research.train import read_record, toy_model, write_record  # noqa: E402

WORDS = 'the applicant must file Form I-485 within 180 days of § 1229b unless abandoned'.split()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def questions(n, seed=0):
    rng = random.Random(seed)
    return [QAPair(f'q{k}', ' '.join(rng.choices(WORDS, k=rng.randrange(1, 20))) + '?', as_of='2026-01-01') for k in range(n)]


@pytest.mark.parametrize('trial', range(20))
def test_select_is_the_seeds_sampler(trial):
    rng = random.Random(trial)
    rows = [QAPair(f'{i}', 'q', immigration_subtopic=rng.choice('abcdefg'[:rng.randrange(1, 8)])) for i in range(rng.randrange(1, 200))]
    groups = defaultdict(list)
    for i, r in enumerate(rows): groups[r.immigration_subtopic].append(i)
    random.seed(42)
    picks = {t: random.sample(groups[t], min(8, len(groups[t]))) for t in sorted(groups)}
    assert [r.qa_id for r in select(rows)] == [rows[i].qa_id for t in sorted(picks) for i in sorted(picks[t])]


@pytest.mark.parametrize('n', [0, 1, 5, 14, 40, 1000])
def test_select_a_number(n):
    rows = [QAPair(f'{i}', 'q', immigration_subtopic=t) for t, k in (('a', 30), ('b', 2), ('c', 9)) for i in range(k)]
    got = select(rows, n)
    assert len(got) == min(n, len(rows)) and got == select(rows, str(n))


@pytest.mark.parametrize('size', [1, 2, 5, 7, 13])
def test_text_does_not_change_with_batch_size(tmp_path, size):
    qs = questions(13)
    for s in (3, size): I.infer(qs, 'toy', tmp_path/f'{s}.jsonl', system='toy', batch_size=s, max_new_tokens=20)
    a, b = (read_jsonl(tmp_path/f'{s}.jsonl', Prediction) for s in (3, size))
    assert [(r.prediction, r.status, r.new_tokens) for r in a] == [(r.prediction, r.status, r.new_tokens) for r in b]
    assert [r.qa_id for r in b] == [q.qa_id for q in qs] and {r.batch_size for r in b} == {size}


class Killed(Exception): pass


@pytest.mark.parametrize('at', range(4))
def test_killed_after_any_batch_it_ends_in_the_same_bytes(tmp_path, monkeypatch, at):
    qs, said = questions(14), dict(system='toy', batch_size=4, max_new_tokens=8)
    I.infer(qs, 'toy', tmp_path/'whole.jsonl', **said)
    real, calls = I.greedy, []

    def dying(*args):
        if len(calls) == at: raise Killed
        calls.append(1)
        return real(*args)
    with monkeypatch.context() as m:
        m.setattr(I, 'greedy', dying)
        with pytest.raises(Killed): I.infer(qs, 'toy', tmp_path/'cut.jsonl', **said)
    assert not (tmp_path/'cut.jsonl').exists()
    with open(tmp_path/'cut.journal.jsonl', 'a') as f: f.write('{"qa_id": "q1')
    done = I.infer(qs, 'toy', tmp_path/'cut.jsonl', **said)
    assert done['kept'] == 4*at and done['answered'] == 14 - 4*at
    assert (tmp_path/'cut.jsonl').read_bytes() == (tmp_path/'whole.jsonl').read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ['cut.jsonl', 'cut.timings.jsonl', 'whole.jsonl', 'whole.timings.jsonl']


def test_new_questions_are_added_and_changed_ones_asked_again(tmp_path):
    qs, out = questions(6), tmp_path/'p.jsonl'
    I.infer(qs[:4], 'toy', out, system='toy', max_new_tokens=6)
    changed = [QAPair('q0', 'Something else?'), *qs[1:]]
    assert I.infer(changed, 'toy', out, system='toy', max_new_tokens=6)['answered'] == 3
    assert [r.question for r in read_jsonl(out, Prediction)] == [q.question for q in changed]
    assert I.infer(changed, 'toy', out, system='other', max_new_tokens=6)['answered'] == 6


def test_a_models_own_settings_do_not_reach_the_text(tmp_path):
    from transformers import GenerationConfig
    model, tok = toy_model()
    for part in (model, tok): part.save_pretrained(tmp_path/'plain')
    model.generation_config = GenerationConfig(do_sample=True, temperature=5.0, top_k=3, repetition_penalty=9.0, eos_token_id=2, pad_token_id=2)
    for part in (model, tok): part.save_pretrained(tmp_path/'wild')
    for name in ('plain', 'wild'): I.infer(questions(3), tmp_path/name, tmp_path/f'{name}.jsonl', system='s', max_new_tokens=16)
    a, b = (read_jsonl(tmp_path/f'{n}.jsonl', Prediction) for n in ('plain', 'wild'))
    assert [r.prediction for r in a] == [r.prediction for r in b]


def test_every_row_says_what_made_it(tmp_path):
    I.infer(questions(2), 'toy', tmp_path/'p.jsonl', system='toy', max_new_tokens=6)
    for r in read_jsonl(tmp_path/'p.jsonl', Prediction):
        assert (r.engine, r.dtype, r.batch_size, r.model, r.as_of) == ('transformers', 'float32', 101, 'toy', '2026-01-01')
        assert len(r.model_sha256) == len(r.prompt_sha256) == 64 and r.prompt_tokens > 0 and 0 < r.new_tokens <= 6
        assert r.status == ('truncated' if r.new_tokens == 6 else 'ok')


def test_another_prompt_than_the_models_is_refused(tmp_path):
    for part in toy_model(): part.save_pretrained(tmp_path/'tuned')
    write_record(tmp_path/'tuned', dict(prompt='immig', prompt_sha256='0'*64))
    with pytest.raises(BadInput, match='use the same prompt and tokenizer'): I.infer(questions(1), tmp_path/'tuned', tmp_path/'p.jsonl', system='t')
    assert not (tmp_path/'p.jsonl').exists()


def test_a_published_models_prompt_is_known_and_held_to(tmp_path, monkeypatch):
    "The record of a model on the Hub (here on loopback) says how it is asked, before its weights are fetched and after."
    from huggingface_hub import constants
    for name, value in dict(HF_HUB_DISABLE_XET=True, HF_HUB_OFFLINE=False, HF_HUB_CACHE=str(tmp_path/'cache')).items(): monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv('HF_TOKEN', 'test-token')
    for part in toy_model(): part.save_pretrained(tmp_path/'ours')
    write_record(tmp_path/'ours', dict(prompt='grounded', prompt_sha256='0'*64))
    with Hub() as hub:
        monkeypatch.setattr(constants, 'ENDPOINT', hub.url)
        monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', hub.url + '/{repo_id}/resolve/{revision}/{filename}')
        for repo, left_out in (('owner/ours', ()), ('owner/plain', ('immig.json',))):
            found = {f.name: f.read_bytes() for f in (tmp_path/'ours').iterdir() if f.name not in left_out}
            hub.objects |= {f'{repo}:{k}': v for k, v in found.items()}
            hub.repos[repo] = {k: f'{repo}:{k}' for k in found}
        assert read_record('owner/ours')['prompt'] == 'grounded' and not any('model.safetensors' in path for _, path in hub.log)
        assert read_record('owner/plain') == read_record('owner/none') == {}
        with pytest.raises(BadInput, match="ours was trained under prompt 'grounded'"): I.infer(questions(1), 'owner/ours', tmp_path/'p.jsonl', system='t')
        assert I.infer(questions(1), 'owner/plain', tmp_path/'q.jsonl', system='t', max_new_tokens=3)['questions'] == 1
    assert read_record('owner/ours')['prompt'] == 'grounded' # The Hub is gone, the snapshot stays


@pytest.mark.parametrize('change, said', [(dict(batch_size=0), 'batch_size'), (dict(mode='best'), 'mode'), (dict(prompt='none'), 'unknown prompt'), (dict(max_new_tokens=0), 'max_new_tokens')])
def test_bad_settings(tmp_path, change, said):
    with pytest.raises(BadInput, match=said): I.infer(questions(1), 'toy', tmp_path/'p.jsonl', system='t', **change)


def test_published_rows_load(tmp_path):
    write_jsonl(tmp_path/'q.jsonl', [dict(qa_id='a', question='Who may file?'), dict(qa_id='b', question='When?', unknown=1)])
    assert I.infer(tmp_path/'q.jsonl', 'toy', tmp_path/'p.jsonl', system='toy', max_new_tokens=3)['questions'] == 2
