"""Exhibits of cycles: who is guilty, the nearest normal cycle, with maps and without."""

import numpy as np
import pandas as pd
import pytest

import endline.evidence.cycles.exhibits as cycle_exhibits_module
from endline.evidence.cycles.exhibits import cycle_exhibits, signal_ranking
from endline.evidence.cycles.features import CycleSettings
from endline.feature_set import FeatureSet

SIGNALS = ("motor_iq_1", "motor_iq_2", "robot_voltage")


def scene(maps: str = "signals"):
    """Five training cycles and two tested ones, the second with a fault of signal 1 at step 30."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((7, 3, 50)).astype("f4")
    values[6] = values[3] + 0.01
    values[6, 1, 30] += 9
    features = FeatureSet({"cycle": values, "valid": np.ones((7, 50), "f4")})
    samples = pd.DataFrame({"sample_id": [f"c{i}" for i in range(7)], "split": ["train"] * 5 + ["test"] * 2})
    heat = np.full((2, 3, 50), 0.1, "f4")
    heat[1, 1, 30] = 5
    shown = {"signals": heat, "steps": heat.sum(1, keepdims=True), "none": np.zeros((2, 0, 0), "f4")}[maps]
    part_scores = samples.iloc[5:].reset_index(drop=True)
    verdict = {"score": 3.0, "p_value": 0.1, "flagged": True, "label": 1, "kind": "worn", "why": "most anomalous"}
    shortlist = pd.DataFrame([{"sample_id": "c6", **verdict}])
    return shortlist, part_scores, FeatureSet({"map": shown}), samples, features


@pytest.mark.parametrize("maps", ["signals", "steps", "none"])
@pytest.mark.parametrize("rate", [10.0, None])
def test_the_guilty_signal_over_its_nearest_cycle(maps, rate):
    (shown,) = cycle_exhibits(*scene(maps), CycleSettings(SIGNALS, 50, rate))
    assert [title for title, _ in shown.figures] == [
        "guilty signals, and the nearest normal cycle",
        "share of the signals and axes",
    ]
    assert all(png.startswith(b"\x89PNG") for _, png in shown.figures)
    assert "the nearest normal cycle that trained, c3" in shown.note
    told = "largest at 3.00 s" if rate else "largest at 61 % of the cycle"
    assert (told in shown.note) == (maps != "none")


@pytest.mark.parametrize("scored", ["many", "alone"])
def test_a_signal_is_guilty_by_what_is_unusual_of_its_map(scored, monkeypatch):
    """Signal 0 always moves the score most; signal 1 does so only in the fault."""
    shortlist, part_scores, _, samples, features = scene()
    heat = np.tile(np.array([5.0, 0.1, 1.0], "f4")[:, None], (6, 1, 50))
    heat[1, 1, 30] = 10
    heat[1, 0, 10] = 12
    told = []
    monkeypatch.setattr(
        cycle_exhibits_module, "signal_ranking", lambda *both: told.append(both) or signal_ranking(*both)
    )
    if scored == "alone":
        part_scores, heat = part_scores.iloc[1:], heat[1:2]
    (shown,) = cycle_exhibits(
        shortlist, part_scores, FeatureSet({"map": heat}), samples, features, CycleSettings(SIGNALS, 50, 10.0)
    )
    ((_, guilt),) = told
    assert "largest at 3.00 s" in shown.note
    if scored == "many":
        assert guilt.argmax() == 1
        assert guilt[2] == 0
    else:
        np.testing.assert_allclose(guilt, guilt.mean(), rtol=0.1)


def test_nothing_to_show():
    shortlist, *others = scene()
    assert cycle_exhibits(shortlist.iloc[:0], *others, CycleSettings(SIGNALS, 50, 10.0)) == []


def test_a_single_signal_needs_no_ranking():
    shortlist, part_scores, maps, samples, features = scene()
    one = FeatureSet({"cycle": features.read()["cycle"].numpy()[:, :1], "valid": np.ones((7, 50), "f4")})
    heat = FeatureSet({"map": maps.read()["map"].numpy()[:, :1]})
    (shown,) = cycle_exhibits(shortlist, part_scores, heat, samples, one, CycleSettings(("force",), 50, 10.0))
    assert len(shown.figures) == 1


def test_the_ranking_by_signal_and_axis():
    by_signal, by_axis = signal_ranking(SIGNALS, np.array([1.0, 6.0, 3.0]))
    assert by_signal.index.tolist() == ["motor_iq_2", "robot_voltage", "motor_iq_1"]
    assert by_signal.tolist() == pytest.approx([0.6, 0.3, 0.1])
    assert by_axis.to_dict() == pytest.approx({"axis 2": 0.6, "robot": 0.3, "axis 1": 0.1})
