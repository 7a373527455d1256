"""Fast point feature histograms: against loops over points, by turning scans, on surfaces whose angles are known."""

import time

import numpy as np
import pytest

from endline.evidence.scans.fpfh import fpfh, fpfh_map, normals
from endline.evidence.scans.scan import Scan

NEAR = [(row, column) for row in range(-5, 6) for column in range(-5, 6) if 0 < row**2 + column**2 <= 5.6**2]


def rough(height: int = 9, width: int = 11, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points of a rough surface with a step and holes, and which are valid."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] * 0.5
    depth = 400 + np.sin(rows) + 0.3 * columns + 0.1 * rng.standard_normal(rows.shape) + 30 * (columns > 5)
    valid = rng.random(rows.shape) > 0.15
    return np.where(valid[..., None], np.stack([columns, rows, depth], 2), 0.0), valid


def inside(row: int, column: int, valid: np.ndarray) -> bool:
    return 0 <= row < valid.shape[0] and 0 <= column < valid.shape[1] and bool(valid[row, column])


def normal_by_hand(points, valid, row, column) -> np.ndarray | None:
    square = [(row + r, column + c) for r in range(-2, 3) for c in range(-2, 3)]
    around = np.array([points[place] for place in square if inside(*place, valid)])
    if not valid[row, column] or len(around) < 3:
        return None
    normal = np.linalg.svd(around - around.mean(0))[2][-1]
    return normal if normal[2] < 0 else -normal


def angles_by_hand(p, n, q, m) -> tuple[float, float, float]:
    """Theta, alpha and phi of two points and their normals, each as a share of its range."""
    line = (q - p) / np.linalg.norm(q - p)
    if abs(n @ line) < abs(m @ line):
        n, m, line = m, n, -line
    v = np.cross(line, n) / np.linalg.norm(np.cross(line, n))
    w = np.cross(n, v)
    return (np.arctan2(w @ m, n @ m) / np.pi + 1) / 2, (v @ m + 1) / 2, (n @ line + 1) / 2


def histograms_by_hand(points: np.ndarray, valid: np.ndarray) -> np.ndarray:
    height, width = valid.shape
    places = [(row, column) for row in range(height) for column in range(width)]
    normal = {place: normal_by_hand(points, valid, *place) for place in places}
    known = np.array([[normal[row, column] is not None for column in range(width)] for row in range(height)])
    steps = [np.linalg.norm(points[r, c] - points[r + dr, c + dc]) for r, c in places for dr, dc in ((0, 1), (1, 0))
             if inside(r, c, known) and inside(r + dr, c + dc, known)]  # fmt: skip
    own, near = {}, {}
    for place in places:
        own[place], near[place] = np.zeros(33), []
        if not known[place]:
            continue
        for step in NEAR:
            other = (place[0] + step[0], place[1] + step[1])
            if inside(*other, known):
                distance = np.linalg.norm(points[other] - points[place])
                if distance <= 2 * 5.6 * np.median(steps):
                    near[place].append((other, distance))
        for other, _ in near[place]:
            for number, share in enumerate(angles_by_hand(points[place], normal[place], points[other], normal[other])):
                own[place][11 * number + min(10, int(11 * share))] += 1 / len(near[place])
    result = np.zeros((height, width, 33))
    for place in places:
        total = sum(1 / distance for _, distance in near[place])
        mean = sum(own[other] / distance for other, distance in near[place]) / total if total else 0.0
        result[place] = (own[place] + mean) / 2
    return result


def test_histograms_are_those_of_loops_over_points():
    points, valid = rough()
    expected = histograms_by_hand(points, valid)
    assert np.unique(expected.argmax(2)).size > 3  # a surface on which there is something to get wrong
    np.testing.assert_allclose(fpfh(points, valid), expected, atol=1e-6)


def test_normals_are_those_of_planes_through_the_square():
    points, valid = rough(seed=1)
    normal, known = normals(points, valid)
    for row, column in np.ndindex(*valid.shape):
        by_hand = normal_by_hand(points, valid, row, column)
        assert known[row, column] == (by_hand is not None)
        if by_hand is not None:
            np.testing.assert_allclose(normal[row, column], by_hand, atol=1e-6)


def turn(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array({"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]]}[axis])


@pytest.mark.parametrize(("axis", "degrees"), [("z", 35.0), ("z", 180.0), ("x", 12.0)])
def test_a_part_that_is_turned_or_tilted_or_moved_has_the_same_histograms(axis, degrees):
    rows, columns = np.mgrid[:20, :20] * 0.5
    depth = 0.4 * np.sin(rows) * np.cos(0.7 * columns)
    points, valid = np.stack([columns, rows, depth], 2), np.ones((20, 20), bool)
    moved = points @ turn(axis, degrees).T + [3.0, -40.0, 500.0]
    np.testing.assert_allclose(fpfh(moved, valid), fpfh(points, valid), atol=1e-5)


def test_a_grid_that_is_turned_gives_the_turned_map():
    rng = np.random.default_rng(0)
    depth = (500 + rng.standard_normal((24, 24)).cumsum(0)).astype("f4")
    upright = fpfh_map(Scan(depth, pitch=0.5), None, (6, 6))
    turned = fpfh_map(Scan(np.rot90(depth), pitch=0.5), None, (6, 6))
    np.testing.assert_allclose(turned, np.rot90(upright, axes=(1, 2)), atol=2e-3)  # rounding moves a pair or two


@pytest.mark.parametrize("slope", [0.0, 0.7])
def test_on_a_plane_all_angles_are_0(slope):
    rows, columns = np.mgrid[:30, :30]
    scan = Scan((400 + slope * rows - 0.3 * slope * columns).astype("f4"), pitch=1.0)
    histograms = fpfh_map(scan, None, (6, 6)).reshape(3, 11, 6, 6)
    assert histograms[:, 5].min() > 0.999


def test_a_ball_and_a_bowl_have_angles_of_opposite_signs_that_depend_on_the_radius():
    rows, columns = np.mgrid[:13.0, :13.0] - 6

    def histograms(radius: float, sign: int) -> np.ndarray:
        """Of the point in the middle."""
        cap = radius - np.sqrt(radius**2 - rows**2 - columns**2)
        return fpfh(np.stack([columns, rows, sign * cap], 2), np.ones((13, 13), bool))[6, 6].reshape(3, 11)

    ball, bowl, flatter = histograms(10.0, 1), histograms(10.0, -1), histograms(100.0, 1)
    assert ball[1, 5] == pytest.approx(1, abs=0.02)  # both normals and the line lie in one plane
    assert ball[0, 6:].sum() > 0.3  # theta: normals part along the line,
    assert ball[0, :5].sum() == 0
    assert bowl[0, :5].sum() > 0.3  # or meet
    assert bowl[0, 6:].sum() == 0
    np.testing.assert_allclose(flatter[:, 5], 1, atol=1e-3)


def test_a_dent_changes_the_map_around_it_and_nowhere_else():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:112, :112]
    depth = 500 + 0.02 * rng.standard_normal((112, 112))
    dent = np.exp(-((rows - 40) ** 2 + (columns - 70) ** 2) / 30)
    good, dented = (fpfh_map(Scan(each.astype("f4"), pitch=0.5), None, (14, 14)) for each in (depth, depth + dent))
    changed = np.abs(dented - good).sum(0)
    assert np.unravel_index(changed.argmax(), changed.shape) in [(4, 8), (5, 8), (5, 9), (4, 9)]
    assert changed[9:].max() < 0.02 * changed.max()  # rounding


def test_missing_points_and_background_do_not_count():
    depth = np.full((80, 80), 500.0, "f4")
    depth[:, 40:] = 520  # the support
    depth[::7, ::5] = np.nan
    mask = np.zeros((80, 80), bool)
    mask[:, :40] = True
    histograms = fpfh_map(Scan(depth, pitch=0.5), mask, (10, 10))
    assert (histograms[:, :, 5:] == 0).all()
    np.testing.assert_allclose(histograms.reshape(3, 11, 10, 10)[:, 5, :, :5], 1, atol=1e-3)


@pytest.mark.parametrize("valid", [0, 1, 2])
def test_scans_without_a_surface_are_0(valid):
    depth = np.full((16, 16), np.nan, "f4")
    depth.flat[:valid] = 500.0
    assert (fpfh_map(Scan(depth), None, (4, 4)) == 0).all()


def test_a_scan_of_any_size_gives_the_map_of_its_size():
    for shape in ((10, 300), (7, 9), (400, 300)):
        assert fpfh_map(Scan(np.full(shape, 500.0, "f4")), None, (5, 6)).shape == (33, 5, 6)


def test_positions_in_x_and_y_are_taken_where_there_are_any():
    rows, columns = np.mgrid[:40, :40]
    rough = (500 + np.random.default_rng(0).standard_normal((40, 40)).cumsum(0)).astype("f4")
    by_pitch = fpfh_map(Scan(rough, pitch=0.4), None, (5, 5))
    given = Scan(rough, x=(0.4 * columns).astype("f4"), y=(0.4 * rows).astype("f4"), pitch=9.0)
    np.testing.assert_allclose(fpfh_map(given, None, (5, 5)), by_pitch, atol=1e-2)
    assert np.abs(fpfh_map(Scan(rough, pitch=9.0), None, (5, 5)) - by_pitch).max() > 0.2


def test_a_scan_of_224_by_224_points_takes_less_than_a_second_of_one_core():
    rng = np.random.default_rng(0)
    scan = Scan((500 + rng.standard_normal((224, 224)).cumsum(1)).astype("f4"), pitch=0.5)
    seconds = []
    for _ in range(2):
        start = time.process_time()
        assert fpfh_map(scan, None).shape == (33, 28, 28)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1.5  # 0.7 s; other processes on the core cost caches
