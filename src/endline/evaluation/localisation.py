"""Pixel AUROC: do the anomaly maps point at the defects?"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from endline.evaluation.metrics import is_normal
from endline.evidence.images.masks import read_mask
from endline.feature_set import FeatureSet

SIZE = (256, 256)  # every map and mask is brought to it, so that every image has the same weight
BATCH = 16
LEVELS = 8192
MOST_VALUES = 2_000_000


def pixel_auroc(scored: pd.DataFrame, maps: FeatureSet, folder: Path) -> float | None:
    """AUROC over the pixels of all normal items and of those anomalous ones that have a mask.

    Maps are upsampled bilinearly. Scores are told apart at the `LEVELS` quantiles of all maps, so that memory does not
    grow with the number of items; the figure is exact to about 1e-4.

    Args:
        scored: rows with `label` and `mask_path` (below `folder`).
        maps: their anomaly maps, array `map` (rows, h, w); (rows, 0, 0) where the method has none.
        folder: raw folder.

    Returns:
        None without maps or without a mask.
    """
    masked = scored["mask_path"].notna().to_numpy(bool) & (scored["label"] == 1).fillna(False).to_numpy(bool)
    if not masked.any() or 0 in maps.shapes["map"]:
        return None
    used = np.flatnonzero(masked | is_normal(scored).to_numpy(bool))
    edges = torch.from_numpy(_levels(maps, used))
    counts = np.zeros((2, LEVELS + 1), np.int64)
    for start in range(0, len(used), BATCH):
        rows = used[start : start + BATCH]
        heat = interpolate(maps.read(rows)["map"][:, None], size=SIZE, mode="bilinear")[:, 0]
        level = torch.bucketize(heat.contiguous(), edges).numpy()
        for one, row in zip(level, rows, strict=True):
            path = scored["mask_path"].iloc[row]
            defect = read_mask(folder / path, SIZE) if masked[row] else np.zeros(SIZE, bool)
            counts[1] += np.bincount(one[defect], minlength=LEVELS + 1)
            counts[0] += np.bincount(one[~defect], minlength=LEVELS + 1)
    good, bad = counts.astype(np.float64)
    if good.sum() == 0 or bad.sum() == 0:
        return None
    below = np.cumsum(good) - good
    return float((bad * (below + good / 2)).sum() / (good.sum() * bad.sum()))


def _levels(maps: FeatureSet, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Ascending quantiles of the maps' values, of a regular share of them where they are many."""
    values = []
    height, width = maps.shapes["map"]
    step = max(1, len(rows) * height * width // MOST_VALUES)
    for start in range(0, len(rows), BATCH):
        values.append(maps.read(rows[start : start + BATCH])["map"].numpy().ravel()[::step])
    return np.unique(np.quantile(np.concatenate(values), np.linspace(0, 1, LEVELS)).astype(np.float32))
