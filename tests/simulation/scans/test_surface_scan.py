"""The simulated scans: what parts, sensors and defects look like, that a seed brings them back, how they are stored."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from endline.errors import EndlineError
from endline.simulation.scans.part_defects import bent, bump, contamination, cut, dent, hole, stain
from endline.simulation.scans.parts import CATEGORIES, FIELD, Part
from endline.simulation.scans.scanner import DISTANCE, PROJECTOR, Scanner, positions
from endline.simulation.scans.surface_scan import (
    COLOUR_ONLY,
    DEPTH_ONLY,
    KINDS,
    Pair,
    ScanSimulation,
    simulate,
    synthesise,
)

SIZE = 128
TINY = ScanSimulation("foam", normals=2, validation_normals=1, test_normals=1, faulty=7, size=SIZE)
CASES = [(category, kind) for category in CATEGORIES for kind in KINDS]


@cache
def pair(category: str = "foam", kind: str = "good", number: int = 0, noise: float = 1.0) -> Pair:
    return synthesise(category, kind, np.random.default_rng([0, number]), SIZE, noise=noise)


def part(category: str, number: int = 0) -> Part:
    return Part.draw(category, np.random.default_rng(number), SIZE)


def scanner(noise: float = 0.0, number: int = 0) -> Scanner:
    return Scanner.draw(np.random.default_rng(number), SIZE, noise)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.bool_]:
    return (first == second) | (np.isnan(first) & np.isnan(second))


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_part_stands_on_the_support_whose_corners_stay_free(category: str) -> None:
    for number in range(3):
        made = part(category, number)
        assert 0.05 < made.inside.mean() < 0.5
        for corner in (made.inside[:8, :8], made.inside[:8, -8:], made.inside[-8:, :8], made.inside[-8:, -8:]):
            assert not corner.any()
        assert 14 < made.height.max() < 40  # mm
        assert np.mean(made.height[made.inside] > 7) > 0.9  # what a plane 7 mm above the support cuts off
        assert made.height[~made.inside].max() == 0
        assert made.colour.min() > 0
        assert made.colour.max() <= 1.2


@pytest.mark.parametrize("category", CATEGORIES)
def test_parts_of_a_series_differ_and_come_back_from_their_seed(category: str) -> None:
    np.testing.assert_array_equal(part(category).height, part(category).height)
    heights = np.stack([part(category, number).height for number in range(3)])
    assert np.abs(heights[0] - heights[1]).max() > 0.5
    assert heights.max(axis=(1, 2)).std() < 2.5  # but not in what they are


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_photograph_shows_colour_and_the_scan_measures_the_part(category: str) -> None:
    made = pair(category)
    assert made.image.dtype == np.uint8
    assert made.image.shape == (SIZE, SIZE, 3)
    assert np.mean((made.image == 0) | (made.image == 255)) < 0.02
    assert made.depth.dtype == np.float32
    assert DISTANCE - 45 < np.nanmin(made.depth) < DISTANCE - 10
    assert DISTANCE - 5 < np.nanmax(made.depth) < DISTANCE + 5
    assert 0.005 < np.isnan(made.depth).mean() < 0.2


def test_pixels_are_missing_in_the_shadow_of_the_projector_and_at_steep_flanks() -> None:
    block = np.zeros((SIZE, SIZE), np.float32)
    block[40:90, 40:70] = 20.0
    level = Scanner((0.0, 0.0), DISTANCE, *(np.zeros((SIZE, SIZE), np.float32),) * 2, np.zeros((SIZE, SIZE), np.bool_))
    missing = np.isnan(level.measure(block))
    shadow = round(20.0 / PROJECTOR / (FIELD / SIZE))  # pixels behind the block, to the right
    assert missing[60, 70 : 70 + shadow - 1].all()
    assert not missing[60, 70 + shadow + 2 :].any()
    assert missing[60, 39:41].all()  # the flank that the projector sees is steep
    assert not missing[60, :38].any()
    assert not missing[60, 43:67].any()
    ramp = np.tile(np.linspace(0, 60, SIZE, dtype=np.float32), (SIZE, 1))
    assert not np.isnan(level.measure(ramp)).any()


def test_the_support_is_tilted_and_noise_is_a_factor() -> None:
    flat = np.zeros((SIZE, SIZE), np.float32)
    tilts = []
    for number in range(20):
        still = scanner(0.0, number)
        depth = np.where(still.specks, np.nan, still.measure(flat))
        slopes = np.nanmean(np.diff(depth, axis=1)), np.nanmean(np.diff(depth, axis=0))
        np.testing.assert_allclose(slopes, -np.array(still.tilt) * FIELD / SIZE, atol=2e-4)
        tilts.append(np.hypot(*still.tilt))
    assert 0.003 < np.median(tilts) < 0.04
    noises = [np.nanstd(scanner(noise).measure(flat) - scanner(0.0).measure(flat)) for noise in (1.0, 3.0)]
    assert 0.03 < noises[0] < 0.1
    assert 2.5 < noises[1] / noises[0] < 3.5


def test_positions_are_those_of_a_pinhole_camera_in_mm() -> None:
    points = positions(np.full((SIZE, SIZE), DISTANCE, np.float32))
    assert points.shape == (SIZE, SIZE, 3)
    np.testing.assert_allclose(np.diff(points[5, :, 0]), FIELD / SIZE, atol=0.02)
    np.testing.assert_allclose(points[0, 0], [-(FIELD - FIELD / SIZE) / 2, -(FIELD - FIELD / SIZE) / 2, 400], atol=0.02)
    assert np.isnan(positions(np.full((4, 4), np.nan, np.float32))).all()


@pytest.mark.parametrize(("category", "kind"), CASES)
def test_a_defect_changes_what_its_kind_says_and_nothing_outside_of_its_mask(category: str, kind: str) -> None:
    good, damaged = pair(category), pair(category, kind)
    recoloured = np.any(good.image != damaged.image, axis=2)
    moved = ~same(good.depth, damaged.depth)
    assert 4 < damaged.mask.sum() < 0.45 * SIZE**2
    assert not (recoloured | moved)[~damaged.mask].any()
    assert recoloured.any() == (kind not in DEPTH_ONLY)
    assert moved.any() == (kind not in COLOUR_ONLY)
    if kind in DEPTH_ONLY:
        np.testing.assert_array_equal(good.image, damaged.image)
    if kind in COLOUR_ONLY:
        assert same(good.depth, damaged.depth).all()


@pytest.mark.parametrize(("category", "kind"), CASES)
def test_a_defect_stands_out_of_the_noise_in_its_mask(category: str, kind: str) -> None:
    good, damaged = pair(category, noise=0.0), pair(category, kind, noise=0.0)
    if kind not in COLOUR_ONLY:
        change = np.abs(good.depth - damaged.depth)[damaged.mask]
        assert np.isnan(change).mean() > 0.5 or np.nanmax(change) > 0.3
    if kind not in DEPTH_ONLY:
        change = np.abs(good.image.astype(float) - damaged.image).max(axis=2)[damaged.mask]
        assert change.max() > 12


@pytest.mark.parametrize("draw", [bent, bump, contamination, cut, dent, hole, stain])
def test_no_strength_is_no_defect_and_more_strength_changes_more(draw) -> None:  # type: ignore[no-untyped-def]
    whole = part("cable_gland")

    def change(strength: float) -> float:
        damaged = draw(whole, strength, np.random.default_rng(3)).apply(whole)
        return float(np.abs(damaged.height - whole.height).sum() + np.abs(damaged.colour - whole.colour).sum())

    assert change(0.0) == 0
    assert change(0.8) > 1.3 * change(0.4) > 0


def test_dents_go_down_and_bumps_up_by_their_strength() -> None:
    whole = part("foam")
    for number in range(6):
        assert -2.0 <= np.min(dent(whole, 2.0, np.random.default_rng(number)).height) < -1.5
        assert 1.5 < np.max(bump(whole, 2.0, np.random.default_rng(number)).height) <= 2.0
        assert np.min(hole(whole, 5.0, np.random.default_rng(number)).height) == -5.0
        assert np.max(bent(whole, 4.0, np.random.default_rng(number)).height) > 3.8


def test_strength_is_a_factor_on_every_kind() -> None:
    def deepest(strength: float) -> float:
        rng = np.random.default_rng([0, 0])
        made = synthesise("foam", "dent", rng, SIZE, strength=strength, noise=0.0)
        return float(np.nanmax(np.abs(made.depth - pair(noise=0.0).depth)))

    assert 1.7 < deepest(2.0) / deepest(1.0) < 2.3


def test_simulate_writes_the_set_once_in_the_layout_of_mvtec_3d_ad(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = simulate(tmp_path / "deep" / "raw", TINY, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 11) for i in range(1, 12)]
    pairs = [("train/good", 0), ("train/good", 1), ("validation/good", 0), ("test/good", 0)]
    pairs += [(f"test/{kind}", 0) for kind in KINDS]
    expected = {"simulation.json"}
    expected |= {f"foam/{where}/rgb/{i:03d}.png" for where, i in pairs}
    expected |= {f"foam/{where}/xyz/{i:03d}.tiff" for where, i in pairs}
    expected |= {f"foam/{where}/gt/{i:03d}.png" for where, i in pairs if where.startswith("test")}
    assert set(contents(folder)) == expected
    simulate(folder, TINY, lambda done, total: seen.append((done, total)))
    assert len(seen) == 11  # complete: nothing is done again
    described = json.loads((folder / "simulation.json").read_text())
    assert described["simulated"] is True
    assert (
        described["note"] == "simulated photographs and depth scans of parts, lengths in mm; no real part was scanned"
    )
    assert described["settings"]["categories"] == ["foam"]


def test_stored_pairs_and_masks_are_the_synthesised_ones(tmp_path: Path) -> None:
    folder = simulate(tmp_path / "raw", TINY) / "foam" / "test"
    numbers = [0, list(CATEGORIES).index("foam"), 3 + list(KINDS).index("cut"), 0]
    made = synthesise("foam", "cut", np.random.default_rng(numbers), SIZE)
    points = tifffile.imread(folder / "cut" / "xyz" / "000.tiff")
    assert points.dtype == np.float32
    assert points.shape == (SIZE, SIZE, 3)
    missing = np.isnan(made.depth)
    assert missing.any()
    np.testing.assert_array_equal(points[missing], 0)
    np.testing.assert_array_equal(points[..., 2][~missing], made.depth[~missing])
    with Image.open(folder / "cut" / "rgb" / "000.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), made.image)
    with Image.open(folder / "cut" / "gt" / "000.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), np.where(made.mask, 255, 0))
    with Image.open(folder / "good" / "gt" / "000.png") as stored:
        assert not np.asarray(stored).any()


def test_the_same_seed_gives_the_same_bytes_and_a_larger_set_keeps_them(tmp_path: Path) -> None:
    few = ScanSimulation("foam", normals=1, validation_normals=0, test_normals=0, faulty=1, size=SIZE)
    first = contents(simulate(tmp_path / "first", few))
    assert first == contents(simulate(tmp_path / "second", few))
    more = ScanSimulation("dowel,foam", normals=2, validation_normals=0, test_normals=0, faulty=1, size=SIZE)
    large = contents(simulate(tmp_path / "large", more))
    assert all(large[name] == content for name, content in first.items() if name != "simulation.json")
    other = contents(simulate(tmp_path / "other", ScanSimulation("foam", 1, 0, 0, 1, size=SIZE, seed=1)))
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first)


def test_a_killed_simulation_leaves_nothing_and_can_be_started_again(tmp_path: Path) -> None:
    def kill(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "raw", TINY, kill)
    assert list(tmp_path.iterdir()) == []
    simulate(tmp_path / "raw", TINY)
    assert len(contents(tmp_path / "raw")) == 31


@pytest.mark.parametrize("name", ["foam/train/good/xyz/mine.tiff", "foam/notes.txt", "carrot/train/good/rgb/000.png"])
def test_foreign_files_are_never_touched(tmp_path: Path, name: str) -> None:
    few = ScanSimulation("foam", normals=1, validation_normals=0, test_normals=0, faulty=0, size=SIZE)
    simulate(tmp_path / "raw", few)
    (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "raw" / name).write_text("mine")
    before = contents(tmp_path / "raw")
    with pytest.raises(EndlineError) as caught:
        simulate(tmp_path / "raw", TINY)
    assert str(caught.value) == (
        f"{tmp_path / 'raw'} holds {name}, which no simulation wrote, and is left as it is; "
        "give another folder for the simulated scans, or move this file away."
    )
    assert contents(tmp_path / "raw") == before


NAMES = "bagel, cable_gland, dowel, foam, tyre"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"normals": -1}, "The simulation's normals is -1; give at least 0."),
        ({"validation_normals": -1}, "The simulation's validation_normals is -1; give at least 0."),
        ({"faulty": -3}, "The simulation's faulty is -3; give at least 0."),
        ({"size": 64}, "The simulation's size is 64; give at least 128."),
        ({"noise": -0.1}, "The simulation's noise is -0.1; give at least 0."),
        ({"noise": float("nan")}, "The simulation's noise is nan; give at least 0."),
        ({"strength": 0.0}, "The simulation's strength is 0.0; give a number above 0."),
        ({"strength": float("inf")}, "The simulation's strength is inf; give a number above 0."),
        ({"categories": "carrot"}, f"The simulation knows no category 'carrot': choose all, or some of {NAMES}."),
        ({"categories": ()}, f"The simulation has no category: choose all, or some of {NAMES}."),
        (
            {"normals": 0, "validation_normals": 0, "test_normals": 0, "faulty": 0},
            "The simulation has no pairs; set normals, test_normals or faulty above 0.",
        ),
    ],
)
def test_settings_that_make_no_set_are_refused_with_a_sentence(setting: dict[str, float], words: str) -> None:
    with pytest.raises(EndlineError) as caught:
        ScanSimulation(**setting)  # type: ignore[arg-type]
    assert str(caught.value) == words


def test_an_unknown_defect_and_one_that_nobody_sees_are_refused() -> None:
    with pytest.raises(EndlineError) as caught:
        synthesise("foam", "rust", np.random.default_rng(0), SIZE)
    assert str(caught.value) == f"The simulation knows no defect 'rust'; choose good, {', '.join(KINDS)}."
    with pytest.raises(EndlineError) as caught:
        synthesise("foam", "dent", np.random.default_rng(0), SIZE, strength=0.01)
    assert str(caught.value) == (
        "In 50 tries no dent of a foam was seen: choose another seed, or a larger strength or size."
    )
