"""Values of anomaly maps, read in batches."""

import numpy as np
import pytest

from endline.evaluation import map_values
from endline.evaluation.map_values import has_maps, regular_share, shared_limits
from endline.feature_set import FeatureSet


def test_maps_of_one_report_share_their_limits():
    maps = np.linspace(0, 1, 10_000, dtype="f4").reshape(4, 50, 50)
    maps[0, 0, 0] = 1e6
    low, high = shared_limits(FeatureSet({"map": maps}))
    assert low == pytest.approx(0.5, abs=1e-3)
    assert high == pytest.approx(0.999, abs=1e-3)
    assert shared_limits(FeatureSet({"map": np.zeros((2, 0, 0), "f4")})) is None
    assert shared_limits(FeatureSet({"map": np.zeros((0, 3, 3), "f4")})) is None
    assert shared_limits(FeatureSet({"map": np.ones((2, 3, 3), "f4")})) is None


def test_of_many_values_a_regular_share_is_read_from_all_columns(monkeypatch):
    monkeypatch.setattr(map_values, "MOST_VALUES", 1000)
    columns = np.broadcast_to(np.arange(8, dtype="f4"), (200, 16, 8))  # a step of 24 would meet one column alone
    values = regular_share(FeatureSet({"map": columns}))
    assert len(values) <= 1040
    np.testing.assert_allclose(np.bincount(values.astype(int)) / len(values), 1 / 8, atol=0.02)


def test_maps_are_read_in_batches(monkeypatch):
    sizes = []
    read = FeatureSet.read
    monkeypatch.setattr(FeatureSet, "read", lambda self, rows=None: sizes.append(len(rows)) or read(self, rows))
    shared_limits(FeatureSet({"map": np.random.default_rng(0).random((40, 3, 3)).astype("f4")}))
    assert sizes == [16, 16, 8]


def test_a_method_without_maps_has_none():
    assert not has_maps(FeatureSet({"map": np.zeros((2, 0, 0), "f4")}))
    assert has_maps(FeatureSet({"map": np.zeros((2, 1, 1), "f4")}))
