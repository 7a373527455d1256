"""A surface that the reader of the report can turn: a coarse mesh, small enough to lie in the page."""

import base64
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from endline.errors import EndlineError

LONGEST = 112  # vertices along the longer side: 84 kB of text
LARGEST = 65534  # of the steps of height; 0 means that nothing was measured


@dataclass(frozen=True)
class TurningView:
    """A mesh of heights with a colour at every vertex.

    Attributes:
        heights: uint16 (rows, columns), 1 to 65535 from the lowest to the highest; 0 where nothing was measured.
        colours: uint8 (rows, columns, 3).
        relief: difference of the highest and lowest height, in steps from one vertex to the next.

    Example:
        >>> view = TurningView.of(np.full((8, 12), 400.0), None, pitch=0.5)
        >>> view.heights.shape, view.relief
        ((8, 12), 0.0)
    """

    heights: NDArray[np.uint16]
    colours: NDArray[np.uint8]
    relief: float

    @classmethod
    def of(cls, depth: ArrayLike, picture: NDArray[np.uint8] | None, pitch: float | None = None) -> Self | None:
        """The mesh of a scan, or None where nothing was measured.

        Args:
            depth: (height, width) in mm, larger = farther away; not finite where nothing was measured.
            picture: (H, W, 3) of the same view, for the colours; None: all grey.
            pitch: mm from one pixel to the next; None: such that the surface is a fifth as high as it is wide.

        Raises:
            EndlineError: for a depth map or picture of another shape.
        """
        measured = np.asarray(depth, np.float64)
        if measured.ndim != 2 or 0 in measured.shape:
            raise EndlineError(
                f"The depth map has shape {measured.shape}, not (height, width): give one scan at a time."
            )
        if picture is not None and (picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape):
            raise EndlineError(f"The picture has shape {picture.shape}, not (height, width, 3): give one in colour.")
        step = max(1.0, max(measured.shape) / LONGEST)
        rows, columns = (max(2, round(length / step)) for length in measured.shape)
        picked = _picked(measured, rows, columns)
        valid = np.isfinite(picked)
        if not valid.any():
            return None
        high, low = -float(picked[valid].min()), -float(picked[valid].max())
        share = np.where(valid, (-np.where(valid, picked, 0) - low) / max(high - low, 1e-9), 0)
        heights = np.where(valid, 1 + np.round(share * LARGEST), 0).astype(np.uint16)
        grey = np.full((rows, columns, 3), 200, np.uint8)
        steps = 0.2 * max(rows, columns) if pitch is None else (high - low) / (pitch * measured.shape[1] / columns)
        colours = grey if picture is None else np.asarray(_picked(picture, rows, columns), np.uint8)
        return cls(heights, colours, float(steps) if high > low else 0.0)

    @property
    def attributes(self) -> dict[str, str]:
        """What the page's script reads: `rows`, `columns`, `relief`, and `heights` and `colours` in base64."""
        return {
            "rows": str(len(self.heights)),
            "columns": str(self.heights.shape[1]),
            "relief": f"{self.relief:.4g}",
            "heights": base64.b64encode(self.heights.astype("<u2").tobytes()).decode("ascii"),
            "colours": base64.b64encode(self.colours.tobytes()).decode("ascii"),
        }


def _picked(values: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """The values in the middle of every cell: a mean would join the part to what lies below it."""
    down, right = ((np.arange(count) + 0.5) / count for count in (rows, columns))
    return values[np.ix_((down * values.shape[0]).astype(int), (right * values.shape[1]).astype(int))]
