"""Attribution: which signals count, when, and where in an image."""

import numpy as np
import pandas as pd
import pytest

from endline.evaluation.attribution import cycle_attribution, hottest, share_by_axis
from endline.evaluation.nearest_cycles import nearest_training_cycles
from endline.feature_set import FeatureSet

SIGNALS = ("motor_iq_1", "motor_iq_2", "robot_voltage")


def cycles():
    """Five training cycles and two tested ones: the last is near c3, but for a fault of signal 1 at step 30."""
    values = np.random.default_rng(0).standard_normal((7, 3, 50)).astype("f4")
    values[6] = values[3] + 0.01
    values[6, 1, 30] += 9
    samples = pd.DataFrame({"sample_id": [f"c{i}" for i in range(7)], "split": ["train"] * 5 + ["test"] * 2})
    return samples, FeatureSet({"cycle": values, "valid": np.ones((7, 50), "f4"), "scale_0": values[:, :, None]})


def attribution_of(maps, samples, features):
    scored = samples.iloc[5 : 5 + len(maps)]
    return cycle_attribution(scored, FeatureSet({"map": maps}), samples, features, SIGNALS)


@pytest.mark.parametrize("kind", ["steps", "none"])
def test_nothing_is_told_of_signals_without_their_map_and_without_a_cycle_to_compare_with(kind):
    samples, features = cycles()
    alone = samples.assign(split="test")
    maps = np.ones((2, 1, 50), "f4") if kind == "steps" else np.zeros((2, 0, 0), "f4")
    table = attribution_of(maps, alone, features)
    assert table.columns.tolist() == ["sample_id", "signal", "share", "step"]
    assert table.empty
    assert attribution_of(np.ones((2, 3, 50), "f4"), alone, features)["sample_id"].tolist() == ["c5"] * 3 + ["c6"] * 3
    assert nearest_training_cycles(["c5"], alone, features).empty


@pytest.mark.parametrize("kind", ["signals", "steps", "none"])
def test_shares_add_up_and_point_at_the_fault(kind):
    samples, features = cycles()
    per_signal = np.full((2, 3, 50), 0.1, "f4")
    per_signal[1, 1, 30] = 5
    maps = {"signals": per_signal, "steps": per_signal.sum(1, keepdims=True), "none": np.zeros((2, 0, 0), "f4")}[kind]
    table = attribution_of(maps, samples, features)
    assert table.columns.tolist() == ["sample_id", "signal", "share", "step"]
    assert table["sample_id"].tolist() == ["c5"] * 3 + ["c6"] * 3
    assert table["signal"].tolist() == [*SIGNALS] * 2
    np.testing.assert_allclose(table.groupby("sample_id")["share"].sum(), 1)
    faulty = table[table["sample_id"] == "c6"].set_index("signal")
    assert faulty["share"].idxmax() == "motor_iq_2"
    assert faulty.loc["motor_iq_2", "step"] == 30
    if kind == "steps":
        assert (faulty["step"] == 30).all()


@pytest.mark.parametrize("scored", ["many", "alone"])
def test_a_signal_counts_by_what_is_unusual_of_its_map(scored):
    """Signal 0 always moves the score most; signal 1 does so only in the fault."""
    samples = pd.DataFrame({"sample_id": [f"c{i}" for i in range(11)], "split": ["train"] * 5 + ["test"] * 6})
    features = FeatureSet({"cycle": np.zeros((11, 3, 50), "f4"), "valid": np.ones((11, 50), "f4")})
    maps = np.tile(np.array([5.0, 0.1, 1.0], "f4")[:, None], (6, 1, 50))
    maps[0, 1, 30] = 10
    maps[0, 0, 10] = 12
    table = attribution_of(maps if scored == "many" else maps[:1], samples, features)
    faulty = table[table["sample_id"] == "c5"].set_index("signal")
    assert faulty["step"].tolist()[:2] == [10, 30]
    if scored == "many":
        assert faulty["share"].idxmax() == "motor_iq_2"
        assert faulty.loc["robot_voltage", "share"] == 0
    else:
        np.testing.assert_allclose(faulty["share"], 1 / 3, rtol=0.1)


def test_steps_beyond_the_end_of_a_cycle_do_not_count():
    samples, features = cycles()
    valid = np.ones((7, 50), "f4")
    valid[6, 40:] = 0
    maps = np.full((2, 3, 50), 0.1, "f4")
    maps[1, 1, 30] = 5
    maps[1, 1, 45] = 50
    table = attribution_of(maps, samples, FeatureSet({"cycle": features.read()["cycle"].numpy(), "valid": valid}))
    assert table.set_index(["sample_id", "signal"]).loc[("c6", "motor_iq_2"), "step"] == 30


def test_nothing_unusual_is_shared_equally():
    samples, features = cycles()
    table = attribution_of(np.zeros((2, 3, 50), "f4"), samples, features)
    np.testing.assert_allclose(table["share"], 1 / 3)
    assert attribution_of(np.zeros((0, 3, 50), "f4"), samples, features).empty


def test_maps_and_cycles_are_read_in_batches(monkeypatch):
    samples = pd.DataFrame({"sample_id": [f"c{i}" for i in range(300)], "split": ["train"] * 150 + ["test"] * 150})
    rng = np.random.default_rng(0)
    features = FeatureSet({"cycle": rng.random((300, 3, 30)).astype("f4"), "valid": np.ones((300, 30), "f4")})
    maps = FeatureSet({"map": np.zeros((150, 0, 0), "f4")})
    sizes = []
    read = FeatureSet.read
    monkeypatch.setattr(FeatureSet, "read", lambda self, rows=None: sizes.append(len(rows)) or read(self, rows))
    table = cycle_attribution(samples.iloc[150:], maps, samples, features, SIGNALS)
    assert len(table) == 450
    assert max(sizes) <= 64


def test_the_nearest_training_cycle():
    samples, features = cycles()
    assert nearest_training_cycles(["c6"], samples, features).to_dict("list") == {
        "sample_id": ["c6"],
        "nearest": ["c3"],
    }
    assert nearest_training_cycles([], samples, features).columns.tolist() == ["sample_id", "nearest"]
    short = np.ones((7, 50), "f4")
    short[:, 1:] = 0  # cycles of one step are compared too
    alone = FeatureSet({"cycle": features.read()["cycle"].numpy(), "valid": short})
    assert nearest_training_cycles(["c6"], samples, alone)["nearest"].tolist() == ["c3"]


def test_shares_by_axis():
    table = pd.DataFrame({"signal": SIGNALS, "share": [0.1, 0.6, 0.3]})
    assert share_by_axis(table).to_dict() == pytest.approx({"axis 2": 0.6, "robot": 0.3, "axis 1": 0.1})
    assert share_by_axis(table).index[0] == "axis 2"


def test_where_maps_are_largest_part_by_part():
    maps = np.zeros((20, 4, 8), "f4")
    maps[17, 0, 7] = 2
    maps[17, 3, 0] = 1
    rows = pd.DataFrame({"sample_id": [f"s{i}" for i in range(20)], "part": "fold+unfold"})
    table = hottest(FeatureSet({"map": maps}), rows)
    assert len(table) == 40
    of_one = table[table["sample_id"] == "s17"].set_index("part")
    assert of_one.loc["fold", ["row", "column", "value"]].tolist() == [0.25, 7.5 / 8, 2.0]
    assert of_one.loc["unfold", ["row", "column", "value"]].tolist() == [0.75, 0.5 / 8, 1.0]
    assert hottest(FeatureSet({"map": np.zeros((20, 0, 0), "f4")}), rows).columns.tolist() == table.columns.tolist()
