"""Defect masks as arrays: what judges whether anomaly maps point at the defects."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.evidence.images.masks import read_mask

Mask = NDArray[np.bool_]
SIZE = (256, 256)  # of every mask, so that every image has the same weight
BATCH = 16


def defect_masks(
    samples: pd.DataFrame, folder: Path, read: Callable[[Path, tuple[int, int], Path | None], Mask] = read_mask
) -> Iterator[Mask]:
    """Masks (at most `BATCH`, 256, 256) of the rows of a table, batch after batch; all False where a row has none.

    Args:
        samples: rows with `path` of the photograph and `mask_path`, below `folder`; each missing where there is none.
        folder: raw folder.
        read: reads a mask file, of a size, laid over its photograph where there is one, as `read_mask` does.

    Raises:
        EndlineError: when a mask cannot be read.

    Example:
        >>> table = pd.DataFrame({"path": ["a.png", "b.png"], "mask_path": [None, None]})
        >>> [batch.shape for batch in defect_masks(table, Path("raw"))]
        [(2, 256, 256)]
    """
    paths = list(zip(samples["path"], samples["mask_path"], strict=True))
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        masks = np.zeros((len(batch), *SIZE), np.bool_)
        for row, (photograph, mask) in enumerate(batch):
            if not pd.isna(mask):
                masks[row] = read(folder / mask, SIZE, None if pd.isna(photograph) else folder / photograph)
        yield masks
