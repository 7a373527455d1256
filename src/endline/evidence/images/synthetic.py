"""Synthetic faults of photographs: a patch of the same picture elsewhere, scratches, blobs, blur, shade."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from endline.evidence.images.features import ImagePreparation
from endline.evidence.images.photographs import read_indexed_image
from endline.evidence.synthetic import Alter, altered_copies, items_of
from endline.files import file_digest

Picture = NDArray[np.uint8]
Plane = NDArray[np.float64]
LOOKED_AT = 16  # photographs whose contrast is measured
GRID = 32  # cells of a side, among which the place of a fault is drawn
LARGEST = 2.0  # standard deviations of the grey values of normal photographs, by which the clearest fault shades


def synthesise(
    samples: pd.DataFrame, folder: Path, target: Path, preparation: ImagePreparation, seed: int
) -> pd.DataFrame:
    """Altered copies of normal photographs as PNG; see `Station.synthesise`."""

    def read(path: str) -> Picture:
        return read_indexed_image(folder / path, preparation.scale, preparation.megapixels)

    def write(rows: pd.DataFrame, picture: Picture, name: str) -> pd.DataFrame:
        path = target / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, compress_level=1)
        return rows.assign(sample_id=f"{name}.png", path=f"{name}.png", digest=file_digest(path))

    contrast = float(np.mean([read(path).mean(2).std() for path in samples["path"][:LOOKED_AT]]))
    items = items_of(samples)
    originals = ((rows, read(rows["path"].iloc[0])) for rows in items)  # one photograph in memory at a time
    return altered_copies(originals, image_faults(max(contrast, 1.0)), write, seed)


def image_faults(contrast: float) -> dict[str, Alter[Picture]]:
    """Faults of photographs whose grey values have a standard deviation of `contrast` (of 0..255).

    The patch is that of CutPaste (Li et al. 2021, section 2.1). Faults lie where there is something to see: places are
    drawn by how much the picture varies there.

    Example:
        >>> picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
        >>> scratched = image_faults(40.0)["scratch"](picture, 1.0, np.random.default_rng(1))
        >>> scratched.shape, bool((scratched != picture).any())
        ((64, 96, 3), True)
    """
    changes: dict[str, Callable[[Plane, float, float, Generator], Plane]] = {
        "patch": _patch,
        "scratch": _scratch,
        "blob": _blob,
        "blur": _blur,
        "shade": _shade,
    }

    def altered(change: Callable[..., Plane], picture: Picture, strength: float, rng: Generator) -> Picture:
        values = change(picture.astype(np.float64), contrast * LARGEST * strength, strength, rng)
        return np.rint(np.clip(values, 0, 255)).astype(np.uint8)

    return {name: partial(altered, change) for name, change in changes.items()}


def _place(image: Plane, rng: Generator) -> tuple[int, int]:
    """Row and column of a place where the picture (H, W, 3) varies."""
    height, width = image.shape[:2]
    rows, columns = min(GRID, height // 2), min(GRID, width // 2)
    grey = image[: height - height % rows, : width - width % columns].mean(2)
    cells = grey.reshape(rows, len(grey) // rows, columns, -1).std((1, 3)).ravel() + 1e-6
    cell = int(rng.choice(len(cells), p=cells / cells.sum()))
    row, column = (cell // columns + rng.random()) * height / rows, (cell % columns + rng.random()) * width / columns
    return min(height - 1, int(row)), min(width - 1, int(column))


def turned_axes(shape: tuple[int, ...], row: int, column: int, angle: float) -> tuple[Plane, Plane]:
    """Pixels (height, width) along a direction through a place, and across it.

    Args:
        shape: of the picture or scan, height and width first.
        row: of the place.
        column: of it.
        angle: of the direction, radians.

    Example:
        >>> along, across = turned_axes((2, 3), 0, 1, 0.0)
        >>> along[0].tolist(), across[1].tolist()
        ([-1.0, 0.0, 1.0], [1.0, 1.0, 1.0])
    """
    y, x = np.arange(shape[0])[:, None] - row, np.arange(shape[1])[None, :] - column
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _ellipse(image: Plane, radius: float, rng: Generator) -> Plane:
    """Soft mask (H, W, 1) in [0, 1] of a turned ellipse, `radius` in shares of the smaller side."""
    height, width = image.shape[:2]
    row, column = _place(image, rng)
    angle, longer = float(rng.uniform(0, np.pi)), float(rng.uniform(1.0, 2.0))
    size = max(1.5, radius * min(height, width))
    along, across = turned_axes((height, width), row, column, angle)
    distance = np.sqrt((along / longer) ** 2 + across**2) / size
    mask: Plane = np.clip((1.25 - distance) / 0.5, 0, 1)[..., None]
    return mask


def _patch(image: Plane, size: float, strength: float, rng: Generator) -> Plane:
    height, width = image.shape[:2]
    area, aspect = 0.04 * strength * height * width, float(np.exp(rng.uniform(np.log(0.3), np.log(3.3))))
    rows = int(np.clip(round(np.sqrt(area * aspect)), 2, height // 2))
    columns = int(np.clip(round(np.sqrt(area / aspect)), 2, width // 2))
    (top, left), (row, column) = _place(image, rng), _place(image, rng)
    top, left = min(top, height - rows), min(left, width - columns)
    row, column = min(row, height - rows), min(column, width - columns)
    pasted = image.copy()
    pasted[row : row + rows, column : column + columns] = image[top : top + rows, left : left + columns]
    return pasted


def _scratch(image: Plane, size: float, strength: float, rng: Generator) -> Plane:
    """A thin line that bends, darker or brighter than what is there."""
    height, width = image.shape[:2]
    diagonal = float(np.hypot(height, width))
    row, column = _place(image, rng)
    steps = max(8, round(float(rng.uniform(0.05, 0.1 + 0.3 * strength)) * diagonal))
    directions = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.5 / np.sqrt(steps), steps))
    rows = np.rint(row + np.cumsum(np.sin(directions))).astype(int)
    columns = np.rint(column + np.cumsum(np.cos(directions))).astype(int)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    line = np.zeros((height, width))
    line[rows[inside], columns[inside]] = 1.0
    line = gaussian_filter(line, max(0.6, 0.0015 * diagonal))
    return np.asarray(image + _sign(rng) * 2 * size * line[..., None] / max(line.max(), 1e-12), np.float64)


def _blob(image: Plane, size: float, strength: float, rng: Generator) -> Plane:
    has_colour = bool(np.ptp(image, 2).any())
    tint = rng.uniform(0.7, 1.3, 3) if has_colour else np.ones(3)
    return image + _sign(rng) * size * tint * _ellipse(image, float(rng.uniform(0.01, 0.04)), rng)


def _blur(image: Plane, size: float, strength: float, rng: Generator) -> Plane:
    mask = _ellipse(image, 0.03 + 0.1 * strength, rng)
    sigma = max(0.7, 0.02 * strength * min(image.shape[:2]))
    return image + mask * (gaussian_filter(image, (sigma, sigma, 0)) - image)


def _shade(image: Plane, size: float, strength: float, rng: Generator) -> Plane:
    """A wide patch that is darker or brighter."""
    height, width = image.shape[:2]
    row, column = _place(image, rng)
    radius = float(rng.uniform(0.1, 0.25)) * min(height, width)
    y, x = np.arange(height)[:, None] - row, np.arange(width)[None, :] - column
    return np.asarray(image + _sign(rng) * 0.5 * size * np.exp(-(x**2 + y**2) / (2 * radius**2))[..., None], np.float64)


def _sign(rng: Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))
