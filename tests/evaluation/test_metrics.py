"""Figures of merit against hand calculation and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from endline.evaluation.metrics import (
    anomalous_by_kind,
    auroc,
    auroc_intervals,
    is_anomalous,
    is_normal,
    partial_auroc,
    roc_curves,
    score_groups,
)


def scores(values, labels, kinds=None) -> pd.DataFrame:
    kinds = ["normal" if label == 0 else None if label is None else "a" for label in labels] if kinds is None else kinds
    table = pd.DataFrame({"score": np.asarray(values, float), "label": labels, "kind": kinds})
    return table.astype({"label": "Int8", "kind": object})


@pytest.mark.parametrize(
    ("normal", "anomalous", "area"),
    [
        ([1, 2], [3, 4], 1.0),
        ([3, 4], [1, 2], 0.0),
        ([1, 1], [1, 1], 0.5),
        ([1, 3], [2], 0.5),
        ([1, 2, 3, 4], [2, 5], (1.5 + 4) / 8),
        ([-np.inf, 0], [np.inf, 0], (2 + 1.5) / 4),
    ],
)
def test_auroc_by_hand(normal, anomalous, area):
    measured = auroc(np.array(normal, float), np.array(anomalous, float))
    assert measured.auroc == pytest.approx(area)
    assert measured.n == len(anomalous)


@pytest.mark.parametrize("decimals", [1, 9])
def test_auroc_is_that_of_sklearn(decimals):
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(0, 1, 83).round(decimals), rng.normal(0.7, 2, 41).round(decimals)
    expected = roc_auc_score(np.r_[np.zeros(83), np.ones(41)], np.r_[normal, anomalous])
    assert auroc(normal, anomalous).auroc == pytest.approx(expected, abs=1e-12)


def test_interval_is_deterministic_and_follows_the_seed():
    rng = np.random.default_rng(1)
    normal, anomalous = rng.normal(0, 1, 30), rng.normal(1, 1, 30)
    first = auroc(normal, anomalous)
    assert auroc(normal, anomalous) == first
    assert auroc(normal, anomalous, seed=1).low != first.low
    assert auroc(normal, anomalous, seed=1).auroc == first.auroc


def test_interval_encloses_the_figure_and_narrows_with_more_items():
    rng = np.random.default_rng(2)
    widths = []
    for count in (20, 80, 320):
        area = auroc(rng.normal(0, 1, count), rng.normal(1, 1, count))
        assert 0 <= area.low < area.auroc < area.high <= 1
        widths.append(area.high - area.low)
    assert widths[0] > 1.5 * widths[1] > 2 * widths[2]


def test_interval_holds_the_truth_about_95_times_in_a_hundred():
    rng = np.random.default_rng(3)
    truth = 0.7602  # of two unit normals one apart: Phi(1 / sqrt(2))
    inside = 0
    for _ in range(200):
        area = auroc(rng.normal(0, 1, 60), rng.normal(1, 1, 60), resamples=400)
        inside += area.low <= truth <= area.high
    assert 0.89 <= inside / 200 <= 0.99


def test_interval_is_that_of_a_plain_bootstrap():
    rng = np.random.default_rng(4)
    normal, anomalous = rng.normal(0, 1, 25), rng.normal(1, 1, 15)
    drawn = [(rng.choice(anomalous, 15)[:, None] > rng.choice(normal, 25)).mean() for _ in range(3000)]
    area = auroc(normal, anomalous)
    assert (area.low, area.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)


@pytest.mark.parametrize(("normal", "anomalous"), [([], [1.0]), ([1.0], []), ([], [])])
def test_an_absent_class_gives_none(normal, anomalous):
    assert auroc(np.array(normal), np.array(anomalous)) is None
    assert partial_auroc(np.array(normal), np.array(anomalous)) is None


def test_partial_auroc_by_hand():
    # Of ten normals one lies above both anomalous: up to a false-alarm rate of 0.1 the recall is 0.
    normal = np.r_[np.arange(9.0), 100.0]
    assert partial_auroc(normal, np.array([50.0, 51.0])) == pytest.approx(0.5 * (1 + (0 - 0.005) / (0.1 - 0.005)))
    assert partial_auroc(normal, np.array([150.0, 151.0])) == pytest.approx(1.0)
    assert partial_auroc(normal, np.array([150.0, -1.0]), 0.5) == pytest.approx(
        0.5 * (1 + (0.25 - 0.125) / (0.5 - 0.125))
    )


def test_chance_has_a_standardised_partial_auroc_of_a_half():
    rng = np.random.default_rng(5)
    assert partial_auroc(rng.normal(size=4000), rng.normal(size=4000)) == pytest.approx(0.5, abs=0.02)


def test_unknown_labels_are_neither_normal_nor_anomalous():
    table = scores([1, 2, 3], [0, 1, None])
    assert is_normal(table).tolist() == [True, False, False]
    assert is_anomalous(table).tolist() == [False, True, False]
    assert is_normal(table).dtype == bool


def test_curves_of_all_kinds_and_of_each():
    table = scores([1, 2, 3, 4, 0, 9], [0, 0, 1, 1, 1, None], ["normal", "normal", "7", "2", "2", None])
    curves = roc_curves(table)
    assert curves["kind"].unique().tolist() == ["all", "2", "7"]
    areas = curves.groupby("kind")["auroc"].first()
    assert areas["7"] == 1.0
    assert areas["2"] == 0.5
    assert areas["all"] == pytest.approx(4 / 6)
    for _, curve in curves.groupby("kind"):
        assert tuple(curve.iloc[0][["false_alarm_rate", "recall"]]) == (0.0, 0.0)
        assert tuple(curve.iloc[-1][["false_alarm_rate", "recall"]]) == (1.0, 1.0)
        area = np.trapezoid(curve["recall"], curve["false_alarm_rate"])
        assert area == pytest.approx(curve["auroc"].iloc[0])


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], [None, None], [0, None]])
def test_curves_are_empty_without_both_labels(labels):
    curves = roc_curves(scores([1, 2], labels))
    assert curves.empty
    assert curves.columns.tolist() == ["kind", "false_alarm_rate", "recall", "auroc"]


def test_scores_by_kind():
    table = scores([1, 2, 3], [1, 1, 0], ["b", "a", "normal"])
    groups = anomalous_by_kind(table)
    assert {kind: group.tolist() for kind, group in groups.items()} == {"all": [1, 2], "a": [2], "b": [1]}


def test_intervals_of_all_kinds_domains_and_groups():
    table = scores([1, 3, 2, 4, 9], [0, 0, 1, 1, None], ["normal", "normal", "a", "b", None])
    table = table.assign(domain=["source", "target", "source", None, None], group=["g", "h", "g", "h", "h"])
    intervals = auroc_intervals(table)
    assert intervals[["by", "name"]].apply(tuple, axis=1).tolist() == [
        ("all", "all"), ("kind", "a"), ("kind", "b"), ("domain", "source"), ("domain", "target"), ("group", "g"),
        ("group", "h"),
    ]  # fmt: skip
    assert intervals["auroc"].tolist() == [0.75, 0.5, 1.0, 1.0, 0.5, 1.0, 1.0]
    assert intervals["n"].tolist() == [2, 1, 1, 2, 2, 1, 1]
    assert auroc_intervals(table[:2]).empty


def test_scores_in_groups_are_finite_and_in_order():
    table = scores(
        [0, 1, 2, np.inf, 4, 5, 6], [0, None, 1, 1, 1, 1, 0], ["normal", None, "b", "b", "a", None, "normal"]
    )
    table = table.assign(flagged=[False, True, False, True, True, True, False])
    groups = score_groups(table, pd.DataFrame({"score": [9.0, np.nan]}))
    assert groups["flagged"].tolist() == [pd.NA, False, False, True, True, False, True]
    assert groups.groupby("group", sort=False)["score"].agg(list).to_dict() == {
        "calibrating normals": [9.0], "normal": [0.0, 6.0], "a": [4.0], "anomalous": [5.0], "b": [2.0],
        "label unknown": [1.0],
    }  # fmt: skip
