"The runner of benchmarks: kills, load, the card's way over HTTP, and harm that never pays."
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from immig_research.benchmark import (
    RECIPES,
    BenchmarkRecipe,
    System,
    hub_questions,
    plan_benchmark,
    rejudge,
    run_benchmark,
)
from immig_research.calls import Scripted
from immig_research.facts_judge import calibration_rows
from immig_research.judge import judge, write_results
from immig_research.records import BadInput, Prediction, QAPair, read_jsonl, write_jsonl
from immig_research.rubric import Asking

sys.path.insert(0, str(Path(__file__).parent))
import made_benchmark as made  # noqa: E402
from standins import Standin, misbehaving  # noqa: E402

SONNET, LLAMA = RECIPES['card'].judges[0], RECIPES['card'].systems[0].source
FILES = ('sample.jsonl', 'predictions.jsonl', 'judgments.jsonl', 'results.jsonl', 'summary.json', 'results-facts.jsonl', 'summary-facts.json')
CHILD = '''
from dataclasses import replace
from immig_research.benchmark import RECIPES, run_benchmark
from immig_research.llm import Rules
from immig_research.pace import Limits
from immig_research.rubric import Asking
card = RECIPES['card']
asking = Asking(temperature=0.1, max_tokens=150, structured=True, rules=Rules(patience=0.05, limits=Limits(requests={rate})))
systems = (replace(card.systems[0], prompt='immig'), card.systems[1]) # The stand-in can't tell models apart, but prompts
recipe = replace(card, systems=systems, judges=(*card.judges, 'facts'), sample={sample!r}, asking=asking)
print(run_benchmark(recipe, {out!r}, {questions!r})['open'])
'''


@pytest.fixture
def service(monkeypatch):
    for name, value in dict(AWS_ACCESS_KEY_ID='AKIA' + 'TESTING0' * 2, AWS_SECRET_ACCESS_KEY='for-tests-only', AWS_DEFAULT_REGION='us-east-1',
                            AWS_EC2_METADATA_DISABLED='true').items(): monkeypatch.setenv(name, value)
    def begin(**settings):
        box = Standin(**settings)
        monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', box.url)
        return box
    return begin


def child(out, questions, sample, rate=6000):
    code = CHILD.format(out=str(out), questions=str(questions), sample=sample, rate=rate)
    return subprocess.Popen([sys.executable, '-c', code], env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def whole_run(out, questions, sample):
    said, errors = (run := child(out, questions, sample)).communicate(timeout=300)
    assert run.returncode == 0, errors[-2000:]
    return said


def run_with_kills(box, out, questions, sample, kills, rng):
    "Kill the run at random moments, then let it end; how many kills hit it."
    hit = 0
    for _ in range(kills):
        run, before = child(out, questions, sample), box.calls
        deadline = time.monotonic() + 30
        while box.calls == before and run.poll() is None and time.monotonic() < deadline: time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.35))
        hit += run.poll() is None
        run.kill(); run.wait(); run.stdout.close(); run.stderr.close()
    whole_run(out, questions, sample)
    return hit


def killed(service, tmp_path, sample, kills):
    write_jsonl(tmp_path/'eval.jsonl', made.questions())
    with service() as box:
        whole_run(tmp_path/'whole', tmp_path/'eval.jsonl', sample)
        asked = len(box.paid)
    with service(latency=0.03) as box:
        hit = run_with_kills(box, tmp_path/'killed', tmp_path/'eval.jsonl', sample, kills, random.Random(4))
        assert len(box.paid) == asked, 'a call was lost'
        assert sum(n - 1 for n in box.paid.values()) <= 8 * hit, 'more was paid twice than was in flight'
    for name in FILES: assert (tmp_path/'whole'/name).read_bytes() == (tmp_path/'killed'/name).read_bytes(), name
    return hit


def test_a_killed_run_ends_with_the_same_files(service, tmp_path):
    assert killed(service, tmp_path, '14', 2) >= 1


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_with_the_same_files(service, tmp_path):
    assert killed(service, tmp_path, 'seed101', 20) >= 10


def load(service, tmp_path, sample):
    write_jsonl(tmp_path/'eval.jsonl', made.questions())
    with service(mood=misbehaving(0.1), rate=200, burst=40) as box:
        said = whole_run(tmp_path/'run', tmp_path/'eval.jsonl', sample)
        assert said.strip() == '0' and sum(n - 1 for n in box.paid.values()) <= box.actions['torn'] + box.actions['html'] + box.actions['stall']
        return len(box.paid)


def test_a_service_that_misbehaves_loses_no_cell(service, tmp_path): assert load(service, tmp_path, '14') == 14 * 3 # Both systems say the same there, and the same is judged once


@pytest.mark.slow
def test_the_card_against_a_service_that_misbehaves(service, tmp_path): assert load(service, tmp_path, 'seed101') == 101 * 3


def test_a_system_and_a_judge_added_later_run_alone(tmp_path):
    for name in 'ab': write_jsonl(tmp_path/f'{name}.jsonl', made.answers(name, made.questions()))
    def grade(request): calls.append(request); return 'So.\nGRADE: 1'
    calls, engines = [], {'scripted:j': Scripted(grade, 'scripted:j')}
    one = BenchmarkRecipe('one', systems=(System('a', f'file:{tmp_path}/a.jsonl'),), judges=('facts',), sample='28')
    run_benchmark(one, tmp_path/'run', made.questions())
    more = replace(one, systems=(*one.systems, System('b', f'file:{tmp_path}/b.jsonl')), judges=('facts', 'scripted:j'))
    run_benchmark(more, tmp_path/'run', made.questions(), engines=engines)
    assert len(calls) == 56
    run_benchmark(replace(more, repeats=2), tmp_path/'run', made.questions(), engines=engines)
    assert len(calls) == 112
    plan = plan_benchmark(read_jsonl(tmp_path/'run'/'sample.jsonl', QAPair), replace(more, repeats=2, judges=('facts', engines['scripted:j'])), tmp_path/'run')
    assert all(r['done'] == 28 for r in plan['cells'] if r['work'].startswith('judge'))


ROWS = calibration_rows()
QUESTIONS = [QAPair(i, r['question'], r['reference'], immigration_subtopic=r['immigration_subtopic']) for i, r in {r['qa_id']: r for r in ROWS}.items()]
GIVEN = [Prediction(r['qa_id'], f'system {r["candidate"]}', r['answer']) for r in ROWS]


def worst(predictions, folder):
    judge(QUESTIONS, predictions, folder)
    return {s: f['bounds'][0] for s, f in write_results(QUESTIONS, predictions, folder/'judgments.jsonl', folder)['overall'].items()}


@pytest.fixture(scope='module')
def before(tmp_path_factory): return worst(GIVEN, tmp_path_factory.mktemp('before'))


HARM = dict(
    delete=lambda p: None, withhold=lambda p: replace(p, prediction='I cannot say.', disposition='abstained'),
    fail=lambda p: replace(p, prediction='', status='model_error'), empty=lambda p: replace(p, prediction=''),
    garble=lambda p: replace(p, prediction='\x00\ufffd#! %%%'), error_text=lambda p: replace(p, prediction='[ENDPOINT_ERROR] timeout', status='model_error'),
    cut_early=lambda p: replace(p, prediction=p.prediction[:len(p.prediction) // 5], status='truncated'),
    cut_in_half=lambda p: replace(p, prediction=p.prediction[:len(p.prediction) // 2], status='truncated'),
    cut_late=lambda p: replace(p, prediction=p.prediction[:-3], status='truncated'))


@pytest.mark.parametrize('harm', HARM)
def test_harm_never_raises_a_score(harm, before, tmp_path):
    hurt = [HARM[harm](p) if n % 2 else p for n, p in enumerate(GIVEN)]
    after = worst([p for p in hurt if p is not None], tmp_path)
    assert all(after[s] <= v for s, v in before.items()), (before, after)


def test_each_cut_answer_alone_never_raises_its_score(tmp_path):
    "Cell by cell, so that no gain hides behind a loss"
    def scores(predictions, name):
        judge(QUESTIONS, predictions, tmp_path/name)
        return {(j['qa_id'], j['system']): j['score'] or 0 for j in read_jsonl(tmp_path/name/'judgments.jsonl')}
    whole = scores(GIVEN, 'whole')
    for share in (.35, .8):
        cut = scores([replace(p, prediction=p.prediction[:int(share * len(p.prediction))], status='truncated') for p in GIVEN], f'{share}')
        assert not [k for k in whole if cut[k] > whole[k]]


def test_published_results_are_judged_again(tmp_path):
    old = [dict(qa_id=q.qa_id, question=q.question, reference=q.answer, subtopic=q.immigration_subtopic, answer_type='', authority_level='',
                scores=dict(a=n % 4, b=-1 if n == 5 else 1), predictions=dict(a=q.answer, b='[ENDPOINT_ERROR] x' if n == 5 else 'No idea.'), reasons={})
           for n, q in enumerate(made.questions())]
    write_jsonl(tmp_path/'results.jsonl', old)
    found = {r['system']: r for r in rejudge(tmp_path/'results.jsonl', tmp_path/'again')['headline']}
    assert (found['a']['mean'], found['a']['open']) == (3.0, 0) and (found['b']['mean'], found['b']['open']) == (None, 1)
    assert found['b']['worst'] < found['b']['best']
    assert list(read_jsonl(tmp_path/'again'/'results.jsonl')[0])[:9] == 'qa_id question reference subtopic answer_type authority_level scores predictions reasons'.split()


def test_hub_split_is_read_or_told(monkeypatch):
    datasets = pytest.importorskip('datasets')
    row = dict(qa_id='q', question='Who?', answer='You.', immigration_subtopic='general')
    monkeypatch.setattr(datasets, 'get_dataset_config_names', lambda hub_id: ['qa', 'corpus'])
    monkeypatch.setattr(datasets, 'load_dataset', lambda hub_id, config: dict(train=[], eval=[row]) if config == 'qa' else {})
    assert [q.qa_id for q in hub_questions('owner/name')] == ['q']
    monkeypatch.setattr(datasets, 'load_dataset', lambda hub_id, config: dict(train=[]))
    with pytest.raises(BadInput, match='no eval split, only train'): hub_questions('owner/name')


def test_asking_of_the_card_is_frozen():
    card = RECIPES['card']
    assert card.asking == Asking(temperature=0.1, max_tokens=150) and [s.max_tokens for s in card.systems] == [400, 400, 350]
    assert [s.source for s in card.systems] == [LLAMA, SONNET, 'nshportun/usa-immigration-llama-3.2-3b'] and {s.prompt for s in card.systems} == {'seed'}
