"""Tiny parts on a table: a block of foam, seen by a camera and by a scanner 600 mm above."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

ROOT = Path(__file__).parents[3]


def depth_of(seed: int, size: int = 64, height: float = 30.0, tilt: float = 4.0) -> np.ndarray:
    """Depth (size, size) in mm: a table that is tilted, a block on it, noise, and a dent of the seed -1."""
    rng = np.random.default_rng(abs(seed))
    depth = 600 + np.add.outer(np.linspace(0, tilt, size), np.linspace(0, tilt / 2, size))
    row, column = rng.integers(-size // 32, size // 32 + 1, 2)
    block = slice(size // 4 + row, 3 * size // 4 + row), slice(size // 4 + column, 3 * size // 4 + column)
    depth[block] -= height
    depth += rng.normal(0, 0.1, depth.shape)
    if seed < 0:
        depth[size // 2 - 4 : size // 2 + 4, size // 2 - 4 : size // 2 + 4] += 6
    return depth.astype(np.float32)


def xyz_of(depth: np.ndarray) -> np.ndarray:
    """The depth as x, y and z (H, W, 3), 2 mm from pixel to pixel, 0 where nothing was measured."""
    down, across = np.mgrid[: depth.shape[0], : depth.shape[1]] * 2.0
    xyz = np.stack([across, down, depth], -1).astype(np.float32)
    xyz[~np.isfinite(depth)] = 0
    return xyz


def photograph_of(seed: int, size: int = 64) -> np.ndarray:
    rng = np.random.default_rng(abs(seed))
    picture = np.full((size, size, 3), 40, np.uint8)
    picture[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = rng.integers(120, 160, (size // 2, size // 2, 3))
    if seed < 0:
        picture[size // 2 - 4 : size // 2 + 4, size // 2 - 4 : size // 2 + 4] = 20
    return picture


def mask_of(size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[size // 2 - 4 : size // 2 + 4, size // 2 - 4 : size // 2 + 4] = 255
    return mask


def save_photograph(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def save_scan(path: Path, xyz: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, xyz, photometric="rgb")
    return path


class Parts:
    """Depths, photographs and masks of these parts, and how they are saved."""

    depth = staticmethod(depth_of)
    xyz = staticmethod(xyz_of)
    photograph = staticmethod(photograph_of)
    mask = staticmethod(mask_of)
    save_photograph = staticmethod(save_photograph)
    save_scan = staticmethod(save_scan)


@pytest.fixture(scope="session")
def parts() -> type[Parts]:
    return Parts


@pytest.fixture(scope="session")
def make_mvtec() -> Callable[..., Path]:
    """Makes a category in the layout of MVTec 3D-AD below a folder."""

    def make(folder: Path, category: str = "foam", train: int = 6, good: int = 2, cut: int = 2) -> Path:
        number = 0
        for split, kind, count in (("train", "good", train), ("test", "good", good), ("test", "cut", cut)):
            for name in range(count):
                number += 1
                seed = -number if kind == "cut" else number
                place = folder / category / split / kind
                save_photograph(place / f"rgb/{name:03}.png", photograph_of(seed))
                save_scan(place / f"xyz/{name:03}.tiff", xyz_of(depth_of(seed)))
                if split == "test":
                    save_photograph(place / f"gt/{name:03}.png", mask_of() * (kind == "cut"))
        return folder

    return make


@pytest.fixture(scope="session")
def parameters() -> Callable[..., dict[str, Any]]:
    """Parameters `surface_scan.preparation` as the configuration has them, but for those that are given."""

    def made(**changes: Any) -> dict[str, Any]:
        text = (ROOT / "conf/base/parameters/surface_scan.yml").read_text()
        plain = yaml.safe_load(text)["surface_scan"]["preparation"]
        defaults = {name: _default(value) for name, value in plain.items()}
        return {**defaults, "size": 128, **changes}

    return made


def _default(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("${runtime_params:"):
        return yaml.safe_load(value.removeprefix("${runtime_params:").removesuffix("}").split(",", 1)[1])
    return value
