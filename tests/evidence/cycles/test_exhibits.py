"""Exhibits of cycles: the signals that count most, the nearest normal cycle, with maps and without."""

import numpy as np
import pandas as pd
import pytest

from endline.evaluation.attribution import cycle_attribution
from endline.evaluation.nearest_cycles import nearest_training_cycles
from endline.evidence.cycles.exhibits import CycleTables, cycle_exhibits
from endline.evidence.cycles.features import CyclePreparation
from endline.feature_set import FeatureSet

SIGNALS = ("motor_iq_1", "motor_iq_2", "robot_voltage")


def scene(maps: str = "signals", signals: tuple[str, ...] = SIGNALS):
    """Five training cycles and two tested ones, the second with a fault of signal 1 at step 30."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((7, 3, 50)).astype("f4")
    values[6] = values[3] + 0.01
    values[6, 1, 30] += 9
    values = values[:, : len(signals)]
    features = FeatureSet({"cycle": values, "valid": np.ones((7, 50), "f4")})
    samples = pd.DataFrame({"sample_id": [f"c{i}" for i in range(7)], "split": ["train"] * 5 + ["test"] * 2})
    per_signal = np.full((2, 3, 50), 0.1, "f4")
    per_signal[1, 1, 30] = 5
    per_signal = per_signal[:, : len(signals)]
    drawn = {"signals": per_signal, "steps": per_signal.sum(1, keepdims=True), "none": np.zeros((2, 0, 0), "f4")}
    arrays = FeatureSet({"map": drawn[maps]})
    scored = samples.iloc[5:].reset_index(drop=True)
    attribution = cycle_attribution(scored, arrays, samples, features, signals)
    nearest = nearest_training_cycles(["c6"], samples, features)
    verdict = {"score": 3.0, "p_value": 0.1, "flagged": True, "label": 1, "kind": "worn", "why": "most anomalous"}
    shortlist = pd.DataFrame([{"sample_id": "c6", **verdict}])
    return shortlist, CycleTables(scored, arrays, attribution, nearest, samples, features)


@pytest.mark.parametrize("maps", ["signals", "steps", "none"])
@pytest.mark.parametrize("rate", [10.0, None])
def test_the_signal_that_counts_most_over_its_nearest_cycle(maps, rate):
    (shown,) = cycle_exhibits(*scene(maps), CyclePreparation(SIGNALS, 50, rate))
    assert [title for title, _ in shown.figures] == [
        "attribution, and the nearest normal cycle",
        "share of the signals and axes",
    ]
    assert all(png.startswith(b"\x89PNG") for _, png in shown.figures)
    moment = "3.00 s" if rate else "61 % of the cycle"
    who = "All signals together stand out" if maps == "steps" else "motor_iq_2 counts most and stands out"
    assert shown.note == f"Blue: the nearest normal training cycle, c3. {who} at {moment}."


def test_nothing_to_show():
    shortlist, tables = scene()
    assert cycle_exhibits(shortlist.iloc[:0], tables, CyclePreparation(SIGNALS, 50, 10.0)) == []


def test_a_single_signal_needs_no_ranking():
    (shown,) = cycle_exhibits(*scene(signals=("force",)), CyclePreparation(("force",), 50, 10.0))
    assert len(shown.figures) == 1
