"""Figure of how much the bands of one clip count."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from endline.reporting.palette import FLAGGED, INK, MUTED, TEXT, WIDTH
from endline.reporting.style import dress, label_axes

LEFT, RIGHT, BOTTOM, TOP = 0.60, 0.72, 0.40, 0.22  # inches, as those of the pictures above it
HEIGHT = 1.0  # inches of the axes
CROWDED = 0.1  # of the width: names of nearer ticks are turned


def band_figure(shares: ArrayLike, ticks: Mapping[float, str], peak: str, *, x_label: str) -> Figure:
    """Draw the share of each band over the bands, the largest one named; dotted, where all would count the same.

    Args:
        shares: (bands,), which add up to 1.
        ticks: places from 0, the begin of the first band, to 1, the end of the last one, and their names.
        peak: what is written at the largest share.
        x_label: of the axes.

    Example:
        >>> figure = band_figure([0.1, 0.7, 0.2], {0.5: "1"}, "1 kHz, 0.3 s", x_label="frequency in kHz (mel)")
        >>> figure.axes[0].texts[0].get_text()
        '1 kHz, 0.3 s'
    """
    percent = 100 * np.asarray(shares, np.float64)
    turned = len(ticks) > 1 and bool(np.diff(sorted(ticks)).min() < CROWDED)
    bottom = BOTTOM + 0.22 * turned
    figure = Figure(figsize=(WIDTH, HEIGHT + bottom + TOP), facecolor="white")
    total = figure.get_figheight()
    axis = figure.add_axes((LEFT / WIDTH, bottom / total, (WIDTH - LEFT - RIGHT) / WIDTH, HEIGHT / total))
    dress(axis, frame=True)
    edges = np.linspace(0, 1, len(percent) + 1)
    axis.stairs(percent, edges, fill=True, color=FLAGGED, alpha=0.85)
    axis.axhline(100 / len(percent), color=MUTED, lw=0.8, ls=":")
    highest = int(percent.argmax())
    middle = (highest + 0.5) / len(percent)
    side = "left" if middle < 0.2 else "right" if middle > 0.8 else "center"
    axis.text(middle, 1.04 * percent[highest], peak, ha=side, va="bottom", fontsize=TEXT - 0.5, color=INK)
    axis.set(xlim=(0, 1), ylim=(0, 1.3 * percent[highest]))
    turn: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    axis.set_xticks(list(ticks), list(ticks.values()), **turn)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=4))
    label_axes(axis, x_label, "share in %")
    return figure
