"Estimators against scipy, against the published figures, and against truths that are known because the data were drawn."
import numpy as np
import pytest
from scipy import stats

from immig_research.estimate import (
    alike,
    bounds,
    equal_allocation_mean,
    holm,
    mean_interval,
    minimum_detectable,
    paired_difference,
    post_stratified_mean,
    prediction_powered_mean,
    wilson,
)
from immig_research.records import BadInput


@pytest.mark.parametrize('k, low, high', [(8, 4.1, 14.9), (17, 10.8, 25.3), (25, 17.4, 34.0), (26, 18.2, 35.0)])
def test_wilson_of_the_published_shares(k, low, high):
    e = wilson(k, 101)
    assert (round(100 * e.low, 1), round(100 * e.high, 1)) == (low, high)


@pytest.mark.parametrize('k, n', [(0, 1), (1, 1), (0, 8), (3, 8), (993, 993)])
def test_wilson_is_the_textbook_formula(k, n):
    z, p = stats.norm.ppf(0.975), k / n
    middle, half = (p + z*z/(2*n)) / (1 + z*z/n), z * np.sqrt(p*(1 - p)/n + z*z/(4*n*n)) / (1 + z*z/n)
    e = wilson(k, n)
    assert (e.low, e.high) == pytest.approx((max(0, middle - half), min(1, middle + half)), abs=1e-9)


def test_bootstrap_agrees_with_scipy():
    x = np.random.default_rng(3).choice(4, 101, p=[.5, .25, .15, .1])
    theirs = stats.bootstrap((x,), np.mean, n_resamples=5000, method='percentile', rng=np.random.default_rng(1)).confidence_interval
    ours = mean_interval(x, n_boot=5000)
    assert ours.mean == x.mean()
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_interval_is_as_wide_as_students_t():
    x = np.random.default_rng(4).choice(4, 60, p=[.3, .3, .2, .2])
    t = stats.t.interval(0.95, 59, x.mean(), stats.sem(x))
    ours = mean_interval(x, n_boot=8000)
    assert ours.high - ours.low == pytest.approx(t[1] - t[0], rel=0.06)


def test_permutation_agrees_with_scipy():
    a, b = [3, 2, 1, 0, 2, 3, 1, 2], [1, 2, 0, 0, 1, 3, 2, 0]
    theirs = stats.permutation_test((a, b), lambda x, y: np.mean(x - y), vectorized=False, permutation_type='samples', n_resamples=np.inf)
    assert paired_difference(a, b).p_value == pytest.approx(theirs.pvalue, abs=1e-9)


def test_permutation_moves_whole_documents():
    a, b = [1] * 12, [0] * 12
    assert paired_difference(a, b, clusters=[0] * 6 + [1] * 6).p_value == 0.5 # two documents: four ways, two as far
    assert paired_difference(a, b).p_value == 2 / 2**12


def test_permutation_keeps_its_size():
    rng, false = np.random.default_rng(5), 0
    for _ in range(120):
        hard, group = rng.choice(3, 40).repeat(2), np.arange(40).repeat(2)
        a, b = (np.minimum(hard + rng.choice(2, 80), 3) for _ in range(2))
        false += paired_difference(a, b, clusters=group).p_value < 0.05
    assert false <= 13 # 5 % of 120 is 6; more than 13 has a chance of under 0.01


def test_post_stratified_interval_covers_the_population():
    rng, hits = np.random.default_rng(6), 0
    shares, sizes = np.array([.4, .3, .2, .1]), np.array([8, 8, 8, 3])
    tables = np.array([[.7, .2, .1, 0], [.2, .3, .3, .2], [.9, .1, 0, 0], [.1, .2, .3, .4]])
    truth, strata = float((tables @ np.arange(4) * shares).sum()), np.arange(4).repeat(sizes)
    for _ in range(200):
        e = post_stratified_mean([rng.choice(4, p=tables[s]) for s in strata], strata, weights=dict(enumerate(shares)))
        hits += e.low <= truth <= e.high
    assert hits >= 180


def test_intervals_stay_on_the_scale_and_hold_the_mean():
    rng = np.random.default_rng(8)
    for n in (1, 2, 3, 8, 20):
        for _ in range(10):
            x, g = rng.choice(4, n), rng.choice(max(1, n // 2), n)
            for e in (mean_interval(x, g), equal_allocation_mean(x, x % 2, clusters=g), post_stratified_mean(x, x % 2, weights={0: 2, 1: 1}, clusters=g)):
                assert 0 <= e.low <= e.mean <= e.high <= 3


def test_constant_scores_are_not_certain():
    assert mean_interval([0] * 8).high > 0.5 and mean_interval([3] * 8).low < 2.5
    assert mean_interval([0] * 400).high < 0.05
    one_document = mean_interval([1] * 8, ['d'] * 8)
    assert (one_document.low, one_document.high) != (1, 1)


def test_documents_make_it_wider_never_narrower():
    x = [3, 3, 3, 0, 0, 0, 2, 2, 2, 0, 0, 0]
    alone, together = mean_interval(x), mean_interval(x, np.arange(4).repeat(3))
    assert together.low <= alone.low and together.high >= alone.high
    even = mean_interval([0, 1, 2, 3, 0, 1, 2, 3], [0, 0, 0, 0, 1, 1, 1, 1]) # both documents have the same mean by chance
    assert even.high - even.low >= mean_interval([0, 1, 2, 3, 0, 1, 2, 3]).high - mean_interval([0, 1, 2, 3, 0, 1, 2, 3]).low


def test_weights_only_matter_up_to_a_factor():
    x, s = [0, 1, 3, 2], ['a', 'a', 'b', 'b']
    assert post_stratified_mean(x, s, weights={'a': 3, 'b': 1}) == post_stratified_mean(x, s, weights={'a': 6, 'b': 2, 'unseen': 9})
    with pytest.raises(BadInput, match='no population size for b'): post_stratified_mean(x, s, weights={'a': 3, 'b': 0})


def test_opening_a_cell_never_helps():
    rng = np.random.default_rng(9)
    for _ in range(50):
        x = list(rng.choice(4, 12))
        whole = bounds(x, 0)
        for k in range(12):
            part = bounds(x[:k] + x[k + 1:], 1)
            assert part.worst <= whole.worst <= whole.best <= part.best


def test_holm_by_hand_and_in_any_order():
    p = [0.04, 0.001, 0.02, 0.5]
    assert holm(p) == pytest.approx([0.08, 0.004, 0.06, 0.5])
    assert sorted(holm(p)) == pytest.approx(sorted(holm(p[::-1])))


def test_planned_power_is_reached():
    n, rng = 80, np.random.default_rng(10)
    effect = minimum_detectable(n, 0.9)
    found = sum(stats.ttest_1samp(rng.normal(effect, 0.9, n), 0).pvalue < 0.05 for _ in range(600)) / 600
    assert found == pytest.approx(0.8, abs=0.05)


def test_same_seed_same_result_other_seed_other_draws():
    x = list(range(4)) * 6
    assert mean_interval(x, seed=1) == mean_interval(x, seed=1)
    assert mean_interval(np.arange(40) % 4, np.arange(40) // 3, seed=1) != mean_interval(np.arange(40) % 4, np.arange(40) // 3, seed=2)


def test_stratified_difference_covers():
    rng, hits = np.random.default_rng(11), 0
    strata, effect = np.arange(6).repeat(10), np.array([0, .1, .2, .3, .4, .5])
    for _ in range(150):
        a = rng.choice(3, 60)
        b = a + (rng.random(60) < effect[strata])
        found = paired_difference(b, a, strata=strata)
        hits += found.low <= effect.mean() <= found.high
    assert hits >= 135 # 95 % of 150 is 142; fewer than 135 has a chance of under 0.01


def test_holm_keeps_false_alarms_rare():
    rng, alarms = np.random.default_rng(12), 0
    for _ in range(60):
        systems = [rng.choice(4, 40) for _ in range(4)]
        pairs = [(a, b) for a in range(4) for b in range(a)]
        alarms += min(holm([paired_difference(systems[a], systems[b]).p_value for a, b in pairs])) < 0.05
    assert alarms <= 8 # 5 % of 60 is 3; more than 8 has a chance of under 0.01


def ppi_sample(rng, documents=120, each=3, asked=0.25, noise=0.3):
    "True scores that documents share, a cheap judge that is too kind, and which documents the costly judge saw."
    luck = rng.choice(4, documents, p=[.4, .3, .2, .1]).repeat(each)
    true = np.where(rng.random(documents * each) < 0.5, luck, rng.choice(4, documents * each, p=[.4, .3, .2, .1]))
    cheap = np.where(rng.random(len(true)) < noise, rng.choice(4, len(true)), np.minimum(true + (rng.random(len(true)) < .2), 3))
    seen = rng.permutation(documents)[:int(asked * documents)]
    group = np.arange(documents).repeat(each)
    return cheap, [int(t) if g in seen else None for t, g in zip(true, group)], group


@pytest.mark.parametrize('noise', [0.0, 0.3, 1.0])
def test_prediction_powered_interval_covers_whatever_the_cheap_judge_is_worth(noise):
    rng, hits, narrower = np.random.default_rng(13), 0, 0
    for _ in range(200):
        cheap, costly, group = ppi_sample(rng, noise=noise)
        found = prediction_powered_mean(cheap, costly, clusters=group)
        hits += found.low <= 1.0 <= found.high # The mean of p = .4, .3, .2, .1
        rows = [i for i, c in enumerate(costly) if c is not None]
        alone = mean_interval([costly[i] for i in rows], group[rows], n_boot=200)
        narrower += found.high - found.low < alone.high - alone.low
    assert hits >= 182 # Fewer than 182 of 200 at 95 % has a chance of under 0.01
    assert narrower >= (180 if noise < .5 else 60)


def test_prediction_powered_mean_without_weight_is_students_t():
    rng = np.random.default_rng(14)
    y = rng.choice(4, 50)
    low, high = stats.t.interval(0.95, 49, y.mean(), stats.sem(y))
    found = prediction_powered_mean(rng.choice(4, 300), [int(v) for v in y] + [None] * 250, weight=0)
    assert (found.mean, found.low, found.high) == pytest.approx((y.mean(), low, high), rel=0.01)


def test_a_costly_judge_on_all_rows_is_its_own_mean():
    x = [0, 1, 2, 3, 3, 1]
    assert prediction_powered_mean([3] * 6, x) == mean_interval(x)
    constant = prediction_powered_mean([0] * 10, [0] * 5 + [None] * 5)
    assert constant.mean == 0 and constant.high > 0.3


def test_sets_of_systems_that_are_alike():
    rng = np.random.default_rng(15)
    for _ in range(60):
        names = list('abcde')
        differ = [(x, y) for i, x in enumerate(names) for y in names[:i] if rng.random() < .4]
        found = alike(names, differ)
        assert set(names) == {n for s in found for n in s}
        for s in found: assert not any(x in s and y in s for x, y in differ)
        for x in names: # A pair that does not differ stands together somewhere, and no set lies within another
            for y in names: assert (x, y) in differ or (y, x) in differ or any(x in s and y in s for s in found)
        assert not any(set(s) < set(o) for s in found for o in found)
