"""Filling, support, foreground and relief of parts whose truth is known."""

import numpy as np
import pytest

from endline.errors import EndlineError, FileRejected
from endline.evidence.scans.preparing import (
    PartSettings,
    coarse_mask,
    dilated,
    drawn,
    filled,
    foreground,
    gap,
    outline,
    relief_of,
    resized,
    unshuffled,
)
from endline.evidence.scans.scan import Scan
from endline.evidence.scans.support import find_support
from endline.simulation.scans.surface_scan import synthesise

DOWN, ACROSS = np.mgrid[:64, :80] / 64


def table(tilt=(0.0, 0.0), curve=0.0) -> np.ndarray:
    return 600 + tilt[0] * DOWN + tilt[1] * ACROSS + curve * (ACROSS - 0.6) ** 2


def block(depth: np.ndarray, height: float = 20.0) -> np.ndarray:
    depth = depth.copy()
    depth[20:44, 24:56] -= height
    return depth


def scan(depth: np.ndarray) -> Scan:
    return Scan(depth.astype(np.float32))


def test_missing_pixels_take_the_mean_of_their_measured_neighbours():
    depth = np.full((5, 5), 8.0, np.float32)
    depth[1:4, 1:4] = np.nan
    depth[0, 0] = 16.0
    once = filled(depth, 1)
    assert once[1, 1] == pytest.approx((16 + 4 * 8) / 5)
    assert np.isnan(once[2, 2])
    twice = filled(depth, 2)
    assert np.isfinite(twice).all()
    assert twice[2, 2] == pytest.approx(once[1:4, 1:4][np.isfinite(once[1:4, 1:4])].mean())
    assert twice[0, 0] == 16.0


def test_nothing_measured_stays_nothing():
    assert np.isnan(filled(np.full((3, 3), np.nan, np.float32))).all()


def test_corners_follow_a_tilt():
    support = find_support(block(table((9.0, -5.0))).astype("f4"), "auto", 7.0)
    assert support.way == "corners"
    np.testing.assert_allclose(support.depth, table((9.0, -5.0)), atol=0.3)


def test_a_corner_without_depth_takes_the_nearest_of_the_border_and_says_so():
    depth = block(table((9.0, 0.0))).astype("f4")
    depth[:6, :6] = np.nan
    support = find_support(depth, "corners", 7.0)
    assert support.moved == ("top left",)
    assert support.depth[0, 0] == pytest.approx(601, abs=1.0)
    assert relief_of(Scan(depth), PartSettings(rounds=0)).moved == ("top left",)


def test_a_part_over_a_corner_makes_the_support_a_robust_plane():
    depth = table((9.0, -5.0)).astype("f4")
    depth[:30, :36] -= 25
    support = find_support(depth, "auto", 7.0)
    assert support.way == "plane"
    np.testing.assert_allclose(support.depth, table((9.0, -5.0)), atol=0.05)
    relief = relief_of(Scan(depth), PartSettings())
    np.testing.assert_array_equal(relief.mask, depth < table((9.0, -5.0)) - 10)


def test_a_bent_support_is_followed():
    depth = block(table((3.0, 0.0), curve=80.0)).astype("f4")
    support = find_support(depth, "auto", 4.0)
    assert support.way == "curved"
    np.testing.assert_allclose(support.depth, table((3.0, 0.0), curve=80.0), atol=0.05)


def test_the_support_is_the_same_each_time():
    depth = block(table((3.0, 0.0), curve=80.0)).astype("f4")
    first, second = (find_support(depth, "curved", 7.0).depth for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_without_a_measured_border_all_that_was_measured_is_the_part():
    depth = np.full((64, 80), np.nan, np.float32)
    depth[20:44, 24:56] = 580 + np.random.default_rng(0).random((24, 32))
    assert find_support(depth, "auto", 7.0) is None
    relief = relief_of(Scan(depth), PartSettings(rounds=0))
    assert relief.way == "none"
    np.testing.assert_array_equal(relief.mask, np.isfinite(depth))


def test_the_foreground_is_what_is_far_enough_from_the_support():
    depth = block(table())
    inside = foreground(scan(depth), table().astype("f4"), 7.0)
    np.testing.assert_array_equal(inside, depth < 590)
    assert not foreground(scan(block(table(), 6.0)), table().astype("f4"), 7.0).any()


def test_the_relief_is_relative_to_the_mean_of_the_part():
    depth = block(table((9.0, -5.0)))
    depth[30:34, 38:42] += 4
    relief = relief_of(scan(depth), PartSettings())
    assert relief.depth[relief.mask].mean() == pytest.approx(0, abs=1e-3)
    assert (relief.depth[~relief.mask] == 0).all()
    assert relief.depth[32, 40] - relief.depth[24, 30] == pytest.approx(4, abs=0.05)  # level: the tilt is off
    tilted = relief_of(scan(depth), PartSettings(level=False))
    assert tilted.depth[40, 30] - tilted.depth[24, 30] == pytest.approx(9 * 16 / 64, abs=1e-3)
    assert relief.before == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize("value", [65535.0, 0.1, -9999.0])
def test_flying_pixels_do_not_move_the_height_of_a_part(value):
    depth = block(table((9.0, -5.0)))
    flying = depth.copy()
    flying[30, 40], flying[5, 5], flying[26:29, 30] = value, value, np.nan
    assert relief_of(scan(flying), PartSettings()).before == pytest.approx(20, abs=0.1)


def test_the_height_of_a_stepped_part_lies_between_its_steps_and_moves_little():
    depth = block(table())
    heights = []
    for columns in (39, 40, 41):  # of 24 to 56
        stepped = depth.copy()
        stepped[20:44, 24:columns] -= 20
        heights.append(relief_of(scan(stepped), PartSettings()).before)
    assert heights == pytest.approx([20 + 20 * share / 32 for share in (15, 16, 17)], abs=0.1)


def test_no_rim_of_half_the_depth_surrounds_a_resized_part():
    depth, mask = resized(relief_of(scan(block(table())), PartSettings()), (192, 192))
    assert depth.shape == mask.shape == (192, 192)
    assert mask.mean() == pytest.approx(24 * 32 / (64 * 80), rel=0.05)
    assert np.abs(depth).max() < 1e-3
    assert (depth[~mask] == 0).all()


def test_dilation_and_the_coarse_mask_take_in_the_edge():
    mask = np.zeros((192, 192), bool)
    mask[80:96, 80:96] = True
    grown = dilated(mask)
    assert grown.sum() == (16 + 7) ** 2
    assert grown[76:99, 76:99].all() or grown[77:100, 77:100].all()
    assert coarse_mask(mask).shape == (1, 24, 24)
    assert coarse_mask(mask).sum() == 4


def test_pixels_of_a_square_become_channels():
    depth = np.arange(192 * 192, dtype=np.float32).reshape(192, 192)
    channels = unshuffled(depth)
    assert channels.shape == (64, 24, 24)
    np.testing.assert_array_equal(channels[:, 2, 3], depth[16:24, 24:32].ravel())


def test_a_drawn_depth_is_bright_where_it_is_near():
    depth, mask = np.array([[-10.0, 10.0, 0.0]], np.float32), np.array([[True, True, False]])
    np.testing.assert_allclose(drawn(depth, mask, (-10.0, 10.0)), [[1.0, 0.1, 0.0]], atol=1e-6)


def one_valid() -> np.ndarray:
    depth = np.full((64, 80), np.nan)
    depth[3, 4] = 600
    return depth


@pytest.mark.parametrize(
    ("depth", "said"),
    [
        (np.full((64, 80), np.nan), "none of its 5120 pixels has a depth, all are 0 or NaN: scan the part again."),
        (
            one_valid(),
            "1 of its 5120 pixels has a depth, too few to see the part: scan the part again",
        ),
        (np.full((64, 80), 600.0), "all its pixels have the same depth, 600 mm: check the sensor and scan the part"),
        (
            table((3.0, 3.0)),
            "no part stands out: next to no pixel is farther than 7 mm from the support: check that the part is there; "
            "for flat parts set a smaller distance (--params=distance=1), and where the scans show nothing but the "
            "part, support=none.",
        ),
    ],
)
def test_a_scan_that_shows_no_part_is_refused(depth, said):
    with pytest.raises(FileRejected) as problem:
        relief_of(scan(depth), PartSettings())
    assert said in str(problem.value)


def test_an_unknown_support_is_reported():
    with pytest.raises(EndlineError, match=r"There is no support 'round': choose one of auto, corners, plane, curved"):
        PartSettings(support="round")
    with pytest.raises(EndlineError, match="distance=-1 and rounds=3 must be 0 or more"):
        PartSettings(distance=-1)


def test_a_deep_hole_is_a_gap_and_what_lies_beside_the_part_is_none():
    whole, holed = (
        Scan(synthesise("foam", kind, np.random.default_rng(3), 256, strength=2.5).depth) for kind in ("good", "hole")
    )
    before, after = (gap(each, relief_of(each, PartSettings())) for each in (whole, holed))
    assert after.max() > before.max() + 1
    mask = relief_of(holed, PartSettings()).mask
    edge = Scan(np.where(mask, holed.depth, np.nan).astype("f4"))  # nothing is measured of the support
    np.testing.assert_array_equal(gap(edge, relief_of(holed, PartSettings())) > 0, after > 0)


def test_the_outline_shrinks_where_a_piece_is_broken_off_and_not_where_nothing_was_measured():
    whole = scan(block(table()))
    broken, holed = Scan(whole.depth.copy()), Scan(whole.depth.copy())
    broken.depth[20:44, 48:56] = table()[20:44, 48:56]
    holed.depth[30:34, 38:42] = np.nan
    one, other, third = (outline(each, relief_of(each, PartSettings())) for each in (whole, broken, holed))
    assert (one - other)[0].max() == 9  # where the piece began, eight pixels inside, is one outside now
    assert (other - one)[1].max() == 9
    np.testing.assert_array_equal(one, third)
