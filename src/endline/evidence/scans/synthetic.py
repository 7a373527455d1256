"""Synthetic faults of scanned parts: those of photographs, and dents, bumps, grooves and bends of the depth."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, median_filter

from endline.evidence.images.photographs import read_indexed_image
from endline.evidence.images.synthetic import LOOKED_AT, image_faults, turned_axes
from endline.evidence.scans.features import ScanPreparation
from endline.evidence.scans.scan import Scan
from endline.evidence.synthetic import Alter, altered_copies, items_of
from endline.files import content_key, file_digest

Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]
LARGEST = 1.0  # standard deviations of a part's own depths, by which the clearest fault moves its surface
VISIBLE = 20.0  # standard deviations of the sensor's noise, by which it moves it at least


class Pair(NamedTuple):
    """What the files of a part hold; either half may lack.

    Attributes:
        photograph: uint8 (H, W, 3), or None.
        scan: or None.
        part: bool (h, w) of the scan, where the part stands out of its support; None without a scan.

    Example:
        >>> Pair(np.zeros((4, 4, 3), np.uint8), None, None).scan is None
        True
    """

    photograph: Picture | None
    scan: Scan | None
    part: NDArray[np.bool_] | None


def synthesise(
    samples: pd.DataFrame, folder: Path, target: Path, preparation: ScanPreparation, seed: int
) -> pd.DataFrame:
    """Altered copies of normal parts, photographs as PNG and scans as npy; see `Station.synthesise`."""

    def photograph(row: Mapping[Any, Any]) -> Picture | None:
        if row["path"] == row["depth_path"]:
            return None
        return read_indexed_image(folder / row["path"], preparation.scale, preparation.megapixels)

    def read(rows: pd.DataFrame) -> Pair:
        row = rows.to_dict("records")[0]
        if pd.isna(row["depth_path"]):
            return Pair(photograph(row), None, None)
        scan, relief = preparation.relief(folder / row["depth_path"])
        return Pair(photograph(row), scan, relief.mask)

    def write(rows: pd.DataFrame, pair: Pair, name: str) -> pd.DataFrame:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        made: dict[str, str] = {}
        if pair.scan is not None:
            np.save(target / f"{name}.npy", preparation.reading.values_of(pair.scan))
            made = {"path": f"{name}.npy", "depth_path": f"{name}.npy"}
            made["depth_digest"] = file_digest(target / f"{name}.npy")
        if pair.photograph is not None:
            Image.fromarray(pair.photograph).save(target / f"{name}.png", compress_level=1)
            made |= {"path": f"{name}.png", "photograph_digest": file_digest(target / f"{name}.png")}
        digest = content_key(made.get("photograph_digest"), made.get("depth_digest"))
        return rows.assign(sample_id=made["path"], digest=digest, **made)

    looked_at = [photograph(row) for row in samples[:LOOKED_AT].to_dict("records")]
    contrast = [float(picture.mean(2).std()) for picture in looked_at if picture is not None]
    faults = pair_faults(
        max(float(np.mean(contrast)), 1.0) if contrast else None, bool(samples["depth_path"].notna().any())
    )
    return altered_copies(((rows, read(rows)) for rows in items_of(samples)), faults, write, seed)


def pair_faults(contrast: float | None, scanned: bool) -> dict[str, Alter[Pair]]:
    """Faults of photographs alone and of depth alone, by name.

    Args:
        contrast: standard deviation of the grey values of normal photographs, of 0..255; None without photographs.
        scanned: whether there are scans.

    Example:
        >>> sorted(pair_faults(None, scanned=True))
        ['bend', 'bump', 'dent', 'groove']
    """
    shapes: dict[str, Callable[[NDArray[np.bool_], Generator], Plane]] = {
        "dent": _hollow,
        "bump": lambda part, rng: -_hollow(part, rng),
        "groove": _groove,
        "bend": _bend,
    }
    seen = {} if contrast is None else image_faults(contrast)
    return {
        **{name: partial(_painted, alter) for name, alter in seen.items()},
        **({name: partial(_moved, shape) for name, shape in shapes.items()} if scanned else {}),
    }


def _painted(alter: Alter[Picture], pair: Pair, strength: float, rng: Generator) -> Pair:
    return pair if pair.photograph is None else pair._replace(photograph=alter(pair.photograph, strength, rng))


def _moved(shape: Callable[[NDArray[np.bool_], Generator], Plane], pair: Pair, strength: float, rng: Generator) -> Pair:
    """The part with its surface moved away from the sensor by a shape of height 1, its strength in mm."""
    if pair.scan is None or pair.part is None:
        return pair
    depth = pair.scan.depth
    known = np.where(pair.part & np.isfinite(depth), depth, np.nan)
    noise = float(np.nanmedian(np.abs(known - median_filter(known, 3)))) * 1.48
    largest = max(LARGEST * float(np.nanstd(known)), VISIBLE * (noise if np.isfinite(noise) else 0.0))
    moved = depth + np.float32(strength * largest) * shape(pair.part, rng) * pair.part
    return pair._replace(scan=Scan(moved.astype(np.float32), pair.scan.x, pair.scan.y, pair.scan.pitch))


def _place(part: NDArray[np.bool_], rng: Generator) -> tuple[int, int]:
    row, column = np.unravel_index(rng.choice(np.flatnonzero(part)), part.shape)
    return int(row), int(column)


def _side(part: NDArray[np.bool_]) -> float:
    """Side of a square as large as the part, pixels."""
    return float(np.sqrt(part.sum()))


def _hollow(part: NDArray[np.bool_], rng: Generator) -> Plane:
    """A smooth hollow, round or oval, of 3 to 12 % of the part's side."""
    (row, column), angle = _place(part, rng), float(rng.uniform(0, np.pi))
    size, longer = float(rng.uniform(0.03, 0.12)) * _side(part), float(rng.uniform(1.0, 2.0))
    along, across = turned_axes(part.shape, row, column, angle)
    return np.asarray(np.exp(-0.5 * ((along / longer) ** 2 + across**2) / max(size, 1.0) ** 2), np.float32)


def _groove(part: NDArray[np.bool_], rng: Generator) -> Plane:
    """A thin straight groove, 10 to 50 % of the part's side long."""
    (row, column), angle = _place(part, rng), float(rng.uniform(0, np.pi))
    length, width = float(rng.uniform(0.1, 0.5)) * _side(part), max(1.0, 0.01 * _side(part))
    along, across = turned_axes(part.shape, row, column, angle)
    line = gaussian_filter(((np.abs(along) <= length / 2) & (np.abs(across) <= width)).astype(np.float32), width)
    return np.asarray(line / max(float(line.max()), 1e-12), np.float32)


def _bend(part: NDArray[np.bool_], rng: Generator) -> Plane:
    """The part beyond a line through it bent away, farthest at its end."""
    (row, column), angle = _place(part, rng), float(rng.uniform(0, 2 * np.pi))
    along, _ = turned_axes(part.shape, row, column, angle)
    beyond = np.where(part, np.clip(along, 0, None), 0)
    return np.asarray(beyond / max(float(beyond.max()), 1.0), np.float32)
