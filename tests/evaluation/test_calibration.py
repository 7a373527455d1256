"""From part scores to verdicts: by hand, by simulation, and what is said where nothing can be promised."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from endline.detectors.scoring import with_scores
from endline.errors import EndlineError
from endline.evaluation.calibration import Calibration, calibrate
from endline.evaluation.rankings import rankings
from endline.evaluation.thresholds import conformal_threshold, gamma_threshold, promised_bound


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


def folded(scores, folds) -> pd.DataFrame:
    return whole(scores).assign(fold=folds)


def by_folds(scores) -> pd.DataFrame:
    """Tested items from their scores (items, folds)."""
    return with_scores(whole(np.zeros(len(scores))), np.asarray(scores, float))


def test_one_fold_is_split_conformal():
    rng = np.random.default_rng(0)
    held_out, tested = rng.normal(size=40), rng.normal(size=300)
    verdicts = calibrate(whole(held_out), rate=0.1, join="mean").verdicts(whole(tested))
    np.testing.assert_array_equal(verdicts["flagged"], tested > conformal_threshold(held_out, 0.1))
    np.testing.assert_allclose(verdicts["score"], (tested - held_out.mean()) / held_out.std())


def test_a_new_item_is_compared_with_each_normal_by_the_fold_that_has_seen_neither():
    """Fold 1 gives scores ten higher: held-out normals of it too, so that each is compared like with like."""
    calibration = calibrate(folded([1.0, 2.0, 11.0, 12.0], [0, 0, 1, 1]), rate=0.4, join="mean")
    verdicts = calibration.verdicts(by_folds([[0.0, 10.0], [1.5, 11.5], [3.0, 11.5], [3.0, 13.0]]))
    np.testing.assert_allclose(verdicts["p_value"], np.array([5, 3, 2, 1]) / 5)
    assert verdicts["flagged"].tolist() == [False, False, True, True]


def test_a_fold_is_standardised_by_the_others():
    """What an item is compared with has no part in its scale."""
    scores, folds = [0.0, 2.0, 100.0, 104.0], [0, 0, 1, 1]
    calibration = calibrate(folded(scores, folds), rate=0.4, join="mean")
    assert calibration.held_out.tolist() == [(0 - 102) / 2, (2 - 102) / 2, (100 - 1) / 1, (104 - 1) / 1]
    verdict = calibration.verdicts(by_folds([[1.0, 102.0]]))
    assert verdict["score"].tolist() == [((1 - 102) / 2 + (102 - 1) / 1) / 2]


def test_a_held_out_normal_of_two_parts_is_standardised_without_itself():
    held_out = parts({f"n{i}": {"fold": float(i), "unfold": 100.0 * i + 7} for i in range(21)})
    calibration = calibrate(held_out, rate=0.1, join="max")
    numbers = np.arange(21.0)
    others = [np.delete(numbers, i) for i in range(21)]
    expected = [(i - rest.mean()) / rest.std() for i, rest in enumerate(others)]
    np.testing.assert_allclose(sorted(calibration.held_out), sorted(expected))
    flagged = calibration.verdicts(parts({"a": {"fold": 30.0, "unfold": 0.0}, "b": {"fold": 18.0, "unfold": 1807.0}}))
    assert flagged["flagged"].tolist() == [True, False]


@pytest.mark.parametrize(("join", "expected"), [("max", 4.0), ("mean", 1.0)])
def test_joins(join, expected):
    held_out = parts({"a": {"fold": -1.0, "unfold": -2.0}, "b": {"fold": 1.0, "unfold": 2.0}})
    calibration = calibrate(pd.concat([held_out] * 2).assign(fold=[0] * 4 + [1] * 4).assign(
        sample_id=["a#fold", "a#unfold", "b#fold", "b#unfold", "c#fold", "c#unfold", "d#fold", "d#unfold"],
        path=["a", "a", "b", "b", "c", "c", "d", "d"],
    ), rate=0.5, join=join)  # fmt: skip
    tested = parts({"x.wav": {"fold": -2.0, "unfold": 8.0}}, label=1, kind="7")
    verdict = calibration.verdicts(with_scores(tested, np.array([[-2.0, -2.0], [8.0, 8.0]])))
    assert verdict["score"].tolist() == [expected]


def test_the_folds_decide_whatever_the_part_lacks():
    held_out = parts({f"n{i}": {"fold": float(i), "unfold": float(i)} for i in range(10)})
    calibration = calibrate(held_out, rate=0.2, join="mean")
    verdict = calibration.verdicts(parts({"a.wav": {"fold": 50.0}}))
    assert verdict["flagged"].tolist() == [True]


def test_a_verdict_an_item_with_what_its_parts_share():
    held_out = parts({f"n{i}": {"fold": float(i), "unfold": float(i)} for i in range(10)})
    calibration = calibrate(held_out, rate=0.2, join="mean")
    tested = parts(
        {"b.wav": {"fold": 50.0, "unfold": 50.0}, "a.wav": {"fold": 0.0, "unfold": 0.1}},
        group="g", split="test", label=None, kind=None, domain=None, simulated=True,
    )  # fmt: skip
    verdicts = calibration.verdicts(tested)
    assert verdicts["sample_id"].tolist() == ["b.wav", "a.wav"]
    assert verdicts["flagged"].tolist() == [True, False]
    assert verdicts["p_value"].tolist() == pytest.approx([1 / 11, 10 / 11])
    assert set(verdicts) >= {"path", "group", "split", "label", "kind", "domain", "simulated"}
    assert not {"part", "score_0"} & set(verdicts)
    assert verdicts["label"].isna().all()
    assert verdicts["path"].tolist() == ["b.wav", "a.wav"]


def test_where_the_rate_cannot_be_promised_the_smallest_that_can_is_kept():
    """A score far beyond all normals is flagged, however few they are."""
    calibration = calibrate(whole(range(15)), rate=0.05, join="max")
    assert calibration.rate == 1 / 16
    assert calibration.rate_reason == (
        "15 calibrating parts can promise no false-alarm rate below 6.25 %: at least 19 are needed for 5 %"
    )
    verdicts = calibration.verdicts(whole([173_937.0, 13.5]))
    assert verdicts["flagged"].tolist() == [True, False]
    assert verdicts["p_value"].tolist() == pytest.approx([1 / 16, 2 / 16])
    assert math.isfinite(calibration.threshold)


def test_parts_count_and_not_their_pictures():
    held_out = whole(range(40)).assign(unit=[f"tile{number // 4}" for number in range(40)])
    calibration = calibrate(held_out, rate=0.05, join="max")
    assert (calibration.n_units, calibration.rate) == (10, 1 / 11)
    # The largest picture alone is a quarter of a part: above the other three p = (1 + 1/4) / 11, which is not flagged.
    assert calibration.verdicts(whole([38.5, 39.5]))["p_value"].tolist() == pytest.approx([1.25 / 11, 1 / 11])
    assert calibration.verdicts(whole([38.5, 39.5]))["flagged"].tolist() == [False, True]


def test_pictures_of_a_part_keep_the_promise_for_a_picture_of_a_new_part():
    """By picture the rate would be broken: four nearly equal pictures are not four normals."""
    rng = np.random.default_rng(1)
    units, pictures, trials, alarms, by_picture = 10, 4, 300, 0.0, 0.0
    for _ in range(trials):
        parts_, new = rng.normal(size=units), rng.normal(size=30)
        shown = (parts_[:, None] + 0.05 * rng.normal(size=(units, pictures))).ravel()
        held_out = whole(shown).assign(unit=np.repeat(np.arange(units), pictures).astype(str))
        calibration = calibrate(held_out, rate=0.05, join="mean")
        alarms += calibration.verdicts(whole(new))["flagged"].mean() / trials
        by_picture += (new > conformal_threshold(shown, 0.05)).mean() / trials
    error = 3 * 0.08 / math.sqrt(trials)  # the rate of one threshold is Beta(1, 10) distributed, its deviation 0.08
    assert calibration.rate == 1 / 11
    assert alarms < 1 / 11 + error
    assert by_picture > 0.05 + error


@pytest.mark.parametrize(("n", "rate"), [(35, 0.05), (35, 0.2), (59, 0.1)])
def test_cross_conformal_false_alarms_are_near_what_can_be_promised(n, rate):
    """A Gaussian on four of five folds: held-out normals and new ones are scored by detectors of equal learning."""
    rng = np.random.default_rng(2)
    trials, fresh, alarms = 150, 20, 0
    for _ in range(trials):
        x, new = rng.normal(size=(n, 6)), rng.normal(size=(fresh, 6))
        folds = np.arange(n) % 5
        own, other = np.zeros(n), np.zeros((fresh, 5))
        for fold in range(5):
            learned = x[folds != fold]
            precision = np.linalg.inv(np.cov(learned.T) + 0.1 * np.eye(6))
            for where, values, rows in ((own, x, folds == fold), (other[:, fold], new, np.ones(fresh, bool))):
                away = values[rows] - learned.mean(0)
                where[rows] = np.einsum("ij,jk,ik->i", away, precision, away)
        held_out = folded(own, folds)
        alarms += int(calibrate(held_out, rate=rate, join="mean").verdicts(by_folds(other))["flagged"].sum())
    observed, promised = alarms / (trials * fresh), math.floor((n + 1) * rate + 1e-9) / (n + 1)
    spread = 3 * math.sqrt(rate * (1 - rate) / trials / 4)
    assert observed <= rate + spread
    assert observed >= 0.8 * promised - spread


def test_items_without_parts_are_judged_too():
    calibration = calibrate(whole(range(20)), rate=0.1, join="max")
    assert calibration.verdicts(whole([100.0, 3.0]))["flagged"].tolist() == [True, False]


def test_no_item_gives_no_verdict():
    assert calibrate(whole(range(20)), rate=0.1, join="max").verdicts(whole([1.0]).iloc[:0]).empty


def test_equal_held_out_scores_are_left_as_they_are():
    calibration = calibrate(whole([5.0] * 20), rate=0.1, join="max")
    verdicts = calibration.verdicts(whole([5.0, 5.1]))
    assert verdicts["flagged"].tolist() == [False, True]
    assert np.isfinite(verdicts["score"]).all()


def test_gamma_rule_is_chosen_by_name_and_promises_nothing():
    held_out = whole(np.random.default_rng(6).gamma(2.0, size=50))
    conformal, gamma = (calibrate(held_out, rate=0.1, join="max", rule=rule) for rule in ("conformal", "gamma"))
    assert gamma.threshold == gamma_threshold(gamma.held_out, 0.1)
    assert gamma.threshold != conformal.threshold
    assert gamma.bound is None
    tested = gamma.verdicts(whole([0.0, 50.0]))
    assert tested["flagged"].tolist() == (tested["score"] > gamma.threshold).tolist() == [False, True]


@pytest.mark.parametrize("rule", ["conformal", "interpolated"])
def test_many_items_are_judged_block_by_block_alike(rule, monkeypatch):
    rng = np.random.default_rng(7)
    calibration = calibrate(folded(rng.normal(size=30), np.arange(30) % 5), rate=0.1, join="mean", rule=rule)
    tested = by_folds(rng.normal(size=(50, 5)))
    at_once = calibration.verdicts(tested)
    monkeypatch.setattr("endline.evaluation.calibration.BLOCK", 100)
    pd.testing.assert_frame_equal(calibration.verdicts(tested), at_once)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"join": "sum"}, "There is no join 'sum' of the parts: choose one of max, mean"),
        ({"rule": "beta"}, "There is no threshold rule 'beta': choose one of conformal, interpolated, gamma"),
        ({"domains": "all"}, "There is no verdict.domains 'all': choose one of together, each"),
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
    held_out = parts({f"n{i}": {"fold": float(i), **({"unfold": float(i)} if i else {})} for i in range(count)})
    calibration = calibrate(held_out, rate=0.05, join="max")
    saved = json.loads(json.dumps(calibration.as_json(), allow_nan=False))
    assert Calibration.from_json(saved).as_json() == calibration.as_json()
    assert saved["threshold"] == calibration.threshold
    assert saved["rate"] == (1 / 6 if count == 5 else 0.05)
    assert (saved["rate_reason"] is None) == (count == 40)


def by_domain(scores, names, **options):
    return calibrate(whole(scores).assign(domain=names), join="mean", **{"rate": 0.25, "domains": "each", **options})


def test_an_item_is_ranked_among_the_normals_of_each_domain_and_the_largest_p_value_counts():
    calibration = by_domain([1.0, 2.0, 3.0, 5.0, 6.0, 7.0], ["source"] * 3 + ["target"] * 3)
    verdicts = calibration.verdicts(whole([0.0, 4.0, 6.5, 8.0]).assign(domain=None))
    assert verdicts["p_value"].tolist() == [1.0, 1.0, 0.5, 0.25]  # among the normals of source: 1, 1/4, 1/4, 1/4
    assert verdicts["flagged"].tolist() == [False, False, False, True]
    assert verdicts["score"].gt(calibration.threshold).tolist() == verdicts["flagged"].tolist()
    assert calibration.units_by_domain == {"source": 3, "target": 3}
    together = by_domain([1.0, 2.0, 3.0, 5.0, 6.0, 7.0], None, domains="together")
    assert together.verdicts(whole([6.5]))["p_value"].tolist() == [2 / 7]
    assert together.units_by_domain == {}


def test_the_rate_holds_in_each_domain_under_shift_where_together_breaks_it():
    """Normals of the target domain score one and a half standard deviations higher, as after a change of the load."""
    rng = np.random.default_rng(8)
    rate, trials, fresh, counts, shift = 0.1, 400, 20, {"source": 59, "target": 19}, {"source": 0.0, "target": 1.5}
    of, units = [name for name, count in counts.items() for _ in range(count)], range(sum(counts.values()))
    ways = {"each": rankings(units, [0] * len(of), of), "together": rankings(units, [0] * len(of))}
    rates = {(way, name): np.zeros(trials) for way in ways for name in counts}
    for trial in range(trials):
        held_out = rng.normal(size=len(of)) + [shift[name] for name in of]
        for name in counts:
            excess = np.subtract.outer(rng.normal(size=fresh) + shift[name], held_out)
            for way, among in ways.items():
                p_value = np.max([own.p_values(excess, interpolate=False) for own in among], axis=0)
                rates[way, name][trial] = (p_value <= rate + 1e-9).mean()
    mean = {key: found.mean() for key, found in rates.items()}
    error = {key: 3 * found.std() / math.sqrt(trials) for key, found in rates.items()}
    assert abs(mean["each", "target"] - rate) < error["each", "target"]  # 20 x 0.1 is whole: the rate is met exactly
    assert mean["each", "source"] < rate + error["each", "source"]
    assert mean["together", "target"] - error["together", "target"] > 2 * rate


def test_the_domain_with_the_fewest_parts_limits_the_promise_and_is_named():
    domains = ["source"] * 90 + ["target"] * 10
    calibration = by_domain(range(100), domains, rate=0.05)
    assert calibration.rate == 1 / 11
    assert calibration.rate_reason == (
        "10 calibrating parts of target can promise no false-alarm rate below 9.09 %: at least 19 are needed for 5 %"
    )
    assert calibration.bound == 1 / 11
    assert by_domain(range(100), domains, rate=0.05, domains="together").rate == 0.05


def test_the_bound_of_a_cross_fitted_domain_is_that_of_its_own_parts_and_folds():
    held_out = folded(range(40), np.arange(40) % 10).assign(domain=["source"] * 30 + ["target"] * 10)
    calibration = calibrate(held_out, rate=0.1, join="mean", domains="each")
    bounds = [promised_bound(0.1, 30, 10), promised_bound(0.1, 10, 10)]
    assert calibration.bound == max(bounds)


def test_recordings_of_a_part_count_as_one_in_each_domain():
    held_out = whole(range(8)).assign(domain=["source"] * 4 + ["target"] * 4, unit=list("aabbccdd"))
    calibration = calibrate(held_out, rate=0.4, join="mean", domains="each")
    assert calibration.units_by_domain == {"source": 2, "target": 2}
    assert calibration.verdicts(whole([6.5]))["p_value"].tolist() == [1.5 / 3]


def test_the_gamma_rule_takes_the_threshold_of_the_highest_domain():
    rng = np.random.default_rng(9)
    scores, domains = np.r_[rng.gamma(2.0, size=50), rng.gamma(9.0, size=50)], ["source"] * 50 + ["target"] * 50
    calibration = by_domain(scores, domains, rule="gamma", rate=0.1)
    target = np.asarray(calibration.domains) == "target"
    assert calibration.threshold == gamma_threshold(calibration.held_out[target], 0.1)
    assert calibration.bound is None


def test_domains_are_saved_and_files_from_before_them_are_read():
    calibration = by_domain(range(6), ["source"] * 3 + ["target"] * 3)
    saved = json.loads(json.dumps(calibration.as_json(), allow_nan=False))
    assert Calibration.from_json(saved) == calibration
    old = {key: value for key, value in saved.items() if key != "domains"}
    assert Calibration.from_json(old) == by_domain(range(6), None, domains="together")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"domain": ["source", "source", None, "target"]}, r"1 of 4 held-out normals have no domain \(item2 first\)"),
        ({}, r"4 of 4 held-out normals have no domain .* name it, or write domains: together"),
    ],
)
def test_a_normal_without_a_domain_is_a_sentence_where_each_is_judged(columns, sentence):
    with pytest.raises(EndlineError, match=sentence):
        calibrate(whole(range(4)).assign(**columns), rate=0.25, join="mean", domains="each")
