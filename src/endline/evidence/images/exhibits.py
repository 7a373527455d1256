"""Exhibits of photographs: the photograph, its anomaly map over it, and the mask where there is one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.evaluation.attribution import standing_out
from endline.evaluation.map_values import has_maps, shared_limits
from endline.evidence.images.features import ImagePreparation
from endline.feature_set import FeatureSet
from endline.reporting.exhibit import Exhibit, exhibit_of
from endline.reporting.pictures import map_overlay
from endline.reporting.side_by_side import BAR, LONGEST, NARROW, dimmed_beside, in_grey
from endline.reporting.style import encode_png


def image_exhibits(
    shortlist: pd.DataFrame,
    scored: pd.DataFrame,
    maps: FeatureSet,
    hottest: pd.DataFrame,
    folder: Path,
    preparation: ImagePreparation,
) -> list[Exhibit]:
    """Exhibits of the shortlisted photographs, in its order; no other map is read whole.

    Args:
        shortlist: rows of the scores, with `why`.
        scored: the scored photographs, row by row with `maps`; column `sample_id`.
        maps: array `map` (h, w) of each, or (0, 0) where the detector has none.
        hottest: `sample_id, row, column`, as `hottest` gives it.
        folder: raw folder.
        preparation: by which photographs are read, and shown in their pose.
    """
    limits = shared_limits(maps) if len(shortlist) else None
    row_of = {name: row for row, name in enumerate(scored["sample_id"])}
    positions = standing_out(hottest, limits).set_index("sample_id")[["row", "column"]]
    shown = []
    for row in shortlist.to_dict("records"):
        verdict = {str(column): value for column, value in row.items()}
        name = verdict["sample_id"]
        anomaly_map = maps.read([row_of[name]])["map"].numpy()[0] if has_maps(maps) else None
        where = tuple(positions.loc[name]) if name in positions.index else None
        shown.append(image_exhibit(verdict, anomaly_map, folder, preparation, limits=limits, hottest=where))
    return shown


def image_exhibit(
    verdict: Mapping[str, Any],
    anomaly_map: NDArray[np.float32] | None,
    folder: Path,
    preparation: ImagePreparation,
    *,
    limits: tuple[float, float] | None = None,
    hottest: tuple[float, float] | None = None,
) -> Exhibit:
    """Exhibit of one photograph.

    Args:
        verdict: its row of the shortlist.
        anomaly_map: (h, w), or None.
        folder: raw folder.
        preparation: as `image_exhibits` takes it.
        limits: smallest and largest map value of the colour bar, the same for all exhibits.
        hottest: (row, column) of the map's largest value as shares of height and width, which a ring marks.
    """
    image = preparation.read(folder / verdict["path"])
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    size = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    if preparation.alignment is not None:
        size = preparation.alignment.size(max(size))
    picture = (preparation.posed(image, size).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    shown = "photograph" if preparation.alignment is None else "photograph, aligned"
    figures = [(shown, encode_png(map_overlay(picture, None, width=NARROW)))]
    if anomaly_map is not None:
        drawn = map_overlay(in_grey(picture), anomaly_map, limits=limits, width=NARROW + BAR, hottest=hottest)
        figures.append(("anomaly map; ring: its largest value" if hottest else "anomaly map", encode_png(drawn)))
    if not pd.isna(verdict["mask_path"]):
        mask = preparation.mask(folder / verdict["mask_path"], size, folder / verdict["path"])
        shaded = map_overlay(dimmed_beside(picture, mask), None, width=NARROW)
        figures.append(("mask: the defect as labelled", encode_png(shaded)))
    return exhibit_of(verdict, figures)
