"""Who is ahead: against hand calculation, and against fresh samples of the same parts."""

import numpy as np
import pytest

from endline.evaluation.metrics import auroc
from endline.evaluation.paired import LabelledScores, who_is_ahead


def scored(normal, anomalous, normal_units=None, anomalous_units=None) -> LabelledScores:
    normal, anomalous = np.asarray(normal, float), np.asarray(anomalous, float)
    good = [f"good {number}" for number in range(len(normal))] if normal_units is None else normal_units
    bad = [f"bad {number}" for number in range(len(anomalous))] if anomalous_units is None else anomalous_units
    return LabelledScores(normal, anomalous, np.array(good), np.array(bad))


def test_one_run_has_the_interval_of_its_auroc():
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(size=40), rng.normal(1, size=30)
    units = np.array([f"{number // 4:02d}" for number in range(40)]), np.array([f"{n:02d}" for n in range(30)])
    alone = auroc(normal, anomalous, units=units)
    row = who_is_ahead({"one": {"0": scored(normal, anomalous, *units)}}).iloc[0]
    assert row["auroc"] == pytest.approx(alone.auroc)
    assert (row["low"], row["high"]) == pytest.approx((alone.low, alone.high), abs=0.01)  # other draws
    assert (row["behind"], row["behind_low"], row["behind_high"]) == (0, 0, 0)


def test_figures_are_means_over_the_runs_that_all_have():
    first = {"0": scored([0, 1], [2, 3]), "1": scored([0, 2.5], [2, 3]), "2": scored([9, 9], [0, 0])}
    second = {"0": scored([0, 3], [1, 2]), "1": scored([0, 3], [1, 2])}
    table = who_is_ahead({"first": first, "second": second}).set_index("name")
    assert table["auroc"].tolist() == pytest.approx([(1 + 0.75) / 2, 0.5])
    assert table["behind"].tolist() == pytest.approx([0, 0.375])
    assert who_is_ahead({"first": first, "other": {"7": first["0"]}}).empty


def test_a_difference_that_every_part_shows_is_sure_though_the_intervals_overlap():
    rng = np.random.default_rng(1)
    normal, anomalous = rng.normal(size=60), rng.normal(1.0, size=60)
    better = scored(normal, anomalous + 0.15)
    table = who_is_ahead({"better": {"0": better}, "worse": {"0": scored(normal, anomalous)}}).set_index("name")
    assert table.loc["worse", "high"] > table.loc["better", "low"]
    assert table.loc["worse", "behind_low"] > 0


def test_two_methods_of_one_quality_are_told_apart_as_rarely_as_stated():
    sure = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        part = rng.normal(size=30), rng.normal(1, size=30)
        a, b = (scored(*(side + rng.normal(size=30) for side in part)) for _ in range(2))
        table = who_is_ahead({"a": {"0": a}, "b": {"0": b}}, resamples=400)
        sure += bool((table["behind_low"] > 0).any())
    assert sure <= 12  # 5 of 100 are expected, more than 12 in one of a thousand


def test_many_pictures_of_few_parts_count_as_parts():
    rng = np.random.default_rng(2)
    of_part = rng.normal(size=6)
    normal = np.repeat(of_part, 20)
    units = [f"good {number // 20}" for number in range(120)]
    anomalous = rng.normal(0.5, size=50)
    by_part = who_is_ahead({"a": {"0": scored(normal, anomalous, units)}}).iloc[0]
    by_picture = who_is_ahead({"a": {"0": scored(normal, anomalous)}}).iloc[0]
    assert by_part["high"] - by_part["low"] > 1.5 * (by_picture["high"] - by_picture["low"])


def test_a_fold_that_a_draw_leaves_empty_says_nothing_and_warns_nobody():
    folds = {str(n): scored([0.1 * n], [1.0, 2.0], [f"good {n}"], ["x", "y"]) for n in range(3)}
    row = who_is_ahead({"a": folds}).iloc[0]
    assert (row["auroc"], row["low"], row["high"]) == (1, 1, 1)
