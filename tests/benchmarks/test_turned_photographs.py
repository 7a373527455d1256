from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield import_module("turned_photographs")


def marked(corner: tuple[int, int]) -> np.ndarray:
    """A grey photograph with a white spot, (60, 40, 3)."""
    pixels = np.full((60, 40, 3), 90, np.uint8)
    pixels[corner[0] : corner[0] + 6, corner[1] : corner[1] + 6] = 255
    return pixels


def test_a_mask_goes_with_its_photograph_and_nothing_is_cut_off(script, tmp_path):
    folder, target = tmp_path / "upright", tmp_path / "turned"
    for name, corner in (("000", (20, 20)), ("001", (40, 14))):
        for part in ("test/scratch", "ground_truth/scratch"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        pixels = marked(corner)
        Image.fromarray(pixels).save(folder / f"test/scratch/{name}.png")
        Image.fromarray(np.where(pixels[..., 0] == 255, 255, 0).astype(np.uint8)).save(
            folder / f"ground_truth/scratch/{name}.png"
        )
    assert script.turned(folder, target, seed=0) == 4
    places = []
    for name in ("000", "001"):
        photograph = np.asarray(Image.open(target / f"test/scratch/{name}.png"))[..., 0]
        mask = np.asarray(Image.open(target / f"ground_truth/scratch/{name}.png"))
        seen, told = np.argwhere(photograph > 180), np.argwhere(mask > 0)
        assert 25 < len(told) < 48
        assert np.abs(seen.mean(0) - told.mean(0)).max() < 1
        places.append(told.mean(0))
    assert np.abs(places[0] - places[1]).max() > 5


def test_a_pose_hangs_on_name_and_seed_alone(script):
    assert script.pose_of("test/good/000", 0) == script.pose_of("test/good/000", 0)
    assert script.pose_of("test/good/000", 0) != script.pose_of("test/good/000", 1)
    assert script.laid(Image.new("L", (30, 30)), 0.0, (0.0, 0.0)).mode == "L"
