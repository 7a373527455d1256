"""The histogram of a run's scores: a row for the normals and for each kind, one axis, the threshold through all."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from endline.errors import EndlineError
from endline.reporting.palette import (
    CALIBRATING,
    FLAGGED,
    INK,
    MUTED,
    NORMAL,
    TEXT,
    UNKNOWN,
    kind_colours,
    kind_name,
)
from endline.reporting.score_axis import ScoreScale, round_scores, score_edges
from endline.reporting.style import dress

FIXED = {"normal": NORMAL, "calibrating normals": CALIBRATING, "label unknown": UNKNOWN}
SCALE_NAMES = {"linear": "", "log": ", logarithmic", "asinh": ", logarithmic away from 0"}
WIDTH = 6.1  # inches
ROWS_HEIGHT = 3.7  # inches that all rows share


def score_histogram(groups: pd.DataFrame, threshold: float | None) -> Figure:
    """Draw one row of bars for each group of scores, with the threshold through all.

    The axis is logarithmic when the scores have a heavy tail (around 0 it is linear, where some are not positive);
    where that is not enough it ends early and the outermost bars hold, and say, what lies beyond. Bars are scaled row
    by row.

    Args:
        groups: columns `group, score, flagged`, as `score_groups` gives them.
        threshold: items above it are flagged, or above what is near to it where several folds decide; None, or
            infinite, for none.

    Raises:
        EndlineError: where there is no score.

    Example:
        >>> table = pd.DataFrame({"group": ["normal", "normal", "dent"], "score": [0.1, 0.2, 0.9]})
        >>> table = table.assign(flagged=[False, False, True])
        >>> len(score_histogram(table, 0.5).axes)
        2
    """
    if groups.empty:
        raise EndlineError("The score table holds no finite score: look at the detector's training.")
    by_group = groups.groupby("group", sort=False)
    scores = {str(name): rows["score"].to_numpy(float) for name, rows in by_group}
    flagged = {str(name): rows["flagged"].dropna() for name, rows in by_group}
    limit = threshold if threshold is not None and math.isfinite(threshold) else None
    edges, scale = score_edges(scores, limit)
    axes = _rows(len(scores))
    colours = kind_colours([name for name in scores if name not in FIXED]) | FIXED
    for axis, (name, values) in zip(axes, scores.items(), strict=True):
        _bars(axis, values, edges, colours[name])
        label = name if name in FIXED else kind_name(name)
        axis.text(-0.015, 0.08, shortened(label, 20), transform=axis.transAxes, ha="right", fontsize=TEXT, color=INK)
        if limit is not None:
            axis.axvline(limit, color=INK, lw=1.0, ls=(0, (4, 2)))
            axis.axvspan(limit, edges[-1], color=FLAGGED, alpha=0.055, lw=0)
        words = _counts(values, edges, flagged[name])
        axis.text(1.015, 0.5, words, transform=axis.transAxes, va="center", fontsize=TEXT - 0.5, color=MUTED)
    _lay_scores(axes[-1], edges, scale)
    for axis in axes[:-1]:
        axis.tick_params(bottom=False, labelbottom=False)
    if limit is not None:
        known = groups.dropna(subset="flagged")
        exact = bool(((known["score"] > limit) == known["flagged"]).all())
        _name_threshold(axes[0], limit, exact=exact)
    return axes[0].figure  # type: ignore[return-value]


def shortened(name: str, longest: int = 22) -> str:
    r"""Keep a name inside its column; `$` is no formula here.

    Example:
        >>> print(shortened("scratch of 5 $", 30), shortened("a long name of a fault kind", 12))
        scratch of 5 \$ a long name…
    """
    return (name if len(name) <= longest else name[: longest - 1] + "…").replace("$", r"\$")


def _rows(count: int) -> list[Axes]:
    height = 0.72 + count * max(0.5, min(0.95, ROWS_HEIGHT / count))
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    axes = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    figure.subplots_adjust(
        left=1.28 / WIDTH, right=1 - 0.82 / WIDTH, bottom=0.46 / height, top=1 - 0.26 / height, hspace=0.12
    )
    return list(axes)


def _bars(axis: Axes, values: NDArray[np.float64], edges: NDArray[np.float64], colour: str) -> None:
    # Mirrored, so that bars hold (left, right]: a score equal to the threshold is not above it.
    counts = np.histogram(-np.clip(values, edges[0], edges[-1]), bins=-edges[::-1])[0][::-1]
    axis.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colour, edgecolor="white", lw=0.4)
    dress(axis)
    axis.set_ylim(0, counts.max() * 1.12)
    axis.yaxis.set_major_locator(NullLocator())


def _counts(values: NDArray[np.float64], edges: NDArray[np.float64], flagged: pd.Series) -> str:
    lines = [f"n = {values.size}"]
    if len(flagged):
        lines.append(f"{int(flagged.sum())} flagged")
    if beyond := int(((values < edges[0]) | (values > edges[-1])).sum()):
        lines.append(f"{beyond} off the axis")
    return "\n".join(lines)


def _lay_scores(axis: Axes, edges: NDArray[np.float64], scale: ScoreScale) -> None:
    """Scale, ticks and label of the score axis."""
    if scale.name == "log":
        subs = (1.0, 2.0, 5.0) if edges[-1] / edges[0] < 300 else (1.0,)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=subs))
    elif scale.name == "asinh":
        axis.set_xscale("asinh", linear_width=scale.width)
        axis.xaxis.set_major_locator(FixedLocator(round_scores(edges, scale.width)))
    if scale.name != "linear":
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}" if abs(x) < 1e6 else f"{x:.0e}"))
    axis.set_xlim(edges[0], edges[-1])
    axis.set_xlabel(f"score{SCALE_NAMES[scale.name]} (larger = more anomalous)", fontsize=TEXT, color=INK)


def _name_threshold(axis: Axes, limit: float, *, exact: bool) -> None:
    right_half = axis.transData.transform((limit, 0))[0] > axis.transAxes.transform((0.6, 0))[0]
    axis.annotate(
        f"threshold {limit:.4g}" if exact else f"threshold near {limit:.4g}: several folds decide",
        (limit, 1),
        xycoords=axis.get_xaxis_transform(),
        textcoords="offset points",
        xytext=(-3 if right_half else 3, 4),
        ha="right" if right_half else "left",
        fontsize=TEXT,
        color=INK,
    )
