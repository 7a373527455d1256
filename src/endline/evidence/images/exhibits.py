"""Exhibits of photographs: the photograph, its anomaly map over it, and the mask where there is one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.evidence.images.masks import read_mask
from endline.evidence.images.photographs import image_tensor, read_indexed_image
from endline.reporting.pictures import map_overlay
from endline.reporting.report import Exhibit, exhibit_of
from endline.reporting.style import WIDTH, encode_png

LONGEST = 512  # pixels of the longer side that a report shows
NARROW = WIDTH * 0.44  # inches: pictures side by side tell more than one large one
BAR = 0.7  # inches that the colour bar takes beside the map


def image_exhibit(
    verdict: Mapping[str, Any],
    heat: NDArray[np.float32] | None,
    limits: tuple[float, float] | None,
    folder: Path,
) -> Exhibit:
    """Exhibit of one photograph.

    Args:
        verdict: its row of the shortlist.
        heat: its anomaly map (h, w), or None.
        limits: smallest and largest map value of the colour bar, the same for all exhibits.
        folder: raw folder.
    """
    image = read_indexed_image(folder / verdict["path"])
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    size = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    picture = (image_tensor(image, size).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    figures = [("photograph", encode_png(map_overlay(picture, None, width=NARROW)))]
    if heat is not None:
        # On grey, so that the colours are the map's alone.
        grey = np.repeat(picture.mean(2, keepdims=True), 3, axis=2).round().astype(np.uint8)
        figures.append(("anomaly map", encode_png(map_overlay(grey, heat, limits=limits, width=NARROW + BAR))))
    if not pd.isna(verdict["mask_path"]):
        mask = read_mask(folder / verdict["mask_path"], size)
        shaded = np.where(mask[..., None], picture, picture // 3).astype(np.uint8)
        figures.append(("mask: the defect as labelled", encode_png(map_overlay(shaded, None, width=NARROW))))
    return exhibit_of(verdict, figures)
