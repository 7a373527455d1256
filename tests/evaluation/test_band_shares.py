"""Shares of the bands of anomaly maps: they add up, and the largest is where the fault is."""

import numpy as np
import pandas as pd
import pytest

from endline.evaluation.band_shares import COLUMNS, band_shares
from endline.feature_set import FeatureSet


def table(maps: np.ndarray) -> pd.DataFrame:
    return band_shares(
        FeatureSet({"map": maps}), pd.DataFrame({"sample_id": [f"{row}.wav" for row in range(len(maps))]})
    )


def test_shares_are_those_of_the_positive_part_and_add_up_to_one():
    maps = np.random.default_rng(0).standard_normal((40, 6, 9)).astype("f4")
    found = table(maps)
    assert list(found.columns) == list(COLUMNS)
    positive = np.maximum(maps.astype(float), 0).sum(2)
    expected = positive / positive.sum(1, keepdims=True)
    np.testing.assert_allclose(found["share"].to_numpy().reshape(40, 6), expected, rtol=1e-6)
    np.testing.assert_allclose(found.groupby("sample_id")["share"].sum(), 1.0)


def test_the_band_of_a_fault_counts_most_at_its_moment():
    maps = np.full((3, 8, 20), 0.1, "f4")
    maps[1, 5, 12] = 40.0
    own = table(maps).query("sample_id == '1.wav'").reset_index(drop=True)
    most = own.loc[own["share"].idxmax()]
    assert (most["row"], most["column"], most["value"]) == (5.5 / 8, 12.5 / 20, 40.0)


def test_a_map_with_nothing_above_zero_counts_every_band_the_same():
    assert table(np.full((1, 4, 3), -1.0, "f4"))["share"].tolist() == [0.25] * 4


@pytest.mark.parametrize("shape", [(2, 0, 0), (0, 4, 5)])
def test_without_maps_or_rows_there_is_no_row(shape):
    assert len(table(np.zeros(shape, "f4"))) == 0
