"""Figures of a run: each is drawn once, as a PNG file that the report takes over."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from endline.reporting.histogram import score_histogram, shortened
from endline.reporting.palette import (
    FLAGGED,
    GRID,
    INK,
    KIND_COLOURS,
    LINE_STYLES,
    MUTED,
    NORMAL,
    OVERALL,
    TEXT,
    kind_colours,
    kind_name,
)
from endline.reporting.style import dress, encode_png

WHOLE = "whole"  # part of evidence without parts: no name to show
LONG_LEGEND = 7  # curves: the legend of more does not fit into the corner


def run_figures(
    groups: pd.DataFrame, metrics: Mapping[str, Any], curves: pd.DataFrame, history: pd.DataFrame
) -> dict[str, bytes]:
    """Figures of a run, file name -> PNG: `scores.png`, `roc.png`, `training.png`, those that there is data for.

    Args:
        groups: as `score_groups` gives them.
        metrics: as `summarise` gives them.
        curves: as `roc_curves` gives them.
        history: columns `part, fold, member, epoch, loss`.

    Example:
        >>> table = pd.DataFrame({"group": ["normal", "normal"], "score": [0.1, 0.2], "flagged": False})
        >>> list(run_figures(table, {"threshold": None}, pd.DataFrame(), pd.DataFrame()))
        ['scores.png']
    """
    rate, recall = metrics.get("false_alarm_rate"), metrics.get("recall")
    drawn = {
        "scores.png": None if groups.empty else score_histogram(groups, metrics.get("threshold")),
        "roc.png": roc_figure(curves, None if rate is None or recall is None else (rate, recall)),
        "training.png": training_figure(history),
    }
    return encoded(drawn)


def encoded(drawn: Mapping[str, Figure | None]) -> dict[str, bytes]:
    """PNG files of the figures that there are, by their names.

    Example:
        >>> encoded({"roc.png": None})
        {}
    """
    return {name: encode_png(figure) for name, figure in drawn.items() if figure is not None}


def roc_figure(curves: pd.DataFrame, operating_point: tuple[float, float] | None = None) -> Figure | None:
    """Draw ROC curves, that of all faults in ink; None without a curve.

    Args:
        curves: columns `kind, false_alarm_rate, recall, auroc`, as `roc_curves` gives them.
        operating_point: (false-alarm rate, recall) at the threshold, both in 0..1.

    Example:
        >>> roc_figure(pd.DataFrame(columns=["kind", "false_alarm_rate", "recall", "auroc"])) is None
        True
    """
    if curves.empty:
        return None
    by_kind = {str(kind): rows for kind, rows in curves.groupby("kind", sort=False)}
    axis = _square(len(by_kind))
    axis.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":", label="_chance")
    kinds = sorted(kind for kind in by_kind if kind != OVERALL)
    colours = kind_colours(kinds)
    for i, kind in enumerate(kinds):
        style = LINE_STYLES[i // len(KIND_COLOURS) % len(LINE_STYLES)]
        _curve(axis, by_kind[kind], shortened(kind_name(kind)), color=colours[kind], lw=1.3, ls=style)
    if OVERALL in by_kind:
        _curve(axis, by_kind[OVERALL], "all faults", color=INK, lw=2.1)
    if operating_point is not None:
        axis.plot(*operating_point, "o", ms=7, mfc="white", mec=FLAGGED, mew=1.8, label="at the threshold", zorder=5)
    axis.set(xlim=(-0.012, 1.0), ylim=(0, 1.012))
    axis.set_xlabel("false-alarm rate", fontsize=TEXT, color=INK)
    axis.set_ylabel("recall", fontsize=TEXT, color=INK)
    figure = axis.figure
    assert isinstance(figure, Figure)
    if len(by_kind) > LONG_LEGEND:
        figure.legend(loc="lower left", ncols=2, fontsize=TEXT - 0.5, frameon=False, title="AUROC", title_fontsize=TEXT)
    else:
        frame = {"framealpha": 0.92, "edgecolor": GRID, "title_fontsize": TEXT, "alignment": "left"}
        axis.legend(loc="lower right", fontsize=TEXT, title="AUROC", **frame)
    return figure


def _square(curves: int, width: float = 4.5) -> Axes:
    """Square axes, with room below for a legend of many curves."""
    under = 0.18 * (2 + curves // 2) if curves > LONG_LEGEND else 0.0
    side = width - 0.56 - 0.12
    height = side + 0.16 + 0.48 + under
    figure = Figure(figsize=(width, height), facecolor="white")
    axis = figure.add_axes((0.56 / width, (0.48 + under) / height, side / width, side / height))
    dress(axis, grid=True)
    return axis


def _curve(axis: Axes, points: pd.DataFrame, name: str, **style: Any) -> None:
    label = f"{name}  {float(points['auroc'].iloc[0]):.3f}"
    axis.plot(points["false_alarm_rate"], points["recall"], label=label, **style)


def training_figure(history: pd.DataFrame, *, width: float = 11.2) -> Figure | None:
    """Draw the loss by epoch, a panel for each part, a line for each fold and member; None without epochs.

    Args:
        history: columns `part, fold, member, epoch, loss`, and `validation_loss` where there is one.
        width: in inches, of two parts.

    Example:
        >>> history = pd.DataFrame({"part": "unfold", "fold": 0, "member": 0, "epoch": [1, 2], "loss": [2.0, 1.0]})
        >>> len(training_figure(history).axes)
        1
    """
    if history.empty:
        return None
    parts = list(history.groupby("part", dropna=False, sort=False))
    width = min(width, 0.9 + 5.15 * len(parts))
    figure = Figure(figsize=(width, 2.55), facecolor="white")
    axes = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(left=0.84 / width, right=1 - 0.15 / width, bottom=0.19, top=0.89, wspace=0.06)
    drawn: list[NDArray[np.float64]] = []
    for axis, (part, rows) in zip(axes, parts, strict=True):
        drawn += _losses(axis, rows)
        if not pd.isna(part) and part != WHOLE:
            axis.set_title(str(part), fontsize=TEXT + 0.5, color=INK, loc="left", pad=4)
    axes[0].set_ylabel("loss", fontsize=TEXT, color=INK)
    if drawn:
        axes[0].set_ylim(*_loss_limits(np.concatenate(drawn)))
        axes[-1].legend(fontsize=TEXT, frameon=False, loc="upper right")
    return figure


def _losses(axis: Axes, rows: pd.DataFrame) -> list[NDArray[np.float64]]:
    """Draw the losses of a part's members, and return those that are finite."""
    dress(axis, grid=True)
    drawn = []
    for column, label, colour in (("loss", "training", NORMAL), ("validation_loss", "validation", KIND_COLOURS[0])):
        for number, (_, member) in enumerate(rows.groupby(["fold", "member"], dropna=False) if column in rows else ()):
            losses = member[column].to_numpy(dtype=float, na_value=np.nan)
            if np.isfinite(losses).any():
                marker = "o" if len(member) == 1 else ""
                name = "_more" if number else label
                axis.plot(member["epoch"], losses, color=colour, lw=1.2, alpha=0.8, marker=marker, label=name)
                drawn.append(losses[np.isfinite(losses)])
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axis.ticklabel_format(axis="y", useOffset=False)
    axis.margins(x=0.02)
    axis.set_xlabel("epoch", fontsize=TEXT, color=INK)
    return drawn


def _loss_limits(losses: NDArray[np.float64]) -> tuple[float, float]:
    """Limits that leave out the first epochs' peak where it would flatten the rest."""
    low, high = float(losses.min()), float(losses.max())
    usual = float(np.quantile(losses, 0.97))
    if high - low > 3 * (usual - low) > 0:
        high = low + 1.3 * (usual - low)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin
