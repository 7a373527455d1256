"""Exhibits of scans: photograph and shaded relief with the anomaly map, profile, a view that turns, deviation in mm."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from endline.evaluation.attribution import standing_out
from endline.evaluation.map_values import has_maps, shared_limits
from endline.evaluation.nearest_scans import Deviation, deviation, nearest_normal_rows
from endline.evidence.scans.scan import Scan
from endline.evidence.station import Shown
from endline.feature_set import FeatureSet
from endline.reporting.exhibit import Exhibit, exhibit_of
from endline.reporting.pictures import map_overlay, upsample_map
from endline.reporting.profile_figure import profile_figure
from endline.reporting.relief import raking_light, relief
from endline.reporting.side_by_side import BAR, LONGEST, NARROW, dimmed_beside, in_grey
from endline.reporting.style import MAP_COLOURS, encode_png
from endline.reporting.turning_view import TurningView

BEYOND = 0.5  # mm: the table says which share of the part deviates by more
COMPARED = ("depth", "depth_mask")

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class ScanPair:
    """What was read of one item: either half may lack.

    Attributes:
        photograph: uint8 (height, width, 3), or None.
        scan: or None.
        mask: bool (height, width) of the labelled defect, at the size of the photograph, else of the scan; or None.

    Example:
        >>> ScanPair(None, Scan(np.zeros((4, 4), np.float32))).mask is None
        True
    """

    photograph: Picture | None
    scan: Scan | None
    mask: NDArray[np.bool_] | None = None


class Comparison(NamedTuple):
    """A part and the nearest normal one, as heights (height, width) in mm over the mean of the part, NaN beside it.

    Example:
        >>> flat = np.zeros((4, 4), np.float32)
        >>> Comparison(flat, None, "", None).nearest is None
        True
    """

    own: NDArray[np.float32]
    nearest: NDArray[np.float32] | None
    name: str
    deviation: Deviation | None


def scan_exhibits(shown: Shown, read: Callable[[Mapping[str, Any]], ScanPair]) -> list[Exhibit]:
    """Exhibits of the shortlisted items, in their order; no other map or scan is read whole.

    Args:
        shown: what they are drawn from; of its features `depth` and `depth_mask` (1, h, w), where both are there, for
            the comparison with the nearest training scan; `attribution` as `hottest` gives it.
        read: photograph, scan and mask of a row of the shortlist.
    """
    limits = shared_limits(shown.maps) if len(shown.shortlist) else None
    row_of = {name: row for row, name in enumerate(shown.part_scores["sample_id"])}
    positions = standing_out(shown.attribution, limits).set_index("sample_id")[["row", "column"]]
    comparisons = _comparisons(shown)
    exhibits = []
    for verdict in shown.verdicts():
        name = verdict["sample_id"]
        drawn = has_maps(shown.maps)
        exhibits.append(
            scan_exhibit(
                verdict,
                read(verdict),
                shown.maps.read([row_of[name]])["map"].numpy()[0] if drawn else None,
                limits=limits,
                hottest=tuple(positions.loc[name]) if name in positions.index else None,
                comparison=comparisons.get(name),
            )
        )
    return exhibits


def scan_exhibit(
    verdict: Mapping[str, Any],
    pair: ScanPair,
    anomaly_map: NDArray[np.float32] | None,
    *,
    limits: tuple[float, float] | None = None,
    hottest: tuple[float, float] | None = None,
    comparison: Comparison | None = None,
) -> Exhibit:
    """Exhibit of one item.

    Args:
        verdict: its row of the shortlist.
        pair: what was read of it.
        anomaly_map: (h, w) over the whole view, or None.
        limits: smallest and largest map value of the colour bar, the same for all exhibits.
        hottest: (row, column) of the map's largest value as shares of height and width, which a ring marks.
        comparison: with the nearest normal scan, or None.
    """
    figures: list[tuple[str, bytes]] = []
    colours: dict[str, Any] = {"limits": limits, "width": NARROW + BAR, "hottest": hottest}
    ring = "; ring: its largest value" if hottest else ""
    if pair.photograph is not None:
        picture = _shrunk(pair.photograph)
        figures.append(("photograph", _alone(picture)))
        if anomaly_map is not None:
            figures.append((f"anomaly map{ring}", encode_png(map_overlay(in_grey(picture), anomaly_map, **colours))))
    turning = None
    if pair.scan is not None:
        pitch = pixel_pitch(pair.scan)
        shaded = _shrunk(relief(pair.scan.depth, pitch))
        figures.append(("relief; slate: not measured", _alone(shaded)))
        if anomaly_map is not None:
            over = encode_png(map_overlay(in_grey(shaded), anomaly_map, **colours))
            first = ring if pair.photograph is None else ""  # a caption beside it has said so
            figures.append((f"anomaly map over the relief{first}", over))
        turning = TurningView.of(pair.scan.depth, _coloured(pair, anomaly_map, limits), pitch)
    if pair.mask is not None and pair.mask.any():
        below = pair.photograph if pair.photograph is not None else shaded
        figures.append(("mask: the defect as labelled", _alone(_masked(_shrunk(below), pair.mask))))
    if pair.scan is not None:
        figures.append(("low lamp above, right, below, left", _alone(_shrunk(raking_light(pair.scan.depth, pitch)))))
        figures += _profile(pair.scan, pitch, comparison, hottest)
    table = _table(comparison, hottest)
    return exhibit_of(verdict, figures, note=_note(pair), table=table, turning=turning)


def pixel_pitch(scan: Scan) -> float | None:
    """Steps in mm from pixel to pixel: as the scan says, or the median of its lateral positions; None if unknown.

    Example:
        >>> x = np.tile(np.arange(5, dtype=np.float32) * 0.4, (3, 1))
        >>> round(pixel_pitch(Scan(np.zeros((3, 5), np.float32), x=x, y=x)), 3)
        0.4
    """
    if scan.pitch is not None:
        return scan.pitch
    if scan.x is None or scan.x.shape[1] < 2:
        return None
    steps = np.abs(np.diff(np.where(np.isfinite(scan.depth), scan.x, np.nan), axis=1))
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return float(np.median(steps)) if steps.size else None


def _comparisons(shown: Shown) -> dict[str, Comparison]:
    """Each shortlisted item beside the training scan that it deviates least from; none without the arrays."""
    features = shown.features
    if not set(COMPARED) <= set(features.shapes):
        return {}
    row_of = {name: row for row, name in enumerate(shown.samples["sample_id"])}
    names = [str(name) for name in shown.shortlist["sample_id"]]
    training = np.flatnonzero((shown.samples["split"] == "train").to_numpy()).tolist()
    nearest = nearest_normal_rows([row_of[name] for name in names], training, features)
    return {name: _comparison(shown, row_of[name], other) for name, other in zip(names, nearest, strict=True)}


def _comparison(shown: Shown, row: int, other: int) -> Comparison:
    depth, mask = _relative(shown.features, row)
    own = np.where(mask, -depth, np.nan).astype(np.float32)
    if other < 0:
        return Comparison(own, None, "", None)
    normal, normal_mask = _relative(shown.features, other)
    found = deviation(depth, mask, normal, normal_mask)
    name = str(shown.samples["sample_id"].iloc[other])
    nearest = np.where(normal_mask, -normal, np.nan).astype(np.float32)
    return Comparison(own, nearest, name, found if found.compared else None)


def _relative(features: FeatureSet, row: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    arrays = features.only(COMPARED).read([row])
    return arrays["depth"].numpy()[0, 0], arrays["depth_mask"].numpy()[0, 0] > 0


def _profile(
    scan: Scan, pitch: float | None, comparison: Comparison | None, hottest: tuple[float, float] | None
) -> list[tuple[str, bytes]]:
    """The profile through the hottest point, or the middle; none where nothing was measured along it."""
    row, column = hottest or (0.5, None)
    middle = np.nanmedian(scan.depth) if np.isfinite(scan.depth).any() else np.nan
    own = comparison.own if comparison is not None else (middle - scan.depth).astype(np.float32)
    line = min(int(row * len(own)), len(own) - 1)
    if not np.isfinite(own[line]).any():
        return []
    normal = comparison.nearest[line] if comparison is not None and comparison.nearest is not None else None
    step, unit = (1.0, "pixels") if pitch is None else (pitch * scan.depth.shape[1] / own.shape[1], "mm")
    drawn = profile_figure(own[line], normal, step=step, unit=unit, hottest=column)
    where = "largest value of the map" if hottest else "middle"
    return [(f"profile from left to right through the {where}", encode_png(drawn))]


def _table(comparison: Comparison | None, hottest: tuple[float, float] | None) -> tuple[tuple[str, ...], ...]:
    """Deviation from the nearest normal scan, in mm; + is towards the sensor."""
    if comparison is None or comparison.deviation is None:
        return ()
    found = comparison.deviation
    rows = [(f"deviation from the nearest normal scan, {comparison.name}", "mm")]
    if hottest is not None and np.isfinite(there := found.at(*hottest)):
        rows.append(("at the ring", _signed(there)))
    rows += [
        ("farthest towards the sensor", _signed(found.nearest)),
        ("farthest away from it", _signed(found.farthest)),
        ("mean size over the part", f"{found.mean:.2f}"),
        (f"share of the part beyond {BEYOND} mm", f"{100 * found.share(BEYOND):.1f} %"),
    ]
    return tuple(rows)


def _signed(millimetres: float) -> str:
    """Two decimals with a sign, and 0.00 without one."""
    written = f"{millimetres:+.2f}".replace("-", "−")
    return written if written[1:] != "0.00" else "0.00"


def _note(pair: ScanPair) -> str:
    if pair.scan is None:
        return "A photograph alone: there is no scan of this item."
    return "A scan alone: there is no photograph of this item." if pair.photograph is None else ""


def _coloured(
    pair: ScanPair, anomaly_map: NDArray[np.float32] | None, limits: tuple[float, float] | None
) -> Picture | None:
    """Colours of the surface that turns: the photograph, or grey, with the map over it."""
    assert pair.scan is not None
    size = pair.scan.depth.shape
    base = np.full((*size, 3), 200, np.uint8)
    if pair.photograph is not None:
        base = np.asarray(Image.fromarray(pair.photograph).resize((size[1], size[0]), Image.Resampling.BOX))
    if anomaly_map is None or limits is None:
        return base
    values = (upsample_map(anomaly_map, size) - limits[0]) / (limits[1] - limits[0])
    over = MAP_COLOURS(np.clip(values, 0, 1))
    return np.asarray(np.round((1 - over[..., 3:]) * base + 255 * over[..., 3:] * over[..., :3]), np.uint8)


def _shrunk(picture: Picture) -> Picture:
    scale = min(1.0, LONGEST / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return picture if scale == 1 else np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _alone(picture: Picture) -> bytes:
    return encode_png(map_overlay(picture, None, width=NARROW))


def _masked(picture: Picture, mask: NDArray[np.bool_]) -> Picture:
    size = (picture.shape[1], picture.shape[0])
    inside = np.asarray(Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) > 0
    return dimmed_beside(picture, inside)
