"Tables and figures: against plain counting, against the published figures, and under broken, withheld and repeated rows."
import json
from dataclasses import replace

import made_benchmark as made
import numpy as np
import pandas as pd
import pytest

from immig_research.analysis import (
    PUBLISHED,
    accounting_table,
    analyze,
    cells,
    distribution_table,
    figure_distribution,
    figure_png,
    figure_subdomains,
    overall_table,
    paired_table,
    pictures,
    published_table,
    subdomain_table,
    tables,
    tables_markdown,
)
from immig_research.records import BadInput, sha256_file, write_jsonl
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
    row = overall_table(asked, base + tuned).set_index('system').loc['tuned']
    scores = [j.score for j in tuned]
    assert (row.n, row.open) == (101, 0)
    assert round(row['mean'], 3) == round(sum(scores) / 101, 3)
    assert round(row.pct_full, 1) == round(100 * scores.count(3) / 101, 1)
    weights = {r['subdomain']: r['eval'] for r in PUBLISHED['dataset']}
    means = {s: np.mean([j.score for q, j in zip(asked, tuned, strict=True) if q.immigration_subtopic == s]) for s in SUBDOMAINS}
    assert row.post_stratified == pytest.approx(sum(weights[s] * means[s] for s in SUBDOMAINS) / 993, abs=1e-5)


def test_subdomain_table_counts_and_marks():
    table = subdomain_table(asked, base)
    assert list(table.subdomain) == list(SUBDOMAINS)
    assert dict(zip(table.subdomain, table.n, strict=True)) == {s: made.SIZES.get(s, 8) for s in SUBDOMAINS}
    assert set(table[table.small].subdomain) == set(made.SIZES)


def test_published_spellings_of_subdomains_fall_together():
    shouted = [replace(q, immigration_subtopic=q.immigration_subtopic.replace(' ', '_').title()) for q in asked]
    pd.testing.assert_frame_equal(subdomain_table(shouted, base), subdomain_table(asked, base))


@pytest.mark.parametrize('status', ['judge_error', 'model_error', 'unparseable'])
def test_breaking_an_answer_never_raises_the_headline(status):
    whole = overall_table(asked, base).iloc[0]
    for place in range(0, 101, 20):
        hurt = overall_table(asked, made.opened(base, place, status=status)).iloc[0]
        assert hurt.open == 1 and np.isnan(hurt['mean']) and np.isnan(hurt.pct_full) and np.isnan(hurt.post_stratified)
        assert hurt.worst <= whole['mean'] <= hurt.best and hurt.low <= whole.low + 0.02 and hurt.pct_worst <= whole.pct_full <= hurt.pct_best


def test_withholding_rows_is_the_same_as_breaking_them():
    gone = [j for i, j in enumerate(base) if i not in (3, 50)]
    a, b = overall_table(asked, gone).iloc[0], overall_table(asked, made.opened(base, 3, 50)).iloc[0]
    assert (a.open, a.worst, a.best, a.low, a.high) == (b.open, b.worst, b.best, b.low, b.high)


def test_a_score_beside_a_failed_status_does_not_count():
    rows = [replace(base[0], status='judge_error', score=3)] + base[1:]
    assert overall_table(asked, rows).iloc[0].open == 1


def test_later_rows_are_retries():
    assert overall_table(asked, made.opened(base, 3) + [base[3]]).equals(overall_table(asked, base))
    assert overall_table(asked, base + [replace(base[3], score=None, status='judge_error')]).iloc[0].open == 1


def test_repeats_are_averaged_and_an_open_repeat_opens_the_cell():
    twice = base + [replace(j, repeat=1, score=3) for j in base]
    found = cells(asked, twice)
    assert found.score.tolist() == [(j.score + 3) / 2 for j in base]
    assert cells(asked, made.opened(twice, 150)).score.isna().sum() == 1
    assert distribution_table(asked, twice)[['0', '1', '2', '3']].sum(axis=1).tolist() == [101]


def test_judges_are_kept_apart():
    both = base + made.judgments('base', asked, judge='other')
    assert len(overall_table(asked, both)) == 2 and len(paired_table(asked, both)) == 0
    assert overall_table(asked, made.judgments('claude_sonnet_zeroshot', asked, judge='bedrock:us.anthropic.claude-sonnet-4-6')).flag.tolist() == ['judge']


@pytest.mark.parametrize('bad', [4, -1, 2.5, True, None, '3'])
def test_odd_scores_are_refused(bad):
    with pytest.raises(BadInput, match='score must be 0-3'): overall_table(asked, [replace(base[0], score=bad)] + base[1:])


def test_paired_table_of_three_is_corrected():
    table = paired_table(asked, base + tuned + made.judgments('zeta', asked))
    assert list(zip(table.system, table.minus, strict=True)) == [('tuned', 'base'), ('zeta', 'base'), ('zeta', 'tuned')]
    assert (table.p_value >= table.p_single).all()
    assert table.difference[0] == pytest.approx(np.mean([b.score - a.score for a, b in zip(base, tuned, strict=True)]), abs=1e-5)


def test_paired_bounds_hold_the_truth():
    whole, part = paired_table(asked, base + tuned).iloc[0], paired_table(asked, made.opened(base + tuned, 5, 110)).iloc[0]
    assert part.open == 2 and part.worst <= whole.difference <= part.best and np.isnan(part.p_value)


def test_accounting_adds_up():
    said = made.answers('base', asked)
    said[0], said[1] = replace(said[0], disposition='abstained'), replace(said[1], status='truncated')
    row = accounting_table(asked, made.opened(base, 7)[:-2], said).iloc[0]
    assert row[['planned', 'scored', 'judge_error', 'missing', 'abstained', 'truncated']].tolist() == [101, 98, 1, 2, 1, 1]


def test_markdown_marks_small_cells_and_open_ones():
    page = tables_markdown(tables(asked, made.opened(base + tuned, 5)), 'the made population')
    assert '3*' in page and '(open)' in page and 'the made population' in page and 'nan' not in page
    ours, published = page.split('## Published figures')
    assert 'Llama 3 8B zero-shot' in published and 'Llama 3 8B zero-shot' not in ours


def test_figures_are_small_and_the_same_each_time():
    found = tables(asked, made.opened(base + tuned, 5))
    for draw, name in ((figure_subdomains, 'subdomains'), (figure_distribution, 'distribution')):
        one = figure_png(draw(found[name]))
        assert one == figure_png(draw(found[name])) and len(one) < 100_000 and b'Software' not in one
    assert all(p.alt for p in pictures(found))


def test_figures_hold_the_numbers_of_the_table():
    table = subdomain_table(asked, base + tuned)
    ax = figure_subdomains(table).axes[0]
    marks = sorted(round(float(line.get_xdata()[0]), 6) for line in ax.lines if len(line.get_xdata()) == 1)
    assert marks == sorted(table['mean'])
    assert [t.get_text() for t in ax.get_yticklabels()] == list(SUBDOMAINS)
    bars = figure_distribution(distribution_table(asked, base)).axes[0].patches
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
