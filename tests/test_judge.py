"Resume, open cells and metamorphic properties of the judge stage."
import json
import random

import pytest

from immig_research.facts_judge import calibration_rows
from immig_research.judge import judge, read_predictions, seed_results, tabulate_scores, write_results
from immig_research.records import BadInput, Judgment, Prediction, QAPair, read_jsonl, write_jsonl

ROWS = calibration_rows()[:60]
QUESTIONS = [QAPair(i, r['question'], r['reference'], immigration_subtopic=('asylum', 'general')[n % 2]) for n,
             (i, r) in enumerate({r['qa_id']: r for r in ROWS}.items())]
PREDICTIONS = [Prediction(r['qa_id'], f'system-{r["candidate"]}', r['answer']) for r in ROWS if r['candidate'] in 'abc']


def outcome(folder, predictions=PREDICTIONS, **kw):
    judge(QUESTIONS, predictions, folder, **kw)
    return write_results(QUESTIONS, predictions, folder/'judgments.jsonl', folder), {p.name: p.read_bytes()
                                                                                     for p in sorted(folder.iterdir())}


def test_stopped_and_unbroken_runs_are_the_same(tmp_path):
    _, whole = outcome(tmp_path/'whole')
    rng = random.Random(0)
    for n in range(6):
        folder = tmp_path/str(n); folder.mkdir()
        lines = whole['judgments.jsonl'].splitlines(keepends=True); rng.shuffle(lines)
        data = b''.join(lines); (folder/'judgments.jsonl').write_bytes(data[:rng.randrange(len(data))])
        assert outcome(folder)[1] == whole


def test_damage_in_the_middle_is_told(tmp_path):
    outcome(tmp_path)
    path = tmp_path/'judgments.jsonl'; lines = path.read_text().splitlines(); lines[1] = lines[1][:20]
    path.write_text('\n'.join(lines) + '\n')
    with pytest.raises(BadInput, match='line 2'): judge(QUESTIONS, PREDICTIONS, tmp_path)


def test_files_and_order_of_predictions_do_not_matter(tmp_path):
    _, whole = outcome(tmp_path/'whole')
    files = []
    for s in 'cab': files.append(tmp_path/f'{s}.jsonl'); write_jsonl(files[-1], reversed([p for p in PREDICTIONS if p.system.endswith(s)]))
    assert outcome(tmp_path/'files', files)[1] == whole


def test_a_changed_reference_is_judged_again(tmp_path):
    judge(QUESTIONS, PREDICTIONS, tmp_path)
    old = read_jsonl(tmp_path/'judgments.jsonl', Judgment)
    changed = [QAPair.from_row({**QUESTIONS[0].to_row(), 'answer': 'Something else entirely applies.'}), *QUESTIONS[1:]]
    judge(changed, PREDICTIONS, tmp_path)
    new = read_jsonl(tmp_path/'judgments.jsonl', Judgment)
    assert {j.qa_id for a, j in zip(old, new) if a != j} == {QUESTIONS[0].qa_id} and len(new) == len(old)


def test_adding_a_system_later_keeps_the_first(tmp_path):
    _, whole = outcome(tmp_path/'whole')
    judge(QUESTIONS, [p for p in PREDICTIONS if p.system == 'system-b'], tmp_path/'later')
    assert outcome(tmp_path/'later')[1] == whole


def test_repeats_have_rows_of_their_own(tmp_path):
    got = judge(QUESTIONS, PREDICTIONS, tmp_path, repeats=2)
    rows = read_jsonl(tmp_path/'judgments.jsonl', Judgment)
    assert got['cells'] == len(rows) == 2 * 3 * len(QUESTIONS) and {j.repeat for j in rows} == {0, 1}


def lower(predictions, tmp_path):
    return {s: f['bounds'][0] for s, f in outcome(tmp_path, predictions)[0]['overall'].items()}


@pytest.mark.parametrize('harm', ['delete', 'empty', 'error', 'break', 'refuse'])
def test_harming_an_answer_never_raises_a_lower_bound(harm, tmp_path):
    before = lower(PREDICTIONS, tmp_path)
    for p in PREDICTIONS[::4]:
        text, status = dict(delete=('', ''), empty=('', 'ok'), error=('', 'model_error'), refuse=('I cannot answer that.', 'ok'))\
            .get(harm, ('\x00\ufffd#!', 'truncated'))
        swapped = [Prediction(q.qa_id, q.system, text, status=status) if q is p else q for q in PREDICTIONS if q is not p
                   or harm != 'delete']
        after = lower(swapped, tmp_path)
        assert all(after[s] <= v for s, v in before.items()), (harm, p.qa_id, p.system)


def test_cutting_right_answers_never_raises_a_lower_bound(tmp_path):
    right = {(r['qa_id'], f'system-{r["candidate"]}') for r in ROWS if r['score'] == 3}
    before = lower(PREDICTIONS, tmp_path)
    for share in (.3, .6, .9):
        cut = [Prediction(p.qa_id, p.system, p.prediction[:int(len(p.prediction) * share)], status='truncated')
               if (p.qa_id, p.system) in right else p for p in PREDICTIONS]
        assert all(v <= before[s] for s, v in lower(cut, tmp_path).items())


def test_a_failed_answer_is_open_and_bounds_the_headline(tmp_path):
    failed = [Prediction(p.qa_id, p.system, '[ENDPOINT_ERROR]', status='model_error') if p is PREDICTIONS[0] else p for p in PREDICTIONS]
    summary, _ = outcome(tmp_path, failed)
    f = summary['overall'][PREDICTIONS[0].system]
    assert f['open'] == 1 and f['n'] == len(QUESTIONS) - 1 and f['headline'] == f['bounds'] and f['bounds'][0] < f['mean'] < f['bounds'][1]
    row = json.loads((tmp_path/'results.jsonl').read_text().splitlines()[0])
    assert -1 in row['scores'].values() and set(row['scores']) == set(row['predictions']) == set(row['reasons'])


def test_written_results_read_back_to_the_same_table(tmp_path):
    summary, _ = outcome(tmp_path)
    questions, predictions, _ = seed_results(tmp_path/'results.jsonl')
    assert tabulate_scores(read_jsonl(tmp_path/'results.jsonl'))['by_subtopic'] == summary['by_subtopic']
    assert len(read_predictions(predictions, questions)) == 3 * len(QUESTIONS)


def test_the_published_means_come_out_of_their_scores():
    scores = [3] * 8 + [1] * 45 + [0] * 48
    figures = tabulate_scores([dict(subtopic='general', scores={'s': s}) for s in scores])['overall']['s']
    assert (figures['n'], figures['mean'], figures['pct_full']) == (101, .683, 7.9)
