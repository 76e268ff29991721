"The benchmark in two other harnesses gives our score for the same answers. Needs lm-eval and Inspect, in this or another environment."
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from immig_research.infer import infer
from immig_research.judge import judge
from immig_research.prompts import find_prompt
from immig_research.records import Judgment, Prediction, QAPair, data_dir, read_jsonl, write_jsonl
from immig_research.store import sample_store

ROOT = Path(__file__).resolve().parents[1]
ASKED = 4 # Questions; the embedded model needs seconds for each
TOKENS = 128


def python_with(package):
    "A Python that has `package`: the one of IMMIG_ECO_PYTHON, or this one."
    other = os.environ.get('IMMIG_ECO_PYTHON')
    if other: return other
    if importlib.util.find_spec(package): return sys.executable
    pytest.skip(f'needs {package} (pip install "immig_research[eco]", or IMMIG_ECO_PYTHON with a Python that has it)')


@pytest.fixture(scope='module')
def asked(tmp_path_factory):
    "A few sample questions, the embedded model, and our own answers and scores."
    from immig_research.train import load_base
    folder = tmp_path_factory.mktemp('asked')
    rows = read_jsonl(sample_store()/'written.jsonl', QAPair)[::19][:ASKED]
    write_jsonl(folder/'questions.jsonl', rows)
    load_base('smollm2-135m')
    infer(folder/'questions.jsonl', 'smollm2-135m', folder/'ours.jsonl', system='ours', max_new_tokens=TOKENS)
    return folder, rows, {p.qa_id: p.prediction for p in read_jsonl(folder/'ours.jsonl', Prediction)}


def run(command, folder, python):
    env = {**os.environ, 'IMMIG_QUESTIONS': str(folder/'questions.jsonl'), 'PYTHONPATH': str(ROOT), 'HF_HUB_OFFLINE': '1', 'HF_DATASETS_OFFLINE': '1',
           'TOKENIZERS_PARALLELISM': 'false', 'INSPECT_DISPLAY': 'none', 'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run([python, *map(str, command)], env=env, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def our_scores(folder, rows, answers):
    "What `immig judge` gives for these answers."
    judge(rows, [Prediction(i, 'same', text) for i, text in answers.items()], folder)
    return {j.qa_id: j.score for j in read_jsonl(folder/'judgments.jsonl', Judgment)}


def test_the_prompt_of_the_task_is_the_benchmarks():
    class Loader(yaml.SafeLoader): pass
    Loader.add_constructor('!function', lambda loader, node: node.value)
    config = yaml.load((ROOT/'ecosystem'/'lm_eval'/'immigration_law'/'immigration_law.yaml').read_text(), Loader)
    assert config['description'] == find_prompt('immig').system
    assert config['generation_kwargs'] == dict(do_sample=False, max_gen_toks=TOKENS, until=[])


def test_scoring_is_that_of_the_judge(tmp_path):
    code = ('import sys; sys.path.insert(0, "ecosystem"); import scoring\n'
            'qs = scoring.questions()[:5]\n'
            'print([scoring.score(q, a).score for q in qs for a in (q.answer, "I do not know.")])')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    rows = read_jsonl(sample_store()/'written.jsonl', QAPair)[:5]
    want = []
    for k, answers in enumerate(zip(*[(q.answer, 'I do not know.') for q in rows], strict=True)):
        want.append(our_scores(tmp_path/str(k), rows, {q.qa_id: a for q, a in zip(rows, answers, strict=True)}))
    assert json.loads(done.stdout) == [scores[q.qa_id] for q in rows for scores in want]


@pytest.mark.slow
def test_lm_evaluation_harness_gives_our_score(asked, tmp_path):
    python = python_with('lm_eval')
    folder, rows, ours = asked
    run(['-m', 'lm_eval', 'run', '--tasks', 'immigration_law', '--include_path', ROOT/'ecosystem'/'lm_eval', '--model', 'hf',
         '--model_args', f'pretrained={data_dir()/"models"/"smollm2-135m"},dtype=float32', '--apply_chat_template', '--batch_size', ASKED,
         '--device', 'cpu', '--log_samples', '--output_path', tmp_path], folder, python)
    samples = [r for f in tmp_path.rglob('samples_*.jsonl') for r in read_jsonl(f)]
    answers = {s['doc']['qa_id']: s['resps'][0][0].strip() for s in samples}
    scores = our_scores(tmp_path/'same', rows, answers)
    assert len(answers) == ASKED and {s['doc']['qa_id']: s['mean_score'] for s in samples} == scores
    (path,) = tmp_path.rglob('results_*.json')
    found = json.loads(path.read_text())['results']['immigration_law']
    assert found['mean_score,none'] == pytest.approx(sum(scores.values()) / ASKED)
    assert found['fully_correct,none'] == pytest.approx(sum(s == 3 for s in scores.values()) / ASKED)
    assert answers == ours # the same prompt and the same greedy search give the same text


@pytest.mark.slow
def test_inspect_gives_our_score(asked, tmp_path):
    python = python_with('inspect_ai')
    folder, rows, ours = asked
    run(['-m', 'inspect_ai', 'eval', 'ecosystem/inspect/immigration_law.py', '--model', 'hf/local', '-M', f'model_path={data_dir()/"models"/"smollm2-135m"}',
         '-M', 'do_sample=false', '-M', 'dtype=float32', '-M', 'device=cpu', '--max-connections', '1', '--log-dir', tmp_path, '--log-format', 'json'], folder, python)
    (path,) = tmp_path.glob('*.json')
    log = json.loads(path.read_text())
    samples = log['samples']
    answers = {s['id']: s['scores']['facts_judge']['answer'] for s in samples}
    scores = our_scores(tmp_path/'same', rows, answers)
    assert log['status'] == 'success' and {s['id']: s['scores']['facts_judge']['value'] for s in samples} == scores
    metrics = log['results']['scores'][0]['metrics']
    assert metrics['mean']['value'] == pytest.approx(sum(scores.values()) / ASKED)
    assert answers == ours
