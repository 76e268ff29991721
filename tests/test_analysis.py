"Tables and figures: against plain counting, against the published figures, and under broken, withheld and repeated rows."
import json
from dataclasses import replace

import made_benchmark as made
import numpy as np
import pandas as pd
import pytest

from immig_research.analysis import analyze, analyze_results, pictures, tables_markdown
from immig_research.judge import seed_results, write_results
from immig_research.plots import DARK, LIGHT, figure_distribution, figure_png, figure_subdomains
from immig_research.published import PUBLISHED, published_table
from immig_research.records import BadInput, read_jsonl, sha256_file, write_jsonl
from immig_research.tables import (
    accounting_table,
    agreement_table,
    all_tables,
    cells,
    distribution_table,
    overall_table,
    paired_table,
    read_cells,
    risk_table,
    subdomain_table,
    tied_sets,
    write_cells,
)
from immig_research.taxonomy import SUBDOMAINS

asked = made.questions()
base, tuned = made.judgments('base', asked), made.judgments('tuned', asked)


def test_published_overall_rows_follow_from_the_subdomain_rows():
    for row in [r for r in PUBLISHED['overall'] if r['run'] == 'v1']:
        parts = [r for r in PUBLISHED['by_subdomain'] if r['system'] == row['system']]
        assert all(abs(round(r['mean'] * r['n']) / r['n'] - r['mean']) <= 0.0051 for r in parts) # each is a mean of n whole scores
        assert sum(r['n'] for r in parts) == row['n'] == 101
        assert round(sum(round(r['mean'] * r['n']) for r in parts) / 101, 2) == row['mean']
        assert round(100 * sum(round(r['pct_full'] * r['n'] / 100) for r in parts) / 101, 1) == row['pct_full']


def test_published_sample_is_eight_a_stratum_or_all():
    sizes = {r['subdomain']: r['n'] for r in PUBLISHED['by_subdomain']}
    assert sizes == {r['subdomain']: min(8, r['eval']) for r in PUBLISHED['dataset']}
    assert all(r['source'] in PUBLISHED['sources'] for part in ('overall', 'by_subdomain', 'dataset') for r in PUBLISHED[part])
    assert published_table().iloc[0][['pct_low', 'pct_high']].round(1).tolist() == [4.1, 14.9]


def test_overall_table_is_plain_counting():
    row = overall_table(cells(asked, base + tuned)).set_index('system').loc['tuned']
    scores = [j.score for j in tuned]
    assert (row.n, row.open) == (101, 0)
    assert round(row['mean'], 3) == round(sum(scores) / 101, 3)
    assert round(row.pct_full, 1) == round(100 * scores.count(3) / 101, 1)
    weights = {r['subdomain']: r['eval'] for r in PUBLISHED['dataset']}
    means = {s: np.mean([j.score for q, j in zip(asked, tuned, strict=True) if q.immigration_subtopic == s]) for s in SUBDOMAINS}
    assert row.post_stratified == pytest.approx(sum(weights[s] * means[s] for s in SUBDOMAINS) / 993, abs=1e-5)


def test_subdomain_table_counts_and_marks():
    table = subdomain_table(cells(asked, base))
    assert list(table.subdomain) == list(SUBDOMAINS)
    assert dict(zip(table.subdomain, table.n, strict=True)) == {s: made.SIZES.get(s, 8) for s in SUBDOMAINS}
    assert set(table[table.small].subdomain) == set(made.SIZES)


def test_published_spellings_of_subdomains_fall_together():
    shouted = [replace(q, immigration_subtopic=q.immigration_subtopic.replace(' ', '_').title()) for q in asked]
    pd.testing.assert_frame_equal(subdomain_table(cells(shouted, base)), subdomain_table(cells(asked, base)))


@pytest.mark.parametrize('status', ['judge_error', 'model_error', 'unparseable'])
def test_breaking_an_answer_never_raises_the_headline(status):
    whole = overall_table(cells(asked, base)).iloc[0]
    for place in range(0, 101, 20):
        hurt = overall_table(cells(asked, made.opened(base, place, status=status))).iloc[0]
        assert hurt.open == 1 and np.isnan(hurt['mean']) and np.isnan(hurt.pct_full) and np.isnan(hurt.post_stratified)
        assert hurt.worst <= whole['mean'] <= hurt.best and hurt.low <= whole.low + 0.02 and hurt.pct_worst <= whole.pct_full <= hurt.pct_best


def test_withholding_rows_is_the_same_as_breaking_them():
    gone = [j for i, j in enumerate(base) if i not in (3, 50)]
    a, b = overall_table(cells(asked, gone)).iloc[0], overall_table(cells(asked, made.opened(base, 3, 50))).iloc[0]
    assert (a.open, a.worst, a.best, a.low, a.high) == (b.open, b.worst, b.best, b.low, b.high)


def test_a_score_beside_a_failed_status_does_not_count():
    rows = [replace(base[0], status='judge_error', score=3)] + base[1:]
    assert overall_table(cells(asked, rows)).iloc[0].open == 1


def test_later_rows_are_retries():
    assert overall_table(cells(asked, made.opened(base, 3) + [base[3]])).equals(overall_table(cells(asked, base)))
    assert overall_table(cells(asked, base + [replace(base[3], score=None, status='judge_error')])).iloc[0].open == 1


def test_repeats_give_their_lower_median_and_an_open_repeat_opens_the_cell():
    twice = base + [replace(j, repeat=1, score=3) for j in base]
    found = cells(asked, twice)
    assert found.score.tolist() == [j.score for j in base]
    assert cells(asked, made.opened(twice, 150)).score.isna().sum() == 1
    assert distribution_table(cells(asked, twice))[['0', '1', '2', '3']].sum(axis=1).tolist() == [101]


def test_judges_are_kept_apart():
    both = base + made.judgments('base', asked, judge='other')
    assert len(overall_table(cells(asked, both))) == 2 and len(paired_table(cells(asked, both))) == 0
    assert overall_table(cells(asked, made.judgments('claude_sonnet_zeroshot', asked, judge='bedrock:us.anthropic.claude-sonnet-4-6'))).flag.tolist() == ['judge']


@pytest.mark.parametrize('bad', [4, -1, 2.5, True, None, '3'])
def test_odd_scores_are_refused(bad):
    with pytest.raises(BadInput, match='score must be 0-3'): overall_table(cells(asked, [replace(base[0], score=bad)] + base[1:]))


def test_paired_table_of_three_is_corrected():
    table = paired_table(cells(asked, base + tuned + made.judgments('zeta', asked)))
    assert list(zip(table.system, table.minus, strict=True)) == [('tuned', 'base'), ('zeta', 'base'), ('zeta', 'tuned')]
    assert (table.p_value >= table.p_single).all()
    assert table.difference[0] == pytest.approx(np.mean([b.score - a.score for a, b in zip(base, tuned, strict=True)]), abs=1e-5)


def test_paired_bounds_hold_the_truth():
    whole, part = paired_table(cells(asked, base + tuned)).iloc[0], paired_table(cells(asked, made.opened(base + tuned, 5, 110))).iloc[0]
    assert part.open == 2 and part.worst <= whole.difference <= part.best and np.isnan(part.p_value)


def test_accounting_adds_up():
    said = made.answers('base', asked)
    said[0], said[1] = replace(said[0], disposition='abstained'), replace(said[1], status='truncated')
    row = accounting_table(cells(asked, made.opened(base, 7)[:-2]), said).iloc[0]
    assert row[['planned', 'scored', 'judge_error', 'missing', 'abstained', 'truncated']].tolist() == [101, 98, 1, 2, 1, 1]


def test_markdown_marks_small_cells_and_open_ones():
    page = tables_markdown(all_tables(cells(asked, made.opened(base + tuned, 5))), 'the made population')
    assert '3*' in page and '(open)' in page and 'the made population' in page and 'nan' not in page
    ours, published = page.split('## Published figures')
    assert 'Llama 3 8B zero-shot' in published and 'Llama 3 8B zero-shot' not in ours


def test_figures_are_small_and_the_same_each_time():
    found = all_tables(cells(asked, made.opened(base + tuned, 5)))
    for draw, name in ((figure_subdomains, 'subdomains'), (figure_distribution, 'distribution')):
        one = figure_png(draw(found[name]))
        assert one == figure_png(draw(found[name])) and len(one) < 100_000 and b'Software' not in one
    assert all(p.alt for p in pictures(found))


def test_figures_hold_the_numbers_of_the_table():
    table = subdomain_table(cells(asked, base + tuned))
    ax = figure_subdomains(table).axes[0]
    marks = sorted(round(float(line.get_xdata()[0]), 6) for line in ax.lines if len(line.get_xdata()) == 1)
    assert marks == sorted(table['mean'])
    assert [t.get_text() for t in ax.get_yticklabels()] == list(SUBDOMAINS)
    bars = figure_distribution(distribution_table(cells(asked, base))).axes[0].patches
    assert [int(b.get_width()) for b in bars] == [[j.score for j in base].count(k) for k in range(4)]


def test_analyze_from_files_twice_gives_the_same_bytes(tmp_path):
    for name, rows in (('sample', asked), ('judgments', base + tuned), ('predictions', made.answers('base', asked) + made.answers('tuned', asked))):
        write_jsonl(tmp_path/f'{name}.jsonl', rows)
    (tmp_path/'report.json').write_text(json.dumps(dict(eval_before=dict(loss=2.2, perplexity=9.0), eval_after=dict(loss=1.5, perplexity=4.5))))
    write_jsonl(tmp_path/'curve.jsonl', [dict(step=s, loss=2.0 - s / 50) for s in range(20)])
    given = dict(questions=tmp_path/'sample.jsonl', judgments=[tmp_path/'judgments.jsonl'], predictions=[tmp_path/'predictions.jsonl'], train_report=tmp_path/'report.json')
    first, again = (analyze(**given, out=tmp_path/n) for n in 'ab')
    assert first == again == json.loads(json.dumps(first))
    assert {f: sha256_file(tmp_path/'a'/f) for f in first['files']} == {f: sha256_file(tmp_path/'b'/f) for f in again['files']}
    page = (tmp_path/'a'/'report.html').read_text()
    assert sha256_file(tmp_path/'judgments.jsonl') in page and str(tmp_path) not in page and '9.000 before training, 4.500 after' in page
    assert 'figures/training.png' in first['files'] and 'timings.md' not in first['files']
    assert len(page) < 1_000_000
    frame = pd.read_csv(tmp_path/'a'/'tables'/'overall.csv')
    assert frame['mean'].tolist() == [r['mean'] for r in first['overall']]


def test_analyze_without_predictions(tmp_path):
    done = analyze(asked, base, None, tmp_path)
    assert done['systems'] == ['base'] and 'was not given to this report' in (tmp_path/'report.html').read_text()


def test_analyze_names_what_is_missing(tmp_path):
    with pytest.raises(BadInput, match='no such file'): analyze(tmp_path/'none.jsonl', base, None, tmp_path)
    with pytest.raises(BadInput, match='no judgments'): analyze(asked, [], None, tmp_path)


def seed_tables(rows):
    "The published project's own tabulation, written again here from its documented output: failed scores (-1) left out."
    def figures(part, system):
        scores = [r['scores'][system] for r in part if r['scores'][system] >= 0]
        return dict(n=len(scores), mean=round(sum(scores) / len(scores), 3), pct_full=round(100 * scores.count(3) / len(scores), 1))
    systems, topics = sorted(rows[0]['scores']), sorted({r['subtopic'] for r in rows})
    return {s: figures(rows, s) for s in systems}, {t: {s: figures([r for r in rows if r['subtopic'] == t], s) for s in systems} for t in topics}


def seed_rows(failed=0):
    "A made results file in the published layout: 101 questions, three systems, the last `failed` scores of one failed."
    rng, systems = np.random.default_rng(7), ('llama3_8b_base_zeroshot', 'claude_sonnet_zeroshot', 'llama32_finetuned')
    rows = [dict(qa_id=q.qa_id, question=q.question, reference=q.answer, subtopic=q.immigration_subtopic, answer_type='rule', authority_level='primary_official',
                 scores={s: int(rng.integers(0, 4)) for s in systems}, predictions=dict.fromkeys(systems, 'An answer.'), reasons=dict.fromkeys(systems, 'A reason.')) for q in asked]
    for r in rows[:failed]: r['scores']['llama32_finetuned'] = -1
    return rows


def test_a_published_results_file_gives_its_own_figures_to_the_last_digit(tmp_path):
    rows = seed_rows()
    write_jsonl(tmp_path/'results.jsonl', rows)
    overall, topics = seed_tables(rows)
    found = cells(*[seed_results(tmp_path/'results.jsonl')[k] for k in (0, 2)])
    for r in overall_table(found).to_dict('records'):
        assert dict(n=r['n'], mean=round(r['mean'], 3), pct_full=round(r['pct_full'], 1)) == overall[r['system']]
    for r in subdomain_table(found).to_dict('records'):
        assert dict(n=r['n'], mean=round(r['mean'], 3), pct_full=round(r['pct_full'], 1)) == topics[r['subdomain']][r['system']]
    done = analyze_results(tmp_path/'results.jsonl', tmp_path/'out', judge='bedrock:us.anthropic.claude-sonnet-4-6')
    assert {r['system']: r['flag'] for r in done['overall']} == {s: 'judge' if 'claude' in s else '' for s in overall}


def test_failed_scores_of_a_published_file_are_open_and_bound_its_own_mean(tmp_path):
    rows = seed_rows(failed=5)
    write_jsonl(tmp_path/'results.jsonl', rows)
    questions, said, scored = seed_results(tmp_path/'results.jsonl')
    theirs, row = seed_tables(rows)[0], overall_table(cells(questions, scored)).set_index('system').loc['llama32_finetuned']
    assert theirs['llama32_finetuned']['n'] == 96 and (row.n, row.open) == (101, 5)
    assert row.worst < theirs['llama32_finetuned']['mean'] < row.best and np.isnan(row['mean'])
    ours = write_results(questions, said, scored, tmp_path/'ours', 'published') # in the published layout again
    assert {s: {k: v[k] for k in ('n', 'mean', 'pct_full')} for s, v in ours['overall'].items()} == theirs
    again = read_jsonl(tmp_path/'ours'/'results.jsonl')
    assert [{k: r[k] for k in ('qa_id', 'scores')} for r in again] == [{k: r[k] for k in ('qa_id', 'scores')} for r in rows]


def test_cells_come_back_from_their_file(tmp_path):
    found = cells(asked, made.opened(base + tuned, 3))
    back = read_cells(write_cells(tmp_path/'cells.csv', found))
    for name, table in all_tables(found).items(): pd.testing.assert_frame_equal(table, all_tables(back)[name])
    assert 'made reason' not in (tmp_path/'cells.csv').read_text()
    (tmp_path/'half.csv').write_text('qa_id,score\nq,1\n')
    with pytest.raises(BadInput, match='lacks system'): read_cells(tmp_path/'half.csv')
    with pytest.raises(BadInput, match='no such file'): read_cells(tmp_path/'none.csv')


def test_hard_errors_stand_beside_every_mean():
    marked = [j for j in base]
    for i, j in enumerate(marked): marked[i] = type('Marked', (), {**vars(j), 'hard_error': i % 10 == 0})()
    row = overall_table(cells(asked, marked)).iloc[0]
    assert row.pct_hard == pytest.approx(100 * 11 / 101) and row.hard_low < row.pct_hard < row.hard_high
    marked[0].hard_error = None
    row = overall_table(cells(asked, marked)).iloc[0]
    assert np.isnan(row.pct_hard) and row.hard_low < 100 * 10 / 101 and row.hard_high > 100 * 11 / 101
    assert np.isnan(overall_table(cells(asked, base)).iloc[0].hard_low)


def test_tied_sets_say_what_the_data_does_not_order():
    found = all_tables(cells(asked, base + tuned + made.judgments('zeta', asked)))
    letters, paired = dict(zip(found['overall'].system, found['overall'].tied, strict=True)), found['paired']
    for r in paired.to_dict('records'):
        apart = r['p_value'] < 0.05 and not r['low'] <= 0 <= r['high']
        assert bool(set(letters[r['system']]) & set(letters[r['minus']])) is not apart
    assert tied_sets(found['overall'], paired.assign(p_value=1.)) == ['a'] * 3


def test_agreement_against_plain_counting():
    other = [replace(j, judge='other', score=made.score('other', j.qa_id)) for j in base]
    row = agreement_table(cells(asked, base + made.opened(other, 4))).iloc[0]
    kept = [(a.score, b.score) for i, (a, b) in enumerate(zip(base, other, strict=True)) if i != 4]
    assert row.n == 100 and row.exact == pytest.approx(np.mean([a == b for a, b in kept]))
    by_chance = np.mean([(a - b) ** 2 for a, _ in kept for _, b in kept])
    assert row.kappa == pytest.approx(1 - np.mean([(a - b) ** 2 for a, b in kept]) / by_chance, abs=1e-6)
    assert np.array(row.confusion).sum() == 100


def test_risk_counts_answers_not_abstentions():
    said = [replace(p, disposition='abstained') if i < 40 else p for i, p in enumerate(made.answers('base', asked))]
    row = risk_table(cells(asked, base), said).iloc[0]
    scores = [j.score for j in base[40:]]
    assert row.coverage == pytest.approx(61 / 101, abs=1e-6) and row.risk == pytest.approx(sum(s < 2 for s in scores) / 61, abs=1e-6)


DEFICIENCIES = dict( # Full dichromacy after Machado, Oliveira and Fernandes (2009), on linear light
    protan=[[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    deutan=[[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])


def lab(colour, kind=None):
    "CIELAB of a hex colour, as seen with a colour-vision deficiency."
    light = np.array([int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)])
    light = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    if kind: light = np.clip(np.array(DEFICIENCIES[kind]) @ light, 0, 1)
    xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]) @ light / [0.95047, 1, 1.08883]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize('look', [LIGHT, DARK], ids=['light', 'dark'])
@pytest.mark.parametrize('kind', [None, *DEFICIENCIES])
def test_the_first_four_systems_can_be_told_apart_by_colour(look, kind):
    seen = [lab(c, kind) for c in look['systems'][:4]]
    assert min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]) > 10
