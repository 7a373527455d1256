"""Pixel AUROC: do the anomaly maps point at the defects?"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from endline.evaluation.map_values import has_maps, regular_share
from endline.evaluation.metrics import is_anomalous, is_normal
from endline.feature_set import FeatureSet

BATCH = 16
LEVELS = 8192


def pixel_auroc(scored: pd.DataFrame, maps: FeatureSet, masks: FeatureSet | None) -> float | None:
    """AUROC over the pixels of all normal items and of those anomalous ones that have a mask.

    Maps are upsampled bilinearly to the masks' size, which is the same for all, so that every image has the same
    weight. Scores are ranked by the `LEVELS` quantiles of all maps, so that memory does not grow with the number of
    items; the figure is exact to about 1e-4.

    Args:
        scored: rows with `label` and `mask_path`, which is missing where a row has no mask.
        maps: their anomaly maps, array `map` (rows, h, w); (rows, 0, 0) where the method has none.
        masks: their defect masks, array `defect` (rows, height, width), above 0 where the defect is; None where the
            evidence has none.

    Returns:
        None without maps, without a mask, or where all pixels are of one class.

    Example:
        >>> scored = pd.DataFrame({"label": [0, 1], "mask_path": [None, "dent.png"]})
        >>> defect = np.zeros((2, 4, 4), bool)
        >>> defect[1, 0, 0] = True
        >>> pixel_auroc(scored, FeatureSet({"map": defect.astype("f4")}), FeatureSet({"defect": defect}))
        1.0
    """
    if masks is None or missing_for_pixel_auroc(scored, maps, masks):
        return None
    masked = _masked(scored)
    used = np.flatnonzero(masked | is_normal(scored).to_numpy(bool))
    counts = _pixels_by_level(maps, masks, used, masked, torch.from_numpy(_levels(maps, used)))
    good, bad = counts.astype(np.float64)
    if good.sum() == 0 or bad.sum() == 0:
        return None
    below = np.cumsum(good) - good
    return float((bad * (below + good / 2)).sum() / (good.sum() * bad.sum()))


def missing_for_pixel_auroc(scored: pd.DataFrame, maps: FeatureSet, masks: FeatureSet | None) -> str | None:
    """Why there is no pixel AUROC; None where there should be one. Arguments as of `pixel_auroc`."""
    if masks is None or not _masked(scored).any():
        return "no labelled anomaly with a defect mask in the test"
    return None if has_maps(maps) else "the detector gives no anomaly maps"


def _masked(scored: pd.DataFrame) -> NDArray[np.bool_]:
    return (scored["mask_path"].notna() & is_anomalous(scored)).to_numpy(bool)


def _pixels_by_level(
    maps: FeatureSet, masks: FeatureSet, rows: NDArray[np.int64], masked: NDArray[np.bool_], edges: torch.Tensor
) -> NDArray[np.int64]:
    """Number of good and of defective pixels between each two edges, (2, edges + 1)."""
    counts = np.zeros((2, LEVELS + 1), np.int64)
    height, width = masks.shapes["defect"]
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        defect = (masks.read(batch)["defect"].numpy() > 0) & masked[batch, None, None]
        anomaly_map = interpolate(maps.read(batch)["map"][:, None], size=(height, width), mode="bilinear")[:, 0]
        level = torch.bucketize(anomaly_map.contiguous(), edges).numpy()
        counts[1] += np.bincount(level[defect], minlength=LEVELS + 1)
        counts[0] += np.bincount(level[~defect], minlength=LEVELS + 1)
    return counts


def _levels(maps: FeatureSet, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Ascending quantiles of the maps' values, of a regular share of them where they are many."""
    return np.unique(np.quantile(regular_share(maps, rows), np.linspace(0, 1, LEVELS)).astype(np.float32))
