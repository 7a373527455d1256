"""The control figure must catch evidence that gives the label away without the fault."""

import numpy as np
import pandas as pd
import pytest

from endline.evaluation.controls import WARNING_LEVEL, control_auroc, item_numbers, missing_for_control
from endline.feature_set import FeatureSet

NORMALS, FAULTY = 40, 60


def evidence(shift: float, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Items of two parts, and control numbers (on very different scales) that are shifted in faulty items."""
    rng = np.random.default_rng(seed)
    rows, numbers = [], {}
    for item in range(NORMALS + FAULTY):
        label = int(item >= NORMALS)
        split = "train" if item < NORMALS // 2 else "test"
        rows += [{"sample_id": f"i{item}#{part}", "label": label, "split": split} for part in ("fold", "unfold")]
        numbers[f"i{item}"] = (rng.normal(size=6) + label * shift) * [1, 1e-3, 1e3, 1, 1, 1]
    table = pd.DataFrame(rows).astype({"label": "Int8"})
    return table, pd.DataFrame.from_dict(numbers, orient="index").sample(frac=1, random_state=seed)


def test_a_control_that_reveals_the_label_is_caught():
    area = control_auroc(*evidence(shift=3.0))
    assert area.auroc > 0.9
    assert area.n == FAULTY
    assert area.low > WARNING_LEVEL


def test_a_control_that_knows_nothing_is_near_chance():
    areas = [control_auroc(*evidence(0.0, seed)).auroc for seed in range(8)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.06)
    assert max(abs(area - 0.5) for area in areas) < 0.2


def test_the_units_of_the_columns_do_not_matter():
    samples, control = evidence(0.5)
    scaled = control * [1e6, 1, 1, 1e-6, 1, 1]
    assert control_auroc(samples, scaled).auroc == pytest.approx(control_auroc(samples, control).auroc)


def test_a_constant_column_is_harmless():
    samples, control = evidence(0.5)
    assert np.isfinite(control_auroc(samples, control.assign(constant=3.0)).auroc)


def test_only_training_items_are_learned_from():
    samples, control = evidence(0.5)
    others = pd.DataFrame({"sample_id": ["x", "y"], "label": pd.array([None, None], "Int8"), "split": "test"})
    wild = pd.DataFrame(1e6, index=["x", "y"], columns=control.columns)
    more = pd.concat([samples, others], ignore_index=True), pd.concat([control, wild])
    assert control_auroc(*more) == control_auroc(samples, control)


def test_unknown_labels_count_in_no_figure():
    samples, control = evidence(0.5)
    items = samples["sample_id"].str.extract(r"i(\d+)")[0].astype(int)
    unknown = samples.assign(label=samples["label"].where(items % 10 < 8, pd.NA))
    assert control_auroc(unknown, control).n < FAULTY


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        ("control", "no control in these data"),
        ("normal", "no labelled normal or no labelled anomaly"),
        ("anomalous", "no labelled normal or no labelled anomaly"),
        ("training", "fewer than two training items"),
    ],
)
def test_none_and_the_reason_where_there_is_no_figure(lacking, reason):
    samples, control = evidence(0.5)
    if lacking == "control":
        assert control_auroc(samples, None) is None
        assert missing_for_control(samples, None) == reason
        control = control.iloc[:0]
    elif lacking == "training":
        samples["split"] = "test"
    else:
        keep = samples["label"] == (1 if lacking == "normal" else 0)
        samples = samples[keep | (samples["split"] == "train")].reset_index(drop=True)
    assert control_auroc(samples, control) is None
    assert reason in missing_for_control(samples, control)


def test_control_numbers_are_those_of_the_first_row_of_each_item():
    samples = pd.DataFrame({"sample_id": ["a#fold", "a#unfold", "b#fold", "b#unfold"]})
    values = np.arange(8, dtype="f4").reshape(4, 2)
    numbers = item_numbers(samples, FeatureSet({"control": values}), "control")
    assert numbers.index.tolist() == ["a", "b"]
    np.testing.assert_array_equal(numbers.to_numpy(), values[[0, 2]])
    assert item_numbers(samples, FeatureSet({"scale_0": values}), "control") is None
