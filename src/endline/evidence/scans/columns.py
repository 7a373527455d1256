"""What the index notes of a photograph and of a scan, and whether they go together and with those that trained."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from endline.errors import FileRejected
from endline.evidence.images.decoding import MEGAPIXELS, file_facts
from endline.evidence.images.looks import look_of
from endline.evidence.images.pages import page_count
from endline.evidence.images.photographs import read_photograph
from endline.evidence.scans.preparing import PartSettings, relief_of
from endline.evidence.scans.reading import ScanReading
from endline.files import file_digest

SHAPES = 0.05  # by which the ratio of the sides of a photograph and its scan may differ
SIZES = 0.1  # by which the sides of a scan may differ from those of the training scans
Columns = dict[str, Any]


def photograph_columns(path: Path, megapixels: float = MEGAPIXELS) -> Columns:
    """Columns of a photograph, those of the station of photographs: size, peak, look, pages and facts of the file.

    Raises:
        FileRejected, OSError: as `read_photograph`.
    """
    read = read_photograph(path, megapixels)
    height, width = read.values.shape[:2]
    return {
        "height": height,
        "width": width,
        "peak": read.peak,
        "look_hash": look_of(read.values),
        "photograph_digest": file_digest(path),
        "pages": page_count(path),
        **file_facts(path),
    }


def scan_columns(path: Path, reading: ScanReading, part: PartSettings) -> Columns:
    """Columns of a scan.

    Returns:
        `scan_height, scan_width`; `scan_pages` of its file; `missing`, share of its pixels without a depth;
        `unmeasured`, the values that stand for none, as text; `support`, how it was found; `moved`, corners of it that
        had no measured pixel; `before`, mm by which the part lies before its support; `nearest, farthest`, mm relative
        to the part's mean; `depth_digest`.

    Raises:
        FileRejected, OSError: as `ScanReading.read` and `relief_of`.
    """
    scan = reading.read(path)
    relief = relief_of(scan, part)
    depths = relief.depth[relief.mask]
    nearest, farthest = np.percentile(depths, [0.5, 99.5])
    return {
        "scan_height": scan.depth.shape[0],
        "scan_width": scan.depth.shape[1],
        "scan_pages": scan.pages,
        "missing": float(np.mean(~np.isfinite(scan.depth))),
        "unmeasured": " and ".join(f"{value:.9g}" for value in scan.placeholders),
        "support": relief.way,
        "moved": " and ".join(relief.moved),
        "before": relief.before,
        "nearest": float(nearest),
        "farthest": float(farthest),
        "depth_digest": file_digest(path),
    }


def shapes(samples: pd.DataFrame) -> pd.DataFrame:
    """Columns `path`, `split`, `height` and `width` of parts: of the scan, where there is one, else the photograph.

    Args:
        samples: a sample table; that of a new part may have no `split`.
    """
    of = "scan_" if "scan_height" in samples and samples["scan_height"].notna().all() else ""
    table = samples.reindex(columns=["path", "split", f"{of}height", f"{of}width"])
    return table.set_axis(["path", "split", "height", "width"], axis=1)


def check_shapes(columns: Columns) -> None:
    """Refuse a photograph and a scan that do not show the same field: then no resizing lays one over the other.

    Raises:
        FileRejected: with their sizes.
    """
    if "height" not in columns or "scan_height" not in columns:
        return
    sizes = [(columns[f"{of}width"], columns[f"{of}height"]) for of in ("", "scan_")]
    ratios = [width / height for width, height in sizes]
    if abs(math.log(ratios[0] / ratios[1])) > SHAPES:
        raise FileRejected(
            f"the photograph has {sizes[0][0]} x {sizes[0][1]} pixels and its scan {sizes[1][0]} x {sizes[1][1]}: "
            f"their sides are as {ratios[0]:.2f} and {ratios[1]:.2f} to 1",
            "take the scan of this part, and crop both to the same field",
        )


def usual_sides(training: pd.DataFrame) -> tuple[int, int] | None:
    """Median height and width of the training scans, in pixels; None where any differs from them by more than a tenth.

    Args:
        training: rows of the sample table, `scan_height` and `scan_width`.

    Example:
        >>> usual_sides(pd.DataFrame({"scan_height": [128, 130, 128], "scan_width": 200}))
        (128, 200)
    """
    sizes = training[["scan_height", "scan_width"]].dropna()
    sides = (int(sizes["scan_height"].median()), int(sizes["scan_width"].median()))
    return None if any(sides_remark(row, sides) for row in sizes.to_dict("records")) else sides


def sides_remark(row: Mapping[Any, Any], sides: tuple[int, int] | None) -> str:
    """What is to be said of a scan's size: nothing where it is about that of those that train.

    Args:
        row: of the sample table, `scan_height` and `scan_width`.
        sides: see `usual_sides`.

    Example:
        >>> sides_remark({"scan_height": 130, "scan_width": 200}, (128, 200))
        ''
    """
    height, width = row["scan_height"], row["scan_width"]
    if sides is None or max(abs(math.log(height / sides[0])), abs(math.log(width / sides[1]))) <= math.log(1 + SIZES):
        return ""
    return (
        f"has {width:.0f} x {height:.0f} pixels, those that train {sides[1]} x {sides[0]}: what was not measured, and "
        "its outline, are measured in pixels, and may count as a fault. Scan it as those were."
    )


def check_direction(columns: Columns, before: float) -> None:
    """Refuse a scan whose depth runs the other way than those of the training scans.

    Args:
        columns: as `scan_columns` gives them.
        before: median of this column over the training scans, mm.

    Raises:
        FileRejected: with both numbers.

    Example:
        >>> check_direction({"before": -29.0}, before=30.0)
        Traceback (most recent call last):
        endline.errors.FileRejected: its part lies 29 mm behind its support, and those of the others 30 mm before it...
    """
    if before > 0 and columns["before"] < -0.5 * before:
        raise FileRejected(
            f"its part lies {-columns['before']:.3g} mm behind its support, and those of the others "
            f"{before:.3g} mm before it: its depth is inverted",
            "export the distance from the sensor, as of the others",
        )
