"""How the scans of a set are read: unit, step of integers, which way is near; fitted where it is not given."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from endline.errors import EndlineError, FileRejected
from endline.evidence.decoded import DECODED
from endline.evidence.images.decoding import MEGAPIXELS
from endline.evidence.scans.point_grid import Field, fitted_field, gridded
from endline.evidence.scans.preparing import PartSettings, relief_of
from endline.evidence.scans.scan import Scan
from endline.evidence.scans.stored_scan import StoredScan, decode_scan

UNITS = {"um": 0.001, "mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}  # in mm
DIRECTIONS = ("auto", "depth", "height")
FACTOR = 10.0  # by which depths may differ from those of a usual scan
MOST = 20_000  # pixels by which it is told how far depths go
LOOKED_AT = 16  # scans of a set from which it is fitted how they are read
METRES = 3.0  # below it a distance from the sensor, or a width, is one in metres
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScanReading:
    """How scan files become depth in mm; the same for a whole set.

    Attributes:
        unit: mm of the unit of float files: 1000 where they are in metres.
        step: mm of one step of integer files.
        heights: whether larger values are nearer, so that their negatives are depths.
        pitch: mm from one pixel to the next of scans without x and y; None where it is unknown.
        intrinsics: fx, fy, cx, cy of the camera in pixels, by which x and y follow from depth where a file has none.
        field: left, top, right, bottom and pitch of the grid for clouds without rows, mm; None where there are none.
        reach: mm, up to which most depths of a usual scan go, whatever their sign; a scan that goes ten times as far,
            or a tenth, is in another unit and refused. None where it is not known.
        megapixels: largest scan that is read, in millions of points.

    Raises:
        EndlineError: for a unit, a step or a pitch that is not above 0.

    Example:
        >>> stored = StoredScan(np.array([[0, 500]], "u2"), np.zeros(0, "f4"), np.zeros(0, "f4"))
        >>> ScanReading(step=0.5).scan_of(stored).depth.tolist()
        [[nan, 250.0]]
    """

    unit: float = 1.0
    step: float = 1.0
    heights: bool = False
    pitch: float | None = None
    intrinsics: tuple[float, float, float, float] | None = None
    field: tuple[float, float, float, float, float] | None = None
    reach: float | None = None
    megapixels: float = MEGAPIXELS

    def __post_init__(self) -> None:
        for name, value in (("unit", self.unit), ("depth_step", self.step), ("pitch", self.pitch)):
            if value is not None and not value > 0:
                raise EndlineError(f"{name}={value} must be above 0, in mm.")

    def read(self, path: Path) -> Scan:
        """The scan of a file, or of what was decoded of it before.

        Raises:
            FileRejected, OSError: as `decode_scan` and `scan_of`.
        """
        stored = stored_scan(path, self.megapixels)
        return replace(self.scan_of(stored), placeholders=stored.placeholders, pages=int(stored.pages))

    def scan_of(self, stored: StoredScan) -> Scan:
        """The scan of what a file holds.

        Raises:
            FileRejected: for a scan in another unit, a cloud outside the field of the set, or where the set has none.
        """
        depth = self.in_mm(stored)
        if self.reach is not None and (reach := reach_of(depth)) is not None:
            _check_reach(reach, self.reach)
        if self.heights:
            depth = -depth
        x, y = (each * self._scale(stored) for each in (stored.x, stored.y))
        if stored.z.ndim == 1:
            if self.field is None:
                raise FileRejected(
                    "a cloud of points without rows and columns, and the training scans have them",
                    "export it organised, as the training scans",
                )
            return gridded(x, y, depth, Field(*self.field))
        if x.size:
            return Scan(depth, np.where(np.isnan(depth), np.nan, x), np.where(np.isnan(depth), np.nan, y))
        if self.intrinsics is None:
            return Scan(depth, pitch=self.pitch)
        fx, fy, cx, cy = self.intrinsics
        across, down = np.arange(depth.shape[1], dtype=np.float32), np.arange(depth.shape[0], dtype=np.float32)
        away = np.abs(depth)
        return Scan(
            depth,
            ((across[None] - cx) * away / fx).astype(np.float32),
            ((down[:, None] - cy) * away / fy).astype(np.float32),
        )

    def values_of(self, scan: Scan) -> NDArray[np.float32]:
        """What a file of floats holds that is read as this scan: depth (h, w), or x, y and z (h, w, 3).

        Example:
            >>> reading = ScanReading(unit=1000.0, heights=True)
            >>> reading.values_of(Scan(np.array([[500.0, np.nan]], "f4"))).tolist()
            [[-0.5, nan]]
        """
        z = (-scan.depth if self.heights else scan.depth) / np.float32(self.unit)
        if scan.x is None or scan.y is None:
            return z.astype(np.float32)
        return np.stack([scan.x / self.unit, scan.y / self.unit, z], axis=-1).astype(np.float32)

    def in_mm(self, stored: StoredScan) -> NDArray[np.float32]:
        """Values of what a file holds in mm, of the shape of its `z`, NaN where nothing was measured."""
        return np.where(stored.measured, stored.z, np.nan).astype(np.float32) * self._scale(stored)

    def _scale(self, stored: StoredScan) -> np.float32:
        return np.float32(self.step if stored.counts else self.unit)


def reach_of(depth: NDArray[np.float32]) -> float | None:
    """Up to which most depths go, whatever their sign; None where nothing was measured.

    Example:
        >>> reach_of(np.array([np.nan, -20.0, -20.0], "f4"))
        20.0
    """
    known = np.abs(depth[np.isfinite(depth)])
    return float(np.percentile(known[:: max(1, known.size // MOST)], 95)) if known.size else None


def _check_reach(reach: float, usual: float) -> None:
    ratio = reach / usual if usual > 0 else 1.0
    if not 1 / FACTOR < ratio < FACTOR:
        raise FileRejected(
            f"its depths are {ratio:.3g} times those of the others, up to {_mm(reach)} against {_mm(usual)}",
            "export it in the unit of the others (one may be in metres, another in millimetres)",
        )


def _mm(length: float) -> str:
    return f"{length:.0f} mm" if length >= 1000 else f"{length:.3g} mm"


def stored_scan(path: Path, megapixels: float = MEGAPIXELS) -> StoredScan:
    """Decode a scan, or take what was decoded of it before; its arrays must not be written to."""
    return DECODED.read(path, lambda file: decode_scan(file, megapixels), "scan")


def fitted_reading(paths: Sequence[Path], parameters: Mapping[str, Any], part: PartSettings) -> ScanReading:
    """How the scans of a set are read, by the settings and, where those say `auto`, by a few of the scans.

    Float files are in metres where a width, or a distance from the sensor, of less than 3 says so; a distance is told
    from a height by its spread, which is small beside it. Scans hold heights instead of depths where the part lies
    farther from the origin than its support. What was fitted is said in the log.

    Args:
        paths: of the scans.
        parameters: `unit` (auto, or one of `UNITS`), `depth_step`, `direction` (one of `DIRECTIONS`), `pitch`,
            `intrinsics` (fx, fy, cx, cy by name, or None) and `max_megapixels`.
        part: how a part is set off.

    Raises:
        EndlineError: for a setting that is none of these.
    """
    reading = ScanReading(
        step=float(parameters["depth_step"]),
        pitch=None if parameters["pitch"] is None else float(parameters["pitch"]),
        intrinsics=_intrinsics(parameters["intrinsics"]),
        megapixels=float(parameters["max_megapixels"]),
    )
    unit, direction = parameters["unit"], parameters["direction"]
    if unit not in ("auto", *UNITS):
        raise EndlineError(f"unit={unit} is no unit of a scan: choose auto or one of {', '.join(UNITS)}.")
    if direction not in DIRECTIONS:
        raise EndlineError(f"direction={direction} says not which way is near: choose {', '.join(DIRECTIONS)}.")
    stored = list(_readable(paths, reading.megapixels))
    reading = replace(reading, unit=_fitted_unit(stored) if unit == "auto" else UNITS[unit])
    if direction == "height":
        reading = replace(reading, heights=True)
    clouds = [each for each in stored if each.z.ndim == 1]
    if clouds:
        inside = [(each.x[each.measured] * reading.unit, each.y[each.measured] * reading.unit) for each in clouds]
        reading = replace(reading, field=fitted_field(inside))
    reaches = [reach for each in stored if (reach := reach_of(reading.in_mm(each))) is not None]
    if reaches:
        reading = replace(reading, reach=float(np.median(reaches)))
    if direction == "auto" and _are_heights(stored, reading, part):
        log.warning(
            "Larger values of the scans are nearer: they are read as heights, not as depths "
            "(--params=direction=depth if they are depths)."
        )
        reading = replace(reading, heights=True)
    return reading


def _readable(paths: Sequence[Path], megapixels: float) -> Iterable[StoredScan]:
    """A few scans of a set, evenly spread, without those that cannot be read: the index names them."""
    places = np.linspace(0, len(paths) - 1, min(LOOKED_AT, len(paths)))
    for number in np.unique(places.round().astype(int)):
        try:
            stored = stored_scan(paths[number], megapixels)
        except (FileRejected, OSError):
            continue
        if stored.measured.any():
            yield stored


def _fitted_unit(stored: Sequence[StoredScan]) -> float:
    """Unit of float files, in mm, as their numbers suggest."""
    floats = [each for each in stored if not each.counts]
    widths, distances, spreads = [], [], []
    for each in floats:
        known = each.measured
        distances.append(float(np.median(each.z[known])))
        spreads.append(float(np.ptp(np.percentile(each.z[known], [2, 98]))))
        if each.x.size:
            widths.append(float(np.ptp(np.percentile(each.x[known], [1, 99]))))
    if not floats:
        return 1.0
    distance, spread = float(np.median(distances)), float(np.median(spreads))
    if widths:
        metres, said = bool(np.median(widths) < METRES), f"a width of {np.median(widths):.3g}"
    else:
        metres, said = 0 < distance < METRES and spread < 0.5 * distance, f"a distance of {distance:.3g}"
    if metres:
        log.warning("The scans are read in metres, as %s suggests (--params=unit=mm if they are in millimetres).", said)
    return 1000.0 if metres else 1.0


def _are_heights(stored: Sequence[StoredScan], reading: ScanReading, part: PartSettings) -> bool:
    """Whether the parts of most scans lie farther from the origin than their support."""
    before = []
    for each in stored:
        try:
            before.append(relief_of(reading.scan_of(each), part).before)
        except FileRejected:
            continue
    return bool(before) and float(np.median(before)) < 0


def _intrinsics(plain: object) -> tuple[float, float, float, float] | None:
    if plain is None:
        return None
    names = ("fx", "fy", "cx", "cy")
    if not isinstance(plain, Mapping) or set(plain) != set(names) or not min(plain["fx"], plain["fy"]) > 0:
        raise EndlineError(f"intrinsics={plain} must give fx, fy, cx and cy in pixels, fx and fy above 0.")
    fx, fy, cx, cy = (float(plain[name]) for name in names)
    return fx, fy, cx, cy
