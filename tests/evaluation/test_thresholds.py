"""Conformal p-values and thresholds: exact small cases, and their promise by simulation."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from endline.errors import EndlineError
from endline.evaluation.thresholds import (
    Calibration,
    calibrate,
    conformal_p_values,
    conformal_threshold,
    false_alarm_p_value,
    gamma_threshold,
    normals_needed,
)


def parts(scores: dict[str, dict[str, float]], **columns) -> pd.DataFrame:
    """Part scores {item: {part: score}}."""
    rows = [
        {"sample_id": f"{item}#{part}" if part else item, "part": part or None, "path": item, "score": score, **columns}
        for item, of_parts in scores.items()
        for part, score in of_parts.items()
    ]
    return pd.DataFrame(rows).astype({"part": object})


def whole(scores) -> pd.DataFrame:
    return parts({f"item{number}": {"": float(score)} for number, score in enumerate(scores)})


def test_p_values_by_hand():
    held_out = np.array([3.0, 1.0, 2.0, 2.0])
    scores = np.array([0.0, 1.0, 2.0, 2.5, 3.0, 4.0])
    np.testing.assert_allclose(conformal_p_values(scores, held_out), np.array([5, 5, 4, 2, 2, 1]) / 5)


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
    np.testing.assert_array_equal(flagged, conformal_p_values(scores, held_out) <= rate + 1e-12)


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


def test_parts_are_standardised_before_they_are_joined():
    held_out = parts({f"n{i}": {"fold": i, "unfold": 100.0 * i + 7} for i in range(21)})
    calibration = calibrate(held_out, rate=0.1, join="max")
    mean, sd = np.mean(range(21)), np.std(range(21))
    assert calibration.part_mean == {"fold": mean, "unfold": pytest.approx(100 * mean + 7)}
    assert calibration.part_sd == {"fold": pytest.approx(sd), "unfold": pytest.approx(100 * sd)}
    np.testing.assert_allclose(calibration.held_out, (np.arange(21) - mean) / sd)
    assert calibration.threshold == pytest.approx((19 - mean) / sd)  # the ceil(0.9 * 22) = 20th smallest
    assert calibration.smallest_rate == pytest.approx(1 / 22)


@pytest.mark.parametrize(("join", "expected"), [("max", 4.0), ("mean", 1.0)])
def test_joins(join, expected):
    calibration = Calibration({"fold": 0.0, "unfold": 0.0}, {"fold": 1.0, "unfold": 2.0}, (0.0,), 3.0, 0.5, join, 0.5)
    verdict = calibration.verdicts(parts({"a.wav": {"fold": -2.0, "unfold": 8.0}}, label=1, kind="7"))
    assert verdict["score"].tolist() == [expected]
    assert verdict["flagged"].tolist() == [expected > 3.0]


def test_a_verdict_an_item_with_what_its_parts_share():
    held_out = parts({f"n{i}": {"fold": float(i), "unfold": float(i)} for i in range(10)})
    calibration = calibrate(held_out, rate=0.2, join="mean")
    tested = parts(
        {"b.wav": {"fold": 50.0, "unfold": 50.0}, "a.wav": {"fold": 0.0, "unfold": 1.0}},
        group="g", split="test", label=None, kind=None, domain=None, simulated=True,
    )  # fmt: skip
    verdicts = calibration.verdicts(tested)
    assert verdicts["sample_id"].tolist() == ["b.wav", "a.wav"]
    assert verdicts["flagged"].tolist() == [True, False]
    assert verdicts["p_value"].tolist() == pytest.approx([1 / 11, 10 / 11])
    assert set(verdicts) >= {"path", "group", "split", "label", "kind", "domain", "simulated"}
    assert "part" not in verdicts
    assert verdicts["label"].isna().all()
    assert verdicts["path"].tolist() == ["b.wav", "a.wav"]


def test_infinite_threshold_flags_nothing_but_p_values_stand():
    verdicts = calibrate(whole(range(5)), rate=0.05, join="max").verdicts(whole([1e9]))
    assert verdicts["flagged"].tolist() == [False]
    assert verdicts["p_value"].tolist() == pytest.approx([1 / 6])


def test_items_without_parts_are_judged_too():
    calibration = calibrate(whole(range(20)), rate=0.1, join="max")
    assert calibration.verdicts(whole([100.0, 3.0]))["flagged"].tolist() == [True, False]


def test_equal_held_out_scores_are_left_as_they_are():
    calibration = calibrate(whole([5.0] * 20), rate=0.1, join="max")
    verdicts = calibration.verdicts(whole([5.0, 5.1]))
    assert verdicts["flagged"].tolist() == [False, True]
    assert np.isfinite(verdicts["score"]).all()


def test_gamma_rule_is_chosen_by_name():
    held_out = whole(np.random.default_rng(6).gamma(2.0, size=50))
    conformal, gamma = (calibrate(held_out, rate=0.1, join="max", rule=rule) for rule in ("conformal", "gamma"))
    assert gamma.threshold == gamma_threshold(np.array(gamma.held_out), 0.1)
    assert gamma.threshold != conformal.threshold
    assert gamma.held_out == conformal.held_out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"join": "sum"}, "There is no join 'sum' of the parts: choose one of max, mean"),
        ({"rule": "beta"}, "There is no threshold rule 'beta': choose one of conformal, gamma"),
        ({"rate": 0.0}, "false_alarm_rate=0.0 must lie between 0 and 1: write 0.05 for 5 %"),
        ({"rate": 5}, "false_alarm_rate=5 must lie between 0 and 1"),
        ({"rate": math.nan}, "false_alarm_rate=nan must lie between 0 and 1"),
    ],
)
def test_wrong_options_are_sentences(options, sentence):
    with pytest.raises(EndlineError, match=sentence):
        calibrate(whole(range(5)), **{"rate": 0.1, "join": "max", **options})


def test_no_held_out_item_is_a_sentence():
    with pytest.raises(EndlineError, match=r"No normal item is held out.*record more good parts"):
        calibrate(whole(range(3)).iloc[:0], rate=0.1, join="max")


@pytest.mark.parametrize("count", [5, 40])
def test_a_calibration_is_json_that_any_parser_reads(count):
    calibration = calibrate(whole(range(count)), rate=0.05, join="max")
    saved = json.loads(json.dumps(calibration.as_json(), allow_nan=False))
    assert Calibration.from_json(saved) == calibration
    assert (saved["threshold"] is None) == (count == 5)
    assert (saved["threshold_reason"] is None) == (count == 40)
    if count == 5:
        assert calibration.threshold == math.inf
        assert saved["threshold_reason"] == (
            "5 held-out normals can promise no false-alarm rate below 16.7 %: at least 19 are needed for 5 %"
        )


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.25, 0.3])
def test_the_smallest_number_of_normals_that_can_promise_a_rate(rate):
    needed = normals_needed(rate)
    assert math.isfinite(conformal_threshold(np.arange(needed, dtype=float), rate))
    assert math.isinf(conformal_threshold(np.arange(needed - 1, dtype=float), rate))


def test_too_many_false_alarms_are_improbable():
    assert false_alarm_p_value(6, 100, 0.05, 35) > 0.05
    assert false_alarm_p_value(40, 100, 0.05, 35) < 0.05
    assert false_alarm_p_value(3, 5, 0.05, 4) == pytest.approx(stats.binom.sf(2, 5, 0.05))  # 4 promise no 5 %
