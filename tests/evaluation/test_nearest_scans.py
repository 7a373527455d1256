"""The deviation of a scan from the nearest normal one."""

import numpy as np
import pytest

from endline.evaluation.nearest_scans import REACH, deviation, nearest_normal_rows
from endline.feature_set import FeatureSet

PART = np.zeros((48, 48), np.bool_)
PART[8:40, 8:40] = True


def dome(shift: int = 0) -> np.ndarray:
    y, x = np.mgrid[:48, :48].astype(np.float32) - 23.5
    height = np.where(PART, 8 - ((x - shift) ** 2 + y**2) / 60, 0)
    return (-height).astype(np.float32)


def test_a_shift_is_no_deviation_and_a_dent_is_one_of_its_depth() -> None:
    assert deviation(dome(REACH - 1), PART, dome(), PART).share(0.01) < 0.06  # but at the rim
    assert deviation(dome(12), PART, dome(), PART).share(0.01) > 0.1  # a large one is
    damaged = dome()
    damaged[20:27, 20:27] += 3.0  # farther away
    found = deviation(damaged, PART, dome(), PART)
    assert found.farthest == pytest.approx(-3.0, abs=1.0)
    assert found.nearest == 0
    assert found.at(0.5, 0.5) == found.farthest
    assert 0 < found.mean < 0.2
    raised = dome()
    raised[20:27, 20:27] -= 3.0
    assert deviation(raised, PART, dome(), PART).at(0.49, 0.49) == pytest.approx(3.0, abs=1.0)


def test_outside_of_either_part_nothing_is_compared() -> None:
    found = deviation(dome(), PART, dome(), np.zeros_like(PART))
    assert not found.compared
    assert np.isnan(found.at(0.5, 0.5))
    assert np.isnan(deviation(dome(), PART, dome(), PART).at(0.0, 0.0))


def test_the_nearest_normal_scan_is_found_and_never_the_scan_itself() -> None:
    depths = np.stack([dome(), dome() + 2.0, dome() - 4.0, dome() + 1.8])[:, None]
    features = FeatureSet({"depth": depths, "depth_mask": np.repeat(PART[None, None].astype("f4"), 4, 0)})
    assert nearest_normal_rows([3, 1, 0], [0, 1, 2], features) == [1, 0, 1]
    assert nearest_normal_rows([0], [0], features) == [-1]
    assert nearest_normal_rows([], [0, 1], features) == []


def test_a_scan_of_another_place_is_far_even_if_no_pixel_is_shared() -> None:
    elsewhere = np.zeros_like(PART)
    elsewhere[:6, :6] = True
    depths = np.stack([dome(), dome(), dome() + 1.0])[:, None]
    masks = np.stack([PART, elsewhere, PART])[:, None].astype("f4")
    assert nearest_normal_rows([0], [1, 2], FeatureSet({"depth": depths, "depth_mask": masks})) == [2]
