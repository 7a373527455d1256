"""The height along a line across a part, over that of the nearest normal one."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from endline.errors import EndlineError
from endline.reporting.palette import FLAGGED, INK, NORMAL, TEXT, WIDTH
from endline.reporting.style import dress, label_axes

_LEFT, _RIGHT, _BOTTOM, _TOP = 0.60, 0.10, 0.40, 0.24  # margins in inches


def profile_figure(
    height: ArrayLike,
    normal: ArrayLike | None = None,
    *,
    step: float = 1.0,
    unit: str = "pixels",
    hottest: float | None = None,
    width: float = WIDTH,
) -> Figure:
    """Draw a profile; gaps are where nothing was measured.

    Args:
        height: (n,) in mm, larger = nearer to the sensor; NaN in gaps.
        normal: the same of the nearest normal part, at the same positions, or None.
        step: from one value to the next, in `unit`.
        unit: of the positions.
        hottest: where the map is largest, as a share of the profile's length.
        width: inches, with the labels.

    Raises:
        EndlineError: when nothing was measured along the line, or the two differ in length.

    Example:
        >>> len(profile_figure([0.0, 1.0, np.nan, 1.0], hottest=0.5).axes)
        1
    """
    own = np.asarray(height, np.float64)
    other = None if normal is None else np.asarray(normal, np.float64)
    if own.ndim != 1 or not np.isfinite(own).any():
        raise EndlineError("The profile holds no measured value: choose another line.")
    if other is not None and other.shape != own.shape:
        raise EndlineError(f"The profiles have {own.size} and {other.size} values: give both at the same positions.")
    total = 1.35 + _BOTTOM + _TOP
    figure = Figure(figsize=(width, total), facecolor="white")
    box = (_LEFT / width, _BOTTOM / total, (width - _LEFT - _RIGHT) / width, 1.35 / total)
    axis = figure.add_axes(box)
    dress(axis, grid=True)
    at = (np.arange(own.size) + 0.5) * step
    if other is not None:
        axis.plot(at, other, color=NORMAL, lw=1.0, alpha=0.75, label="nearest normal")
    axis.plot(at, own, color=INK, lw=1.1, label="this part")
    if hottest is not None:
        axis.axvline(hottest * own.size * step, color=FLAGGED, lw=0.9, ls="--", label="largest map value")
    axis.set_xlim(0, own.size * step)
    axis.margins(y=0.08)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axis.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 0.98),
        ncols=3,
        frameon=False,
        fontsize=TEXT - 0.5,
        borderaxespad=0.1,
        handlelength=1.6,
        labelcolor=INK,
    )
    label_axes(axis, f"position in {unit}", "height in mm")
    return figure
