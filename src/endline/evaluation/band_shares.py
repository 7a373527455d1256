"""How much each row of an anomaly map counts, and where along it: bands of sound, and when."""

import numpy as np
import pandas as pd

from endline.evaluation.map_values import has_maps
from endline.feature_set import FeatureSet

BATCH = 16
COLUMNS = ("sample_id", "row", "column", "value", "share")


def band_shares(maps: FeatureSet, rows: pd.DataFrame) -> pd.DataFrame:
    """Share of each row of each anomaly map in what the map adds up to, and where the row is largest.

    Only what lies above 0 counts: a likelihood that is higher than usual does not make up for a fault elsewhere.

    Args:
        maps: array `map` (rows, h, w).
        rows: the scored rows, row by row with `maps`; column `sample_id`.

    Returns:
        Columns `sample_id, row, column, value, share`, one row a scored row and row of its map: the position is the
        centre of the cell where that row is largest, as a share of the height from row 0 and of the width from the
        left, and `value` is what stands there. Shares add up to 1 over a map, and are equal where nothing lies above 0.
        Empty where the method has no maps.

    Example:
        >>> maps = np.array([[[0.0, 3.0], [1.0, -2.0]]], "f4")
        >>> band_shares(FeatureSet({"map": maps}), pd.DataFrame({"sample_id": ["a.wav"]}))
          sample_id   row  column  value  share
        0     a.wav  0.25    0.75    3.0   0.75
        1     a.wav  0.75    0.25    1.0   0.25
    """
    height, width = maps.shapes["map"]
    count = len(rows) if has_maps(maps) else 0
    means, columns, values = (np.zeros((count, height)) for _ in range(3))
    for start in range(0, count, BATCH):
        batch = slice(start, min(start + BATCH, count))
        whole = maps.read(np.arange(batch.start, batch.stop))["map"].numpy()
        means[batch] = np.maximum(whole, 0).mean(2, dtype=np.float64)
        columns[batch], values[batch] = (whole.argmax(2) + 0.5) / width, whole.max(2)
    total = means.sum(1, keepdims=True)
    shares = np.divide(means, total, out=np.full_like(means, 1 / max(1, height)), where=total > 0)
    centres = np.tile((np.arange(height) + 0.5) / max(1, height), count)
    names = rows["sample_id"].iloc[:count].repeat(height).to_numpy(str)
    given = (names, centres, columns.ravel(), values.ravel(), shares.ravel())
    return pd.DataFrame(dict(zip(COLUMNS, given, strict=True)))
