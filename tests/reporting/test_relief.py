"""Shaded relief, the view that turns, and the profile: what they show, and what they refuse."""

import base64

import numpy as np
import pytest

from endline.errors import EndlineError
from endline.reporting.profile_figure import profile_figure
from endline.reporting.relief import MISSING, raking_light, relief
from endline.reporting.turning_view import LONGEST, TurningView


def dented() -> np.ndarray:
    y, x = np.mgrid[:40, :40] - 20.0
    return 400 + 2 * np.exp(-(x**2 + y**2) / 30)  # farther away in the middle


def test_level_ground_is_even_whatever_the_lamp() -> None:
    for azimuth, elevation in ((0.0, 20.0), (135.0, 45.0), (315.0, 90.0)):
        picture = relief(np.full((9, 12), 400.0), 0.5, azimuth=azimuth, elevation=elevation)
        assert picture.shape == (9, 12, 3)
        assert picture.dtype == np.uint8
        assert np.ptp(picture, axis=(0, 1)).max() == 0
        assert 100 < picture.mean() < 220


def test_a_dent_is_dark_towards_the_lamp_and_bright_behind() -> None:
    left = relief(dented(), 1.0, azimuth=270.0)[20, :, 0].astype(int)
    assert left[15] < left[25]
    right = relief(dented(), 1.0, azimuth=90.0)[20, :, 0].astype(int)
    assert right[15] > right[25]
    above = relief(dented(), 1.0, azimuth=0.0)[:, 20, 0].astype(int)
    assert above[15] < above[25]


def test_a_lower_lamp_and_a_larger_gain_show_more() -> None:
    contrast = [np.ptp(relief(dented(), 1.0, elevation=e)[..., 0]) for e in (70.0, 45.0, 22.0)]
    assert contrast[0] < contrast[1] < contrast[2]
    assert np.ptp(relief(dented(), 1.0, gain=0.2)[..., 0]) < np.ptp(relief(dented(), 1.0)[..., 0])


def test_missing_pixels_have_their_own_colour_and_cast_no_shade() -> None:
    depth = np.full((20, 20), 400.0)
    depth[5, 5], depth[10, 10] = np.nan, np.inf
    picture = relief(depth, 1.0)
    assert tuple(picture[5, 5]) == MISSING == tuple(picture[10, 10])
    others = np.delete(picture.reshape(-1, 3), [5 * 20 + 5, 10 * 20 + 10], axis=0)
    assert np.ptp(others, axis=0).max() == 0
    assert (relief(np.full((3, 4), np.nan)) == MISSING).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_the_smallest_scans_are_drawn(shape: tuple[int, int]) -> None:
    assert relief(np.ones(shape)).shape == (*shape, 3)
    assert TurningView.of(np.ones(shape), None) is not None


def test_four_lamps_give_four_pictures() -> None:
    sheet = raking_light(dented(), 1.0)
    assert sheet.shape == (82, 82, 3)
    quarters = [sheet[:40, :40], sheet[:40, -40:], sheet[-40:, :40], sheet[-40:, -40:]]
    assert len({quarter.tobytes() for quarter in quarters}) == 4
    np.testing.assert_array_equal(quarters[0], relief(dented(), 1.0, azimuth=0.0, elevation=22.0))


@pytest.mark.parametrize(
    ("depth", "elevation", "words"),
    [
        (np.zeros((2, 3, 3)), 45.0, "The depth map has shape (2, 3, 3), not (height, width): give one scan at a time."),
        (np.zeros((0, 3)), 45.0, "The depth map has shape (0, 3), not (height, width): give one scan at a time."),
        (np.zeros((2, 3)), 0.0, "The lamp's elevation is 0.0 degrees: give one above 0 and up to 90."),
    ],
)
def test_relief_refuses_with_a_sentence(depth: np.ndarray, elevation: float, words: str) -> None:
    with pytest.raises(EndlineError) as caught:
        relief(depth, elevation=elevation)
    assert str(caught.value) == words


def test_a_view_that_turns_holds_heights_and_colours_at_a_fixed_size() -> None:
    depth = np.full((300, 600), 400.0)
    depth[:, 300:] = 390.0  # 10 mm nearer
    depth[0:10] = np.nan
    picture = np.zeros((30, 60, 3), np.uint8)
    picture[:, 30:] = (10, 20, 30)
    view = TurningView.of(depth, picture, pitch=0.5)
    assert view is not None
    assert view.heights.shape == (LONGEST // 2, LONGEST)
    assert not view.heights[0].any()
    assert set(np.unique(view.heights[5:])) == {1, 65535}
    assert (view.heights[5:, -10:] == 65535).all()
    assert tuple(view.colours[20, -1]) == (10, 20, 30)
    assert view.relief == pytest.approx(10 / (0.5 * 600 / LONGEST))
    written = view.attributes
    assert sum(len(text) for text in written.values()) < 150_000
    read = np.frombuffer(base64.b64decode(written["heights"]), "<u2").reshape(view.heights.shape)
    np.testing.assert_array_equal(read, view.heights)
    assert len(base64.b64decode(written["colours"])) == view.colours.size


def test_a_view_of_nothing_is_none_and_wrong_shapes_are_refused() -> None:
    assert TurningView.of(np.full((5, 5), np.nan), None) is None
    with pytest.raises(EndlineError) as caught:
        TurningView.of(np.zeros(5), None)
    assert str(caught.value) == "The depth map has shape (5,), not (height, width): give one scan at a time."
    with pytest.raises(EndlineError) as caught:
        TurningView.of(np.zeros((5, 5)), np.zeros((5, 5), np.uint8))
    assert str(caught.value) == "The picture has shape (5, 5), not (height, width, 3): give one in colour."


def test_the_profile_shows_both_parts_and_where() -> None:
    figure = profile_figure([0.0, 1.0, np.nan, 2.0], [0.0] * 4, step=0.5, unit="mm", hottest=0.75)
    (axis,) = figure.axes
    assert axis.get_xlabel() == "position in mm"
    assert axis.get_xlim() == (0, 2.0)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [
        "nearest normal",
        "this part",
        "largest map value",
    ]
    assert axis.lines[2].get_xdata()[0] == 1.5
    assert len(profile_figure([1.0, 2.0]).axes[0].lines) == 1


@pytest.mark.parametrize(
    ("own", "normal", "words"),
    [
        ([np.nan], None, "The profile holds no measured value: choose another line."),
        ([1.0, 2.0], [1.0], "The profiles have 2 and 1 values: give both at the same positions."),
    ],
)
def test_a_profile_that_cannot_be_drawn_is_refused(own: list[float], normal: list[float] | None, words: str) -> None:
    with pytest.raises(EndlineError) as caught:
        profile_figure(own, normal)
    assert str(caught.value) == words
