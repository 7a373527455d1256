"""Conformal p-values and thresholds: exact small cases, and their promise by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from endline.evaluation.thresholds import (
    binomial_interval,
    conformal_p_values,
    conformal_threshold,
    false_alarm_p_value,
    gamma_threshold,
    normals_needed,
    promisable,
    promised_bound,
)


def p_values(scores, held_out, weights=None, **options):
    """p-values of scores by held-out scores of one detector."""
    weights = np.ones(len(held_out)) if weights is None else np.asarray(weights)
    return conformal_p_values(np.subtract.outer(scores, held_out).astype(float), weights, **options)


def test_p_values_by_hand():
    held_out = np.array([3.0, 1.0, 2.0, 2.0])
    scores = np.array([0.0, 1.0, 2.0, 2.5, 3.0, 4.0])
    np.testing.assert_allclose(p_values(scores, held_out), np.array([5, 5, 4, 2, 2, 1]) / 5)


@pytest.mark.parametrize(
    ("count", "rate", "rank"), [(19, 0.05, 19), (39, 0.05, 38), (99, 0.05, 95), (9, 0.1, 9), (9, 0.5, 5), (3, 0.25, 3)]
)
def test_threshold_is_an_order_statistic(count, rate, rank):
    held_out = np.random.default_rng(0).permutation(np.arange(1, count + 1)).astype(float)
    assert conformal_threshold(held_out, rate) == rank


@pytest.mark.parametrize(("count", "rate"), [(18, 0.05), (0, 0.05), (8, 0.1), (1, 0.4)])
def test_too_few_held_out_samples_promise_nothing(count, rate):
    assert conformal_threshold(np.arange(count, dtype=float), rate) == math.inf


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("count", [19, 20, 40, 99])
def test_flagged_and_p_value_say_the_same(count, rate):
    rng = np.random.default_rng(1)
    held_out, scores = rng.normal(size=count), rng.normal(size=500)
    flagged = scores > conformal_threshold(held_out, rate)
    np.testing.assert_array_equal(flagged, p_values(scores, held_out) <= rate + 1e-12)


@pytest.mark.parametrize(("count", "rate"), [(19, 0.05), (30, 0.1), (50, 0.05)])
def test_false_alarms_keep_the_stated_rate(count, rate):
    rng = np.random.default_rng(2)
    trials, fresh = 4000, 5
    alarms = sum(
        int((rng.gamma(2.0, size=fresh) > conformal_threshold(rng.gamma(2.0, size=count), rate)).sum())
        for _ in range(trials)
    )
    # The exact expectation is 1 - rank / (n + 1); trials share a threshold, so their own spread is what counts.
    rank = math.ceil((1 - rate) * (count + 1))
    exact = 1 - rank / (count + 1)
    spread = math.sqrt(stats.beta(rank, count + 1 - rank).var() / trials + rate * (1 - rate) / (trials * fresh))
    assert exact <= rate + 1e-12
    assert abs(alarms / (trials * fresh) - exact) < 4 * spread


def test_ties_never_raise_the_false_alarm_rate():
    rng = np.random.default_rng(3)
    alarms = [
        (rng.integers(0, 4, 5) > conformal_threshold(rng.integers(0, 4, 30).astype(float), 0.1)).mean()
        for _ in range(2000)
    ]
    assert np.mean(alarms) <= 0.1 + 0.01


def test_gamma_threshold_is_the_quantile_of_the_fitted_gamma():
    held_out = stats.gamma(3.0, scale=2.0).rvs(4000, random_state=0)
    assert gamma_threshold(held_out, 0.1) == pytest.approx(stats.gamma(3.0, scale=2.0).ppf(0.9), rel=0.05)


def test_gamma_threshold_takes_negative_scores():
    held_out = np.random.default_rng(4).normal(-50.0, 1.0, 2000)
    threshold = gamma_threshold(held_out, 0.1)
    assert (held_out > threshold).mean() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("value", [-3.0, 0.0, 7.0])
def test_gamma_threshold_of_equal_scores_is_that_score(value):
    assert gamma_threshold(np.full(9, value), 0.1) == value


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.25, 0.3])
def test_the_smallest_number_of_normals_that_can_promise_a_rate(rate):
    needed = normals_needed(rate)
    assert math.isfinite(conformal_threshold(np.arange(needed, dtype=float), rate))
    assert math.isinf(conformal_threshold(np.arange(needed - 1, dtype=float), rate))


def test_too_many_false_alarms_are_improbable():
    assert false_alarm_p_value(6, 100, 0.05, 35) > 0.05
    assert false_alarm_p_value(40, 100, 0.05, 35) < 0.05
    assert false_alarm_p_value(3, 5, 0.05, 4) == pytest.approx(stats.binom.sf(2, 5, 0.05))  # 4 promise no 5 %


def test_recordings_of_one_part_count_as_one():
    held_out = np.array([1.0, 2.0, 3.0, 9.0])
    weights = [1 / 3, 1 / 3, 1 / 3, 1.0]  # the first three show one part
    np.testing.assert_allclose(
        p_values(np.array([0.0, 2.5, 5.0, 9.5]), held_out, weights), np.array([3, 7 / 3, 2, 1]) / 3
    )


@pytest.mark.parametrize("count", [10, 35])
def test_an_interpolated_rank_lowers_a_p_value_by_one_rank_at_most(count):
    rng = np.random.default_rng(5)
    held_out, scores = rng.normal(size=count), rng.normal(size=400)
    whole, between = p_values(scores, held_out), p_values(scores, held_out, interpolate=True)
    assert (between <= whole).all()
    assert (between >= whole - 1 / (count + 1) - 1e-12).all()
    above = scores > held_out.max()
    assert (between[above] == whole[above]).all()  # beyond all held-out ones there is nothing to go by
    order = np.argsort(scores)
    assert (np.diff(between[order]) <= 1e-12).all()  # falls with the score as the whole rank does


def test_an_interpolated_p_value_by_hand():
    held_out = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(
        p_values(np.array([4.0, 3.0, 2.0, 1.5, 0.0]), held_out, interpolate=True), np.array([1, 1.5, 2, 2.5, 4]) / 4
    )


def test_an_interpolated_rank_flags_more_within_its_bound():
    rng = np.random.default_rng(3)
    trials = 8000
    held_out, new = rng.normal(size=(trials, 35)), rng.normal(size=trials)
    excess = new[:, None] - held_out
    strict, loose = (conformal_p_values(excess, np.ones(35), interpolate=way) <= 0.05 for way in (False, True))
    error = 3 * math.sqrt(0.05 * 0.95 / trials)
    assert abs(strict.mean() - 1 / 36) < error
    assert abs(loose.mean() - 0.05) < error  # nearly the stated rate, where the whole rank has 2.8 %
    assert loose.mean() < promised_bound(0.05, 35, 1, interpolated=True)


def test_what_is_proved_of_cross_fitted_thresholds():
    assert promised_bound(0.05, 39, 1) == 0.05
    # theorem 4 of Barber et al. by hand: 2 x 0.05 + min(2 x 0.8 / 8, (1 - 5/35) / 6)
    assert promised_bound(0.05, 35, 5) == pytest.approx(0.1 + min(1.6 / 8, (1 - 5 / 35) / 6))
    assert promised_bound(0.05, 35, 35) == pytest.approx(0.1)  # jackknife+
    assert promised_bound(0.05, 35, 1, interpolated=True) == pytest.approx(0.05 + 1 / 36)


@pytest.mark.parametrize(("parts", "rate"), [(15, 1 / 16), (19, 0.05), (18, 1 / 19), (400, 0.05)])
def test_the_rate_falls_back_to_the_smallest_that_can_be_promised(parts, rate):
    assert promisable(0.05, parts) == rate


@pytest.mark.parametrize(("count", "trials"), [(0, 7), (7, 7), (3, 40)])
def test_the_interval_of_a_rate_is_that_of_scipy(count, trials):
    expected = stats.binomtest(count, trials).proportion_ci(0.95, "exact")
    assert binomial_interval(count, trials) == pytest.approx((expected.low, expected.high))
