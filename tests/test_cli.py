"The words of a command: each does what its help says, or is refused in one line."
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from immig_research.cli import main
from immig_research.records import Prediction, QAPair, read_jsonl, write_jsonl

sys.path.insert(0, str(Path(__file__).parent))

ASKED = [QAPair(f'q{n}', f'How long is term {n}?', f'It is {n + 2} years.', immigration_subtopic=('asylum', 'general')[n % 2], source_doc_id=f'd{n}') for n in range(4)]
JUDGES = 'bedrock:us.anthropic.claude-sonnet-4-6', 'bedrock:us.anthropic.claude-haiku-4-5-20251001-v1:0'


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    "Runs a command in a folder with questions, answers and their results; gives its code and what it said."
    monkeypatch.chdir(tmp_path); monkeypatch.setenv('IMMIG_DATA', str(tmp_path/'data'))
    write_jsonl('q.jsonl', ASKED)
    write_jsonl('p.jsonl', [Prediction(q.qa_id, 'toy', q.answer) for q in ASKED])
    def said(*words):
        code = main([str(w) for w in words])
        told = capsys.readouterr()
        return code, json.loads(told.out) if '--json' in words and told.out else told.err.strip()
    return said


@pytest.mark.parametrize('text', [None, '{', '{"berths": "("}'])
def test_a_taxonomy_that_cannot_be_read_is_one_line_whatever_the_command(tmp_path, text):
    path = tmp_path/'taxonomy.json'
    if text: path.write_text(text)
    done = subprocess.run([sys.executable, '-m', 'immig_research.cli', '--help'], capture_output=True, text=True, env={**os.environ, 'IMMIG_TAXONOMY': str(path)})
    assert done.returncode == 2 and done.stderr.startswith('immig: ') and done.stderr.count('\n') == 1 and str(path) in done.stderr


@pytest.fixture
def box(monkeypatch):
    pytest.importorskip('boto3')
    from standins import Standin
    with Standin() as box:
        for name, value in dict(AWS_ACCESS_KEY_ID='AKIA' + 'TESTING0' * 2, AWS_SECRET_ACCESS_KEY='for-tests-only', AWS_DEFAULT_REGION='us-east-1', AWS_EC2_METADATA_DISABLED='true',
                                AWS_ENDPOINT_URL_BEDROCK_RUNTIME=box.url).items(): monkeypatch.setenv(name, value)
        monkeypatch.setattr('immig_research.bedrock._CLIENTS', {})
        yield box


@pytest.fixture
def results(said):
    assert said('judge', '--questions', 'q.jsonl', '--predictions', 'p.jsonl', '--out', 'first')[0] == 0
    return 'first/results.jsonl'


def test_a_plan_over_given_results_judges_nothing(said, results):
    code, plan = said('benchmark', '--results', results, '--plan', '--judges', f'facts,{JUDGES[0]}', '--repeats', 2, '--out', 'run', '--json')
    assert code == 0 and {r['new'] for r in plan['cells']} == {4} and len(plan['cells']) == 5 # Answers, and two judges twice
    assert not Path('run/results.jsonl').exists()


def test_given_results_are_judged_as_the_options_say(said, results):
    code, done = said('benchmark', '--results', results, '--sample', 2, '--seed', 7, '--repeats', 3, '--recipe', 'card', '--judges', 'facts', '--out', 'run', '--json')
    assert code == 0 and (done['headline'][0]['n'], len(read_jsonl('run/judgments.jsonl'))) == (2, 6)
    assert said('benchmark', '--results', results, '--out', 'all', '--json')[1]['headline'][0]['n'] == 4


@pytest.mark.parametrize('recipe, cap', [('plain', True), ('card', False)])
def test_given_results_are_judged_by_the_recipe(said, results, monkeypatch, recipe, cap):
    seen = []
    monkeypatch.setattr('immig_research.cli.benchmark_stage.run_benchmark', lambda chosen, out, questions: seen.append(chosen) or sys.exit())
    with pytest.raises(SystemExit): said('benchmark', '--results', results, '--recipe', recipe, '--out', 'run')
    assert (seen[0].cap, seen[0].asking.max_tokens, [s.name for s in seen[0].systems]) == (cap, 400 if cap else 150, ['toy'])


def test_a_budget_holds_over_all_judges_and_answers(said, box):
    words = 'benchmark', '--systems', f'toy=file:p.jsonl,asked={JUDGES[1]}', '--judges', ','.join(JUDGES), '--questions', 'q.jsonl', '--sample', 'all', '--out', 'run'
    code, told = said(*words, '--budget', '9 calls')
    assert code == 1 and 'calls: at most 9' in told and box.calls == 9 # 4 answers and 5 of 16 judgments
    assert said(*words)[0] == 0 and box.calls == 20 # It goes on, and pays for nothing twice


def test_an_audit_keeps_its_budget(said, box):
    code, told = said('audit', '--judge', JUDGES[0], '--per-subdomain', 1, '--budget', '3 calls', '--out', 'audit')
    assert code == 1 and 'calls: at most 3' in told and box.calls == 3


@pytest.mark.parametrize('words, option', [
    ('sources collect --dry-run', '--dry-run'), ('sources collect --forms I-485', '--forms'), ('sources collect --chapters 12-d-3 --parts 245', '--chapters'), ('sources fetch --out x --dry-run', '--out'),
    ('sources fetch --as-of 2026-01-01 --dry-run', '--as-of'), ('sources fetch --only bia --forms I-485 --dry-run', '--only'),
    ('dataset build --n 5 --licenses x', '--n'), ('dataset build --train x', '--train'), ('dataset build --budget 5', '--budget'), ('dataset certify --train x --corpus y', '--corpus'),
    ('dataset review --verdicts v.csv --n 5', '--n'), ('dataset export --licenses x --out y --n 5', '--n'), ('dataset traps --dataset x', '--dataset'), ('dataset ground --eval x', '--eval'),
    ('train --dataset x --accept-eula', '--accept-eula'), ('train --dataset x --on sagemaker --accept-eula', '--accept-eula'),
    ('judge --questions q.jsonl --predictions p.jsonl --view reference', '--view'), ('judge --questions q.jsonl --predictions p.jsonl --judge overlap --budget 5', '--budget'),
    ('audit --view source', '--view'), ('audit --judge overlap --budget 5', '--budget'),
    ('benchmark --plan --people x', '--people'), ('benchmark --results x --systems y', '--systems'), ('benchmark --results x --questions q.jsonl', '--questions'), ('benchmark --sample all --seed 7', '--seed'),
    ('analyze --results x --costs y', '--costs'), ('analyze --results x --questions q.jsonl', '--questions'), ('analyze --results x --judgments y', '--judgments'), ('analyze --results x --predictions y', '--predictions'),
    ('publish model --repo a/b --corpus x', '--corpus'), ('publish dataset --repo a/b --weights merged', '--weights'), ('publish dataset --repo a/b --cells x', '--cells'), ('publish dataset --repo a/b --dataset-repo c/d', '--dataset-repo')])
def test_an_option_without_effect_is_refused_before_anything_is_done(said, tmp_path, words, option):
    before = sorted(tmp_path.rglob('*'))
    code, told = said(*words.split())
    assert code == 2 and told.startswith(f'immig: {option} does nothing with `immig {words.split()[0]}`, ') and '\n' not in told
    assert sorted(tmp_path.rglob('*')) == before


def test_a_budget_without_anything_to_pay_is_refused(said):
    assert said('benchmark', '--systems', 'a=file:p.jsonl', '--questions', 'q.jsonl', '--budget', '5 calls', '--out', 'run') == \
        (2, 'immig: a budget is for engines, and facts and the systems here cost nothing: leave --budget out')


def test_an_option_that_says_what_is_usual_is_taken(said):
    assert said('judge', '--questions', 'q.jsonl', '--predictions', 'p.jsonl', '--judge', 'facts', '--repeats', '1', '--out', 'run')[0] == 0


@pytest.mark.parametrize('words, what', [('--dataset datset', 'datset has neither train.jsonl nor eval.jsonl'), ('--judgments j.jsonl', 'give --dataset DIR with eval.jsonl too')])
def test_recall_does_not_say_that_nothing_is_touched_where_nothing_was_read(said, words, what):
    write_jsonl('corpus/documents.jsonl', [])
    Path('versions.json').write_text('{"content_versions": []}')
    code, told = said('recall', '--since', '2026-01-01', '--store', 'versions.json', '--corpus', 'corpus', *words.split())
    assert code == 2 and what in told


def test_a_run_that_fails_is_one_line_and_exit_1(said, monkeypatch):
    pytest.importorskip('torch')
    from immig_research import recipes
    for split in ('train', 'eval'): write_jsonl(f'data/{split}.jsonl', ASKED)
    monkeypatch.setitem(recipes.RECIPES, 'toy', replace(recipes.RECIPES['toy'], learning_rate=1e30, pairs=None))
    code, told = said('train', '--dataset', 'data', '--recipe', 'toy', '--model', 'toy', '--out', 'model')
    assert code == 1 and told.splitlines()[-1].startswith('immig: training stopped: ') and 'Traceback' not in told


def test_sagemaker_without_credentials_is_one_line_and_exit_2(said, monkeypatch):
    pytest.importorskip('boto3')
    for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_PROFILE', 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI', 'AWS_CONTAINER_CREDENTIALS_FULL_URI', 'AWS_WEB_IDENTITY_TOKEN_FILE'): monkeypatch.delenv(name, raising=False)
    for name, value in dict(AWS_EC2_METADATA_DISABLED='true', AWS_CONFIG_FILE='/dev/null', AWS_SHARED_CREDENTIALS_FILE='/dev/null', AWS_REGION='us-east-1',
                            IMMIG_SAGEMAKER_ROLE='arn:aws:iam::123456789012:role/sagemaker', IMMIG_SAGEMAKER_S3='s3://my-bucket/immig').items(): monkeypatch.setenv(name, value)
    for split in ('train', 'eval'): write_jsonl(f'data/{split}.jsonl', ASKED)
    code, told = said('train', '--dataset', 'data', '--recipe', 'toy', '--model', 'toy', '--on', 'sagemaker', '--out', 'model')
    assert code == 2 and told.splitlines()[-1].startswith('immig: AWS takes no call without credentials')


def test_a_file_that_cannot_be_written_is_one_line_and_exit_1(said):
    Path('taken').write_text('a file, no folder')
    code, told = said('judge', '--questions', 'q.jsonl', '--predictions', 'p.jsonl', '--out', 'taken/run')
    assert code == 1 and told.splitlines()[-1].startswith('immig: ') and 'taken' in told


@pytest.mark.parametrize('words', ['judge --questions q.jsonl --predictions p.jsonl --repeats ²', 'train --dataset d --recipe toy --pairs ²', 'infer --questions q.jsonl --sample ²'])
def test_what_only_looks_like_a_number_is_bad_input(said, words):
    code, told = said(*words.split())
    assert code == 2 and "'²'" in told
