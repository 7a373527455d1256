"""The control figure must catch evidence that tells the label without the fault."""

import numpy as np
import pandas as pd
import pytest

from endline.evaluation.controls import WARNING_LEVEL, control_auroc
from endline.feature_set import FeatureSet

NORMALS, FAULTY = 40, 60


def evidence(telling: float, seed: int = 0) -> tuple[pd.DataFrame, FeatureSet]:
    """Fold rows that show the fault plainly, standstill rows that are shifted by `telling` in faulty items."""
    rng = np.random.default_rng(seed)
    rows, vectors = [], []
    for item in range(NORMALS + FAULTY):
        label = int(item >= NORMALS)
        for part in ("fold", "standstill"):
            split = "train" if item < NORMALS // 2 else "test"
            rows.append({"label": label, "split": split, "part": part, "control": part == "standstill"})
            shift = label * (20.0 if part == "fold" else telling)
            vectors.append(rng.normal(size=(6, 2, 2)) + shift)
    table = pd.DataFrame(rows).astype({"label": "Int8"})
    return table, FeatureSet({"scale_0": np.asarray(vectors, "f4")}, key=f"{telling} {seed}")


def test_a_control_that_tells_the_label_is_caught():
    found = control_auroc(*evidence(telling=1.5))
    assert found.auroc > 0.9
    assert found.n == FAULTY
    assert found.low > WARNING_LEVEL


def test_a_control_that_knows_nothing_is_near_chance_though_the_fault_is_plain():
    areas = [control_auroc(*evidence(0.0, seed)).auroc for seed in range(8)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.06)
    assert max(abs(area - 0.5) for area in areas) < 0.2


def test_it_is_the_same_every_time():
    assert control_auroc(*evidence(0.3)) == control_auroc(*evidence(0.3))


def test_only_training_controls_are_learned_from():
    samples, features = evidence(0.5)
    before = control_auroc(samples, features)
    changed = features._arrays["scale_0"].copy()
    changed[(~samples["control"]).to_numpy()] = np.nan  # whatever the motions hold does not matter
    assert control_auroc(samples, FeatureSet({"scale_0": changed}, key="x")) == before


def test_unknown_labels_count_in_no_figure():
    samples, features = evidence(0.5)
    unknown = samples.assign(label=samples["label"].where(samples.index % 10 < 8, pd.NA))
    assert control_auroc(unknown, features).n < FAULTY


@pytest.mark.parametrize("lacking", ["control", "normal", "anomalous", "training"])
def test_none_where_it_cannot_be_told(lacking):
    samples, features = evidence(0.5)
    if lacking == "control":
        samples["control"] = False
    elif lacking == "training":
        samples["split"] = "test"
    else:
        keep = samples["label"] == (1 if lacking == "normal" else 0)
        keep |= samples["split"] == "train"
        rows = np.flatnonzero(keep)
        samples, features = samples.iloc[rows].reset_index(drop=True), features.take(rows)
    assert control_auroc(samples, features) is None
