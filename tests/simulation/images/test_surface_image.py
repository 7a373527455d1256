"""The simulated surfaces: what parts and defects look like, that a seed brings them back, how they are stored."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from endline.errors import EndlineError
from endline.simulation.images.placed_part import Pose
from endline.simulation.images.surface_defects import Damage, crack, dent, pit, scratch, stain, worn
from endline.simulation.images.surface_image import KINDS, Photograph, SurfaceSimulation, simulate, synthesise
from endline.simulation.images.surface_texture import Shot, Surface, filtered_noise, grid

SIZE = 128
TINY = SurfaceSimulation(normals=3, test_normals=2, faulty=7, size=SIZE)
DEFECTS = (crack, dent, pit, scratch, stain, worn)
Draw = Callable[[int, float, np.random.Generator], Damage]


def part(kind: str, number: int = 0, seed: int = 0, size: int = SIZE) -> Photograph:
    return synthesise(kind, np.random.default_rng([seed, number]), size)


def surface(number: int = 0, size: int = SIZE) -> Surface:
    return Surface.draw(np.random.default_rng(number), size)


def shot(number: int = 0) -> Shot:
    return Shot.draw(np.random.default_rng(number))


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_part_comes_back_from_its_seed_and_number_alone() -> None:
    np.testing.assert_array_equal(part("scratch").image, part("scratch").image)
    assert not np.array_equal(part("good").image, part("good", seed=1).image)
    assert not np.array_equal(part("good").image, part("good", number=1).image)


def test_good_part_is_a_grey_well_exposed_photograph_with_an_empty_mask() -> None:
    good = part("good", size=256)
    assert good.image.dtype == np.uint8
    assert good.image.shape == (256, 256, 3)
    assert good.mask.shape == (256, 256)
    assert not good.mask.any()
    assert np.mean((good.image == 0) | (good.image == 255)) < 1e-3
    assert np.ptp(good.image.mean(axis=(0, 1))) < 12  # nearly grey
    assert 10 < good.image.std() < 50


def test_parts_differ_in_more_than_their_noise() -> None:
    parts = np.stack([part("good", number).image for number in range(12)]).astype(np.float64)
    assert 3 < parts.mean(axis=(1, 2, 3)).std() < 15  # light and exposure
    contrast = np.log(parts.std(axis=(1, 2, 3)))
    assert 0.05 < contrast.std() < 0.4  # texture and gloss
    first, second = (parts[number].mean(axis=2).ravel() for number in (0, 1))
    assert np.corrcoef(first, second)[0, 1] < 0.6  # no pattern that all share, beyond the light


def test_marks_run_from_left_to_right() -> None:
    for number in range(4):
        image = part("good", number, size=256).image.mean(axis=2)
        across, along = (np.square(np.diff(image, n=1, axis=axis)[::2, ::2]).mean() for axis in (0, 1))
        assert across > 1.5 * along


def test_light_from_above_falls_off_towards_the_bottom_and_brightens_slopes_that_face_it() -> None:
    flat = np.zeros((SIZE, SIZE), dtype=np.float32)
    albedo = np.full_like(flat, 0.4)
    image = shot().take(Surface(flat, flat, albedo, flat))[:, :, 1]
    assert image[:20].mean() > image[-20:].mean()
    tilted = (0.2 * grid(SIZE)[0]).astype(np.float32)  # rises downwards, so that it faces the top
    facing = shot().take(Surface(flat, tilted, albedo, flat))[:, :, 1]
    averted = shot().take(Surface(flat, -tilted, albedo, flat))[:, :, 1]
    assert np.all(facing > image)
    assert np.all(averted < image)


def test_lambert_shading_of_a_flat_surface_is_the_cosine_of_the_light() -> None:
    flat = np.zeros((SIZE, SIZE), dtype=np.float32)
    lamp = Shot(light=(0.0, 0.0, 1200.0), exposure=1.0, tint=(1.0, 1.0, 1.0), centre=(128, 128), vignetting=0, blur=0.1)
    image = lamp.take(Surface(flat, flat, flat + 0.5, flat))
    middle, corner = image[64, 64], image[0, 0]
    np.testing.assert_allclose(middle, 0.5, rtol=1e-5)
    squared = 1200**2 + 2 * 127.0**2  # distance of the first pixel's centre
    np.testing.assert_allclose(corner, 0.5 * (1200**2 / squared) * (1200 / np.sqrt(squared)), rtol=1e-5)


def test_filtered_noise_has_the_spectrum_that_it_is_given() -> None:
    weights = np.zeros((64, 33), dtype=np.float32)
    weights[5, 3] = 1
    noise = filtered_noise(weights, np.random.default_rng(0))
    assert abs(noise.mean()) < 1e-6
    assert abs(noise.std() - 1) < 1e-5
    spectrum = np.abs(np.fft.rfft2(noise))
    assert spectrum.argmax() == 5 * 33 + 3
    assert spectrum[5, 3] > 0.999 * np.sqrt(np.square(spectrum).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_mask_is_exactly_where_the_photograph_differs_from_that_of_the_undamaged_part(kind: str) -> None:
    for number in range(12):
        good, damaged = part("good", number), part(kind, number)
        np.testing.assert_array_equal(np.any(good.image != damaged.image, axis=2), damaged.mask)
        assert 10 < damaged.mask.sum() < 0.25 * SIZE**2


@pytest.mark.parametrize("kind", KINDS)
def test_defects_reach_from_a_second_look_to_plain(kind: str) -> None:
    changes = []
    for number in range(16):
        good, damaged = part("good", number), part(kind, number)
        changed = np.abs(damaged.image.astype(np.float64) - good.image)[damaged.mask]
        changes.append(float(changed.mean() / good.image.std()))  # against the texture that it hides in
    assert 0.1 < min(changes) < 0.6
    assert max(changes) > 1.8 * min(changes)
    assert max(changes) < 2


@pytest.mark.parametrize("draw", DEFECTS)
def test_no_strength_is_no_defect(draw: Draw) -> None:
    whole = surface()
    damaged = draw(SIZE, 0.0, np.random.default_rng(1)).apply(whole)
    np.testing.assert_array_equal(shot().take(damaged), shot().take(whole))


@pytest.mark.parametrize("draw", DEFECTS)
def test_more_strength_changes_more(draw: Draw) -> None:
    whole = surface()
    good = shot().take(whole)

    def change(strength: float) -> float:
        damaged = draw(SIZE, strength, np.random.default_rng(2)).apply(whole)
        return float(np.abs(shot().take(damaged) - good).sum())

    assert change(0.4) > 1.3 * change(0.2) > 0


def test_scratch_is_a_thin_groove_of_its_depth_with_burrs() -> None:
    height = np.asarray(scratch(256, 0.5, np.random.default_rng(3)).height)
    assert -0.7 < height.min() < -0.35
    assert 0.05 < height.max() < 0.3
    assert np.mean(height < -0.05) < 0.02
    rows, columns = np.nonzero(height < -0.05)
    assert np.hypot(np.ptp(rows), np.ptp(columns)) > 30


def test_crack_and_stain_take_light_and_leave_the_height() -> None:
    for draw in (crack, stain):
        damage = draw(256, 0.5, np.random.default_rng(4))
        albedo = np.asarray(damage.albedo)
        assert np.max(albedo) <= 1
        assert 0.3 < np.min(albedo) < 0.7
        assert damage.height == 0


def test_pits_are_round_and_as_deep_as_their_strength_says() -> None:
    height = np.asarray(pit(512, 0.5, np.random.default_rng(5)).height)
    assert height.max() == 0
    assert -2 * 0.5 * 4.5 < height.min() < -0.5 * 1.8 * 0.8  # radii 1.8 to 4.5; two of them may meet
    assert np.mean(height < 0) < 0.01


def test_dent_is_as_steep_as_its_strength_says() -> None:
    slopes = []
    for number in range(8):
        height = np.asarray(dent(256, 0.1, np.random.default_rng(number)).height, dtype=np.float64)
        slopes.append(np.hypot(*np.gradient(height)).max())
    assert 0.08 < np.median(slopes) < 0.2  # an ellipse is steeper along its short axis


def test_worn_patch_is_smoother_than_its_surroundings() -> None:
    for number in range(6):
        whole = surface(number, 256)
        damaged = worn(256, 1.0, np.random.default_rng(number)).apply(whole)
        bare = damaged.texture == 0
        assert bare.mean() > 0.003
        roughness = np.abs(np.diff(shot().take(damaged)[:, :, 1], axis=0))
        before = np.abs(np.diff(shot().take(whole)[:, :, 1], axis=0))
        assert roughness[bare[1:] & bare[:-1]].mean() < 0.6 * before[bare[1:] & bare[:-1]].mean()


def test_simulate_writes_the_set_once_in_the_layout_of_mvtec_ad(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = simulate(tmp_path / "deep" / "raw", TINY, lambda done, total: seen.append((done, total)))
    assert folder == tmp_path / "deep" / "raw"
    assert seen == [(i, 12) for i in range(1, 13)]
    counts = {"crack": 2} | dict.fromkeys(("dent", "pit", "scratch", "stain", "worn"), 1)
    expected = {"simulation.json"}
    expected |= {f"surface/train/good/{i:03d}.png" for i in range(3)}
    expected |= {f"surface/test/good/{i:03d}.png" for i in range(2)}
    expected |= {f"surface/test/{kind}/{i:03d}.png" for kind, count in counts.items() for i in range(count)}
    expected |= {
        f"surface/ground_truth/{kind}/{i:03d}_mask.png" for kind, count in counts.items() for i in range(count)
    }
    assert set(contents(folder)) == expected
    simulate(folder, TINY, lambda done, total: seen.append((done, total)))
    assert len(seen) == 12  # complete: nothing is done again
    assert [path.name for path in folder.parent.iterdir()] == ["raw"]


def test_the_set_is_marked_as_simulated(tmp_path: Path) -> None:
    described = json.loads((simulate(tmp_path / "raw", TINY) / "simulation.json").read_text())
    assert described["simulated"] is True
    assert described["note"] == "simulated photographs of ground metal surfaces; no real part was photographed"
    own = {"normals": 3, "test_normals": 2, "faulty": 7, "size": SIZE, "seed": 0, "pose": "whole", "exposure": 0.0}
    assert described["settings"] == own


def test_stored_photographs_and_masks_are_the_synthesised_ones(tmp_path: Path) -> None:
    folder = simulate(tmp_path / "raw", TINY) / "surface"
    stored = pixels(folder / "test" / "dent" / "000.png")
    mask = pixels(folder / "ground_truth" / "dent" / "000_mask.png")
    made = synthesise("dent", np.random.default_rng([0, 2 + list(KINDS).index("dent"), 0]), SIZE)
    np.testing.assert_array_equal(stored, made.image)
    np.testing.assert_array_equal(mask, np.where(made.mask, 255, 0))
    photographs = [pixels(path).tobytes() for path in folder.rglob("*.png") if "ground_truth" not in path.parts]
    assert len(set(photographs)) == 12  # no part is photographed twice


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_photographs(tmp_path: Path) -> None:
    first = contents(simulate(tmp_path / "first", TINY))
    assert first == contents(simulate(tmp_path / "second", TINY))
    other = contents(simulate(tmp_path / "other", SurfaceSimulation(3, 2, 7, SIZE, seed=1)))
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first)


def test_a_larger_set_keeps_the_photographs_of_the_smaller_one(tmp_path: Path) -> None:
    small = contents(simulate(tmp_path / "small", TINY))
    large = contents(simulate(tmp_path / "large", SurfaceSimulation(5, 3, 9, SIZE)))
    assert all(large[name] == content for name, content in small.items() if name != "simulation.json")


def test_a_set_without_faulty_parts_has_no_masks(tmp_path: Path) -> None:
    folder = simulate(tmp_path / "raw", SurfaceSimulation(normals=1, test_normals=0, faulty=0, size=SIZE))
    assert set(contents(folder)) == {"simulation.json", "surface/train/good/000.png"}


def test_killed_simulation_leaves_no_folder_and_can_be_started_again(tmp_path: Path) -> None:
    def kill(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "raw", TINY, kill)
    assert list(tmp_path.iterdir()) == []
    simulate(tmp_path / "raw", TINY)
    assert len(contents(tmp_path / "raw")) == 20


def test_other_settings_replace_a_simulated_set(tmp_path: Path) -> None:
    simulate(tmp_path / "raw", TINY)
    simulate(tmp_path / "raw", SurfaceSimulation(normals=2, test_normals=0, faulty=1, size=SIZE, seed=5))
    assert len(contents(tmp_path / "raw")) == 5
    assert json.loads((tmp_path / "raw" / "simulation.json").read_text())["settings"]["seed"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize("name", ["surface/train/good/001.png", "surface/ground_truth/pit/000_mask.png"])
def test_a_damaged_set_is_made_again(tmp_path: Path, name: str) -> None:
    simulate(tmp_path / "raw", TINY)
    whole = contents(tmp_path / "raw")
    (tmp_path / "raw" / name).unlink()
    simulate(tmp_path / "raw", TINY)
    assert contents(tmp_path / "raw") == whole


@pytest.mark.parametrize("name", ["surface/train/good/mine.png", "surface/notes.txt", "screw/train/good/000.png"])
def test_foreign_files_are_never_touched(tmp_path: Path, name: str) -> None:
    simulate(tmp_path / "raw", TINY)
    (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "raw" / name).write_text("mine")
    before = contents(tmp_path / "raw")
    with pytest.raises(EndlineError) as caught:
        simulate(tmp_path / "raw", SurfaceSimulation(normals=1, faulty=0, size=SIZE))
    assert str(caught.value) == (
        f"{tmp_path / 'raw'} holds {name}, which no simulation wrote, and is left as it is; "
        "give another folder for the simulated photographs, or move this file away."
    )
    assert contents(tmp_path / "raw") == before


def test_real_photographs_without_the_mark_are_never_touched(tmp_path: Path) -> None:
    real = tmp_path / "surface" / "train" / "good" / "000.png"
    real.parent.mkdir(parents=True)
    real.write_bytes(b"real")
    with pytest.raises(EndlineError, match=r"holds surface/train/good/000.png, which no simulation wrote"):
        simulate(tmp_path, TINY)
    assert contents(tmp_path) == {"surface/train/good/000.png": b"real"}


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("mine")
    with pytest.raises(EndlineError) as caught:
        simulate(tmp_path / "raw", TINY)
    assert str(caught.value) == f"{tmp_path / 'raw'} is a file; give a folder for the simulated photographs."
    assert (tmp_path / "raw").read_text() == "mine"


def test_a_full_disk_is_a_sentence_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(EndlineError) as caught:
        simulate(tmp_path / "raw", TINY)
    assert str(caught.value) == (
        f"The simulated photographs cannot be written to {tmp_path / 'raw'} ([Errno 28] No space left on device); "
        "make the folder writable and free 1 MB, or give another folder."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"normals": -1}, "The simulation's normals is -1; give at least 0."),
        ({"test_normals": -2}, "The simulation's test_normals is -2; give at least 0."),
        ({"faulty": float("nan")}, "The simulation's faulty is nan; give at least 0."),
        ({"size": 64}, "The simulation's size is 64; give at least 128."),
        ({"seed": -1}, "The simulation's seed is -1; give at least 0."),
        (
            {"normals": 0, "test_normals": 0, "faulty": 0},
            "The simulation has no photographs; set normals, test_normals or faulty above 0.",
        ),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, int], words: str) -> None:
    with pytest.raises(EndlineError) as caught:
        SurfaceSimulation(**setting)
    assert str(caught.value) == words


def test_an_unknown_defect_is_refused() -> None:
    with pytest.raises(EndlineError) as caught:
        part("rust")
    assert str(caught.value) == (
        "The simulation knows no defect 'rust'; choose good, crack, dent, pit, scratch, stain, worn."
    )


@pytest.mark.parametrize("pose", ["aligned", "any"])
def test_a_plate_lies_on_a_table_and_its_defect_on_the_plate(pose):
    for number, kind in enumerate(KINDS):
        good, odd = (synthesise(name, np.random.default_rng(number), SIZE, pose=pose) for name in ("good", kind))
        np.testing.assert_array_equal(good.image[~odd.mask], odd.image[~odd.mask])
        assert odd.mask.any()
        border = np.concatenate([good.image[:4].reshape(-1, 3), good.image[-4:].reshape(-1, 3)])
        assert border.mean() < 60  # the table is dark
        assert good.image[odd.mask].mean() > border.mean() + 20


def test_any_angle_is_any_and_aligned_is_none():
    def middle(pose: str) -> list[tuple[float, float]]:
        bright = [synthesise("good", np.random.default_rng(n), SIZE, pose=pose).image.mean(2) > 70 for n in range(8)]
        return [tuple(np.argwhere(each).mean(0) / SIZE) for each in bright]

    assert np.std(middle("aligned"), axis=0).max() < 0.01
    assert np.std(middle("any"), axis=0).min() > 0.02


def test_a_pose_moves_what_it_lays_by_what_it_says():
    lit = np.full((SIZE, SIZE, 3), 0.8, np.float32)
    upright, turned = Pose.aligned().laid(lit), Pose(np.pi / 2, 0.0, 0.0).laid(lit)
    np.testing.assert_allclose(np.rot90(upright), turned, atol=0.02)
    shifted = Pose(0.0, 0.1, -0.05).laid(lit)
    moved = np.roll(upright, (round(0.1 * SIZE), round(-0.05 * SIZE)), (0, 1))
    assert np.abs(moved - shifted).mean() < 0.01


def test_exposures_differ_in_brightness_alone():
    plain = [synthesise("good", np.random.default_rng(n), SIZE).image.mean() for n in range(6)]
    spread = [synthesise("good", np.random.default_rng(n), SIZE, exposure=0.3).image.mean() for n in range(6)]
    assert np.std(np.log(np.array(spread) / plain)) > 0.1


def test_an_unknown_pose_is_refused():
    with pytest.raises(EndlineError, match="knows no pose 'upside': choose one of whole, aligned, any"):
        SurfaceSimulation(pose="upside")
