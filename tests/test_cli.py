"The words of a command: each does what its help says, or is refused in one line."
import json
import sys
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
