"""Units, directions and grids, fitted and given."""

import logging

import numpy as np
import pytest

from endline.errors import EndlineError, FileRejected
from endline.evidence.scans.point_grid import Field, gridded
from endline.evidence.scans.preparing import PartSettings
from endline.evidence.scans.reading import ScanReading, fitted_reading
from endline.evidence.scans.stored_scan import decode_scan


@pytest.fixture
def fitted(tmp_path, parameters):
    """Fits the reading of arrays, each saved as npy."""

    def fit(*arrays, **changes) -> ScanReading:
        paths = [tmp_path / f"{number}.npy" for number in range(len(arrays))]
        for path, array in zip(paths, arrays, strict=True):
            np.save(path, array)
        return fitted_reading(paths, parameters(**changes), PartSettings())

    return fit


def test_metres_are_guessed_and_told(fitted, caplog, parts):
    scans = [parts.xyz(parts.depth(seed)) / 1000 for seed in (1, 2)]
    assert fitted(*scans).unit == 1000
    assert "The scans are read in metres, as a width of 0.126 suggests (--params=unit=mm if they are" in caplog.text
    assert fitted(*[scan[..., 2] for scan in scans]).unit == 1000
    assert "as a distance of 0.60" in caplog.text
    assert fitted(*scans, unit="mm").unit == 1
    assert fitted(*[scan * 1000 for scan in scans]).unit == 1


def test_a_low_height_map_in_mm_is_not_taken_for_metres(fitted, parts):
    heights = 602 - parts.depth(1, height=2.0)  # about 0 to 2 mm
    assert fitted(np.maximum(heights, 0.01)).unit == 1


def test_heights_are_told_from_depths(fitted, caplog, parts):
    assert not fitted(parts.depth(1), parts.depth(2)).heights
    reading = fitted(700 - parts.depth(1), 700 - parts.depth(2))
    assert reading.heights
    assert "Larger values of the scans are nearer: they are read as heights" in caplog.text
    assert not fitted(700 - parts.depth(1), direction="depth").heights
    assert fitted(parts.depth(1), direction="height").heights


def test_heights_become_depths(fitted, tmp_path):
    np.save(tmp_path / "height.npy", np.array([[1.0, 5.0]]))
    stored = decode_scan(tmp_path / "height.npy")
    assert ScanReading(heights=True).scan_of(stored).depth.tolist() == [[-1.0, -5.0]]


def test_a_set_is_fitted_although_some_scans_are_broken(fitted, tmp_path, parts):
    assert fitted(np.zeros((4, 5, 6, 7)), parts.xyz(parts.depth(1)) / 1000, np.zeros((8, 8), np.float32)).unit == 1000


def test_intrinsics_give_positions(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[500, 500], [0, 1000]], np.uint16))
    read = ScanReading(intrinsics=(100.0, 50.0, 0.0, 0.0)).scan_of(decode_scan(tmp_path / "a.npy"))
    assert read.x[0].tolist() == [0.0, 5.0]
    assert read.y[1, 1] == 20.0
    assert np.isnan(read.x[1, 0])


def test_clouds_without_rows_are_laid_on_one_grid(fitted, tmp_path, parts):
    clouds = [parts.xyz(parts.depth(seed)).reshape(-1, 3) for seed in (1, 2)]
    reading = fitted(*[np.random.default_rng(0).permutation(cloud) for cloud in clouds])
    assert reading.field is not None
    np.save(tmp_path / "new.npy", clouds[0])
    scan = reading.read(tmp_path / "new.npy")
    assert scan.depth.shape == Field(*reading.field).shape
    assert 55 <= scan.depth.shape[0] <= 66
    measured = np.isfinite(scan.depth)
    assert measured.mean() > 0.9
    assert scan.depth[measured].min() == pytest.approx(parts.depth(1).min(), abs=1.0)
    np.save(tmp_path / "metres.npy", clouds[0] / 1000)
    assert ScanReading(unit=1000, field=reading.field).read(tmp_path / "metres.npy").depth.shape == scan.depth.shape


@pytest.mark.parametrize("far", [9000.0, -9000.0, 3e38])
def test_a_point_far_away_changes_the_common_grid_of_no_cloud(fitted, tmp_path, parts, far):
    clouds = [parts.xyz(parts.depth(seed)).reshape(-1, 3) for seed in range(6)]
    expected = fitted(*clouds).field
    assert expected is not None
    assert expected[:4] == (0.0, 0.0, 126.0, 126.0)
    strayed = np.concatenate([clouds[3], np.float32([[far, 20, 700], [20, far, 600]])])
    assert fitted(*clouds[:3], strayed, *clouds[4:]).field == expected
    np.save(tmp_path / "new.npy", strayed)
    np.save(tmp_path / "whole.npy", clouds[3])
    read, whole = (ScanReading(field=expected).read(tmp_path / name).depth for name in ("new.npy", "whole.npy"))
    np.testing.assert_array_equal(read, whole)


def test_a_cloud_far_from_the_others_does_not_widen_the_field(fitted, parts):
    clouds = [parts.xyz(parts.depth(seed)).reshape(-1, 3) for seed in range(6)]
    reading = fitted(*clouds[:5], clouds[5] + np.float32([5000, 0, 0]))
    assert reading.field == fitted(*clouds[:5]).field


def test_clouds_that_lie_beside_each_other_are_all_in_the_field(fitted, parts):
    clouds = [parts.xyz(parts.depth(seed)).reshape(-1, 3) + np.float32([seed * 20, 0, 0]) for seed in range(6)]
    assert fitted(*clouds).field[:4] == (0.0, 0.0, 226.0, 126.0)


def test_a_cloud_beside_the_field_is_refused():
    x = np.linspace(0, 100, 50, dtype=np.float32)
    with pytest.raises(FileRejected, match=r"44 of its 50 points lie outside the field of the training scans, x 0 to"):
        gridded(x, x, x, Field(0, 0, 10, 10, 1.0))


def test_a_cloud_among_organised_scans_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((5, 3), np.float32))
    with pytest.raises(FileRejected, match="a cloud of points without rows and columns, and the training scans have"):
        ScanReading().read(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unit": "km"}, "unit=km is no unit of a scan: choose auto or one of um, mm, cm, m, inch."),
        ({"direction": "up"}, "direction=up says not which way is near: choose auto, depth, height."),
        ({"depth_step": 0}, "depth_step=0.0 must be above 0, in mm."),
        ({"intrinsics": {"fx": 1}}, "must give fx, fy, cx and cy in pixels"),
    ],
)
def test_a_setting_that_is_none_is_reported(fitted, changes, said, parts):
    with pytest.raises(EndlineError) as problem:
        fitted(parts.depth(1), **changes)
    assert said in str(problem.value)


def test_the_log_is_quiet_where_nothing_was_guessed(fitted, caplog, parts):
    caplog.set_level(logging.INFO)
    reading = fitted(parts.xyz(parts.depth(1)), unit="mm", direction="depth")
    assert reading == ScanReading(reach=pytest.approx(605, abs=1))
    assert not caplog.records
