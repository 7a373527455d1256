"""Figures of one cycle: the signals that count most over a normal cycle, the map below, and signals ranked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from endline.reporting.palette import FLAGGED, INK, MUTED, NORMAL, TEXT, WIDTH
from endline.reporting.style import MAP_COLOURS, dress
from endline.robot_signals import UNITS

SHOWN = 3  # signals drawn in full
MAP_SIGNALS = 8  # rows of the map: the signals that count most
COLUMNS = 100  # segments of a cycle, over each of which the map is a moving mean: a single step is too thin to see
BRIGHTEST = 0.99  # quantile of the map's values that has the darkest colour
RANKED = 10
LEFT, RIGHT = 1.5, 0.12  # inches beside the axes: names of signals are long


@dataclass(frozen=True)
class CycleView:
    """What the figures of one cycle show.

    Attributes:
        signals: names.
        values, nearest: (signals, steps) of the cycle and of its nearest normal one; NaN where a cycle is over.
        anomaly_map: (signals or 1, steps), or None.
        seconds: duration of a step; None where cycles are resampled to one length.

    Example:
        >>> view = CycleView(["force"], np.zeros((1, 5), "f4"), np.zeros((1, 5), "f4"), None, seconds=0.5)
        >>> view.moment(3)
        '1.50 s'
    """

    signals: Sequence[str]
    values: NDArray[np.float32]
    nearest: NDArray[np.float32]
    anomaly_map: NDArray[np.float32] | None
    seconds: float | None

    @property
    def times(self) -> NDArray[np.float64]:
        """Position of every step, in seconds or in percent of the cycle."""
        steps = np.arange(self.values.shape[1], dtype=np.float64)
        return steps * (self.seconds or 100 / max(1, len(steps) - 1))

    def moment(self, step: int) -> str:
        """Where a step lies, in words."""
        position = self.times[step]
        return f"{position:.2f} s" if self.seconds else f"{position:.0f} % of the cycle"


def signals_figure(view: CycleView, order: Sequence[int]) -> Figure:
    """Draw the first signals of an order one below the other, the nearest normal cycle behind each, the map below.

    Args:
        view: what is shown.
        order: indices of the signals, those that count most first.

    Example:
        >>> view = CycleView(["a", "b"], np.zeros((2, 5), "f4"), np.zeros((2, 5), "f4"), np.zeros((2, 5), "f4"), 0.5)
        >>> len(signals_figure(view, [1, 0]).axes)
        3
    """
    chosen = order[:SHOWN]
    rows = _map_rows(view.anomaly_map, order)
    foot = 0.25 + 0.13 * max(2, len(rows)) if rows else 0.0
    height = 0.85 * len(chosen) + foot + 0.45
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    ratios = [0.85] * len(chosen) + ([foot] if rows else [])
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    figure.subplots_adjust(
        left=LEFT / WIDTH, right=1 - RIGHT / WIDTH, bottom=0.38 / height, top=1 - 0.05 / height, hspace=0.16
    )
    for axis, signal in zip(axes, chosen, strict=False):
        _draw_signal(axis, view, signal)
    if rows:
        _draw_map(axes[-1], view, rows)
    label = "time in s" if view.seconds else "share of the cycle in %"
    axes[-1].set_xlabel(label, fontsize=TEXT, color=INK, labelpad=1.5)
    axes[-1].set_xlim(view.times[0], view.times[-1])
    return figure


def ranking_figure(by_signal: pd.Series, by_axis: pd.Series) -> Figure:
    """Draw bars of the largest shares, of signals and of axes (the latter where there is more than one).

    Args:
        by_signal: share of each signal, largest first.
        by_axis: share of each robot axis, largest first.

    Example:
        >>> len(ranking_figure(pd.Series({"force": 0.9, "way": 0.1}), pd.Series({"robot": 1.0})).axes)
        1
    """
    shown = by_signal.head(RANKED)[::-1]
    axes_shown = by_axis[::-1] if len(by_axis) > 1 else by_axis.iloc[:0]
    height = 0.17 * max(len(shown), 2) + 0.45
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    wide = 1.9 if len(axes_shown) else WIDTH - LEFT - RIGHT - 0.3
    spots = [(LEFT + 0.1, wide, shown)] + ([(LEFT + 0.1 + wide + 0.75, 0.85, axes_shown)] if len(axes_shown) else [])
    for left, width, bars in spots:
        axis = figure.add_axes((left / WIDTH, 0.36 / height, width / WIDTH, 1 - 0.42 / height))
        axis.barh(range(len(bars)), 100 * bars.to_numpy(), color=FLAGGED, height=0.72)
        axis.set_yticks(range(len(bars)), [str(name) for name in bars.index])
        axis.set_ylim(-0.6, max(len(shown), 2) - 0.4 if bars is shown else len(bars) - 0.4)
        axis.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        dress(axis)
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel("share in %", fontsize=TEXT, color=INK, labelpad=1.5)
    return figure


def _map_rows(anomaly_map: NDArray[np.float32] | None, order: Sequence[int]) -> list[int]:
    """Rows of the map that are drawn: those of the signals that count most."""
    if anomaly_map is None:
        return []
    return [0] if len(anomaly_map) == 1 else list(order[:MAP_SIGNALS])


def _draw_signal(axis: Axes, view: CycleView, signal: int) -> None:
    axis.plot(view.times, view.nearest[signal], color=NORMAL, lw=0.9)
    axis.plot(view.times, view.values[signal], color=FLAGGED, lw=0.9)
    dress(axis, grid=True)
    axis.yaxis.set_major_locator(MaxNLocator(3))
    unit = UNITS.get(view.signals[signal])
    _name(axis, _wrapped(view.signals[signal]) + (f"\nin {unit}" if unit else ""))


def _draw_map(axis: Axes, view: CycleView, rows: list[int]) -> None:
    assert view.anomaly_map is not None
    times = view.times
    extent = (times[0], times[-1], len(rows) - 0.5, -0.5)
    width = max(1, round(len(times) / COLUMNS))
    smooth = uniform_filter1d(view.anomaly_map[rows], width, axis=1, mode="constant")
    # A single step of a signal that hardly counts may hold the largest value: it shall not pale all the others.
    brightest = float(np.quantile(smooth, BRIGHTEST)) or float(smooth.max()) or 1.0
    norm = PowerNorm(0.5, vmin=0, vmax=brightest, clip=True)
    axis.imshow(smooth, cmap=MAP_COLOURS, aspect="auto", interpolation="nearest", extent=extent, norm=norm)
    dress(axis, frame=True)
    names = [view.signals[row] for row in rows] if len(view.anomaly_map) > 1 else ["all signals"]
    axis.set_yticks(range(len(rows)), names)
    axis.tick_params(axis="y", length=0, labelsize=TEXT - 1.5, labelcolor=MUTED)


def _name(axis: Axes, name: str) -> None:
    figure = axis.get_figure()
    assert figure is not None
    position = blended_transform_factory(figure.transFigure, axis.transAxes)  # the tick labels' width varies
    axis.text(0.012, 0.5, name, transform=position, ha="left", va="center", fontsize=TEXT - 1, color=INK)


def _wrapped(name: str, longest: int = 18) -> str:
    """A long name on two lines, broken at an underscore."""
    if len(name) <= longest:
        return name
    cut = name.rfind("_", 0, longest)
    return f"{name[: cut + 1]}\n{name[cut + 1 :]}" if cut > 0 else name
