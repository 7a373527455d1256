"""Figures of one sample: a picture with its anomaly map, a signal over time."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import zoom

from endline.errors import EndlineError
from endline.reporting.palette import INK, KIND_COLOURS, MUTED, NORMAL, TEXT, WIDTH
from endline.reporting.style import MAP_COLOURS, dress, label_axes

_LEFT, _RIGHT, _BOTTOM, _TOP = 0.60, 0.72, 0.40, 0.08  # margins in inches, equal so that stacked axes align


def map_overlay(
    image: ArrayLike,
    anomaly_map: ArrayLike | None,
    *,
    limits: tuple[float, float] | None = None,
    extent: tuple[float, float, float, float] | None = None,
    lower_origin: bool = False,
    x_label: str = "",
    y_label: str = "",
    y_ticks: Mapping[float, str] | None = None,
    colours: str = "gray",
    bar_label: str = "anomaly score",
    width: float = WIDTH,
    height: float | None = None,
    hottest: tuple[float, float] | None = None,
) -> Figure:
    """Draw a picture with an anomaly map over it, upsampled bilinearly.

    Without a map the picture stands alone; a grey one then has a bar of its own values, unless `bar_label` is empty.

    Args:
        image: picture (H, W, 3), uint8 or floats in 0..1, or (H, W) of any finite values.
        anomaly_map: (h, w), or None.
        limits: (low, high), the map's shared colour limits, its own range by default; low is transparent.
        extent: (left, right, bottom, top) in axis units gives the picture axes with labels and fits it to `height`
            inches; without it the pixels are square and unlabelled.
        lower_origin: whether row 0 is at the bottom.
        x_label: of the axes.
        y_label: of the axes.
        y_ticks: positions and their labels.
        colours: matplotlib colour map of a grey picture ("gray_r", dark on white, suits a spectrogram best).
        bar_label: of the colour bar.
        width: inches, with the labels.
        height: inches of the picture; it follows from the picture's shape by default.
        hottest: (row, column) of the map's largest value as shares of height and width, which a ring marks.

    Raises:
        EndlineError: for a picture or map of another shape, values that are not finite, or limits in the wrong order.

    Example:
        >>> figure = map_overlay(np.zeros((8, 12)), np.array([[0.0, 1.0]]), hottest=(0.5, 0.75))
        >>> len(figure.axes)  # the picture and the colour bar
        2
    """
    picture = _picture(image)
    shown_map = None if anomaly_map is None else upsample_map(anomaly_map, picture.shape[:2])
    if limits is not None and not limits[0] < limits[1]:
        raise EndlineError(f"The map's limits {limits} are not (low, high): give the smaller one first.")
    has_bar = bool(bar_label) and (shown_map is not None or picture.ndim == 2)
    labelled = extent is not None
    axis, bar_axis = _axes(picture.shape, labelled, has_bar, width, height)
    aspect: Literal["auto", "equal"] = "auto" if labelled or height else "equal"
    where = _Placing(extent, "lower" if lower_origin else "upper", aspect)
    drawn = _show(axis, picture, where, cmap=colours if picture.ndim == 2 else None)
    if shown_map is not None:
        low, high = limits if limits is not None else (float(shown_map.min()), float(shown_map.max()))
        high = high if high > low else low + 1.0  # a constant map is drawn transparent
        drawn = _show(axis, shown_map, where, cmap=MAP_COLOURS, vmin=low, vmax=high)
    if hottest is not None:
        _ring(axis, hottest, lower_origin)
    dress(axis, frame=True)
    if not labelled:
        axis.set_axis_off()
    if y_ticks is not None:
        axis.set_yticks(list(y_ticks), list(y_ticks.values()))
    label_axes(axis, x_label, y_label)
    if has_bar:
        _draw_bar(drawn, bar_axis, bar_label)
    return axis.figure  # type: ignore[return-value]


class _Placing(NamedTuple):
    extent: tuple[float, float, float, float] | None
    origin: Literal["upper", "lower"]
    aspect: Literal["auto", "equal"]


def _axes(
    shape: tuple[int, ...], labelled: bool, has_bar: bool, width: float, height: float | None
) -> tuple[Axes, Axes | None]:
    """Axes of a picture (H, W) and, where there is one, of its colour bar."""
    left = _LEFT if labelled else 0.02
    right = _RIGHT if has_bar or labelled else 0.02
    bottom, top = (_BOTTOM, _TOP) if labelled else (0.06, 0.06)
    plot_width = width - left - right
    plot_height = height or (1.5 if labelled else plot_width * shape[0] / shape[1])
    total = plot_height + bottom + top
    figure = Figure(figsize=(width, total), facecolor="white")
    axis = figure.add_axes((left / width, bottom / total, plot_width / width, plot_height / total))
    if not has_bar:
        return axis, None
    return axis, figure.add_axes(((width - right + 0.10) / width, bottom / total, 0.11 / width, plot_height / total))


def _show(axis: Axes, values: NDArray[Any], where: _Placing, **colours: Any) -> AxesImage:
    return axis.imshow(values, interpolation="nearest", **where._asdict(), **colours)


def _ring(axis: Axes, hottest: tuple[float, float], lower_origin: bool) -> None:
    """Mark a position, given as shares of the height from row 0 and of the width from the left."""
    row, column = hottest
    height = row if lower_origin else 1 - row
    ring: dict[str, Any] = {"marker": "o", "ms": 11, "mfc": "none", "transform": axis.transAxes, "clip_on": False}
    axis.plot([column], [height], mec="white", mew=2.6, **ring)
    axis.plot([column], [height], mec=INK, mew=1.0, **ring)


def _draw_bar(drawn: AxesImage, axis: Axes | None, label: str) -> None:
    assert axis is not None
    assert isinstance(axis.figure, Figure)
    bar = axis.figure.colorbar(drawn, cax=axis)
    bar.outline.set_edgecolor(MUTED)
    bar.outline.set_linewidth(0.6)
    bar.locator = MaxNLocator(nbins=4)
    bar.update_ticks()
    axis.tick_params(labelsize=TEXT - 0.5, length=2, width=0.6, color=MUTED, labelcolor=INK, pad=2)
    bar.set_label(label, fontsize=TEXT - 0.5, color=INK, labelpad=2)


def upsample_map(anomaly_map: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Bring a map (h, w) to `shape` (H, W) bilinearly, cells aligned by area (no corner alignment).

    Raises:
        EndlineError: for a map of another number of axes, or with values that are not finite.

    Example:
        >>> upsample_map([[0.0, 1.0]], (1, 4)).round(2).tolist()
        [[0.0, 0.25, 0.75, 1.0]]
    """
    values = np.asarray(anomaly_map, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise EndlineError(
            f"The anomaly map has shape {values.shape}, not (height, width): give one sample's map at a time."
        )
    if not np.isfinite(values).all():
        raise EndlineError("The anomaly map holds NaN or infinity: set such cells to its lower limit.")
    factors = (shape[0] / values.shape[0], shape[1] / values.shape[1])
    return np.asarray(zoom(values, factors, order=1, mode="nearest", grid_mode=True), dtype=np.float64)


def waveform_figure(
    signal: ArrayLike,
    rate: float,
    spans: Sequence[tuple[str, float, float]] = (),
    *,
    x_label: str = "time in s",
    y_label: str = "amplitude",
    width: float = WIDTH,
    height: float = 0.8,
) -> Figure:
    """Draw a signal over time, with named spans.

    Long signals are drawn as the band from the smallest to the largest value of each column: no peak is lost.

    Args:
        signal: (n,).
        rate: values a second.
        spans: (name, start, stop) in seconds.
        x_label: of the axes.
        y_label: of the axes.
        width: inches, with the labels.
        height: inches of the axes alone.

    Raises:
        EndlineError: for another number of axes, no value, or a rate that is not positive.

    Example:
        >>> waveform_figure(np.sin(np.arange(50.0)), 10.0, [("fold", 1.0, 3.0)]).axes[0].get_xlim()
        (np.float64(0.0), np.float64(5.0))
    """
    values = np.asarray(signal, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not rate > 0:
        raise EndlineError(
            f"A signal of shape {values.shape} at rate {rate} cannot be drawn: give one channel and a positive rate."
        )
    figure = Figure(figsize=(width, height + _BOTTOM + 0.22), facecolor="white")
    total = figure.get_figheight()
    box = (_LEFT / width, _BOTTOM / total, (width - _LEFT - _RIGHT) / width, height / total)
    axis = figure.add_axes(box)
    dress(axis, frame=True)
    _draw_spans(axis, spans)
    step = max(1, values.size // 1600)
    starts = np.arange(0, values.size, step)
    lower, upper = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    if step > 1:
        axis.fill_between(starts / rate, lower, upper, color=INK, lw=0.25)
    else:
        axis.plot(starts / rate, values, color=INK, lw=0.8)
    axis.set_xlim(0, values.size / rate)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=3))
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 4), useMathText=True)
    axis.yaxis.get_offset_text().set(fontsize=TEXT - 1, color=MUTED)
    label_axes(axis, x_label, y_label)
    return figure


def _draw_spans(axis: Axes, spans: Sequence[tuple[str, float, float]]) -> None:
    colours = {name: (NORMAL, *KIND_COLOURS[1:])[i % 6] for i, name in enumerate(dict.fromkeys(s[0] for s in spans))}
    for name, start, stop in spans:
        axis.axvspan(start, stop, color=colours[name], alpha=0.16, lw=0)
        axis.text(
            (start + stop) / 2,
            1.04,
            name,
            transform=axis.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=TEXT - 0.5,
            color=INK,
            clip_on=False,
        )


def _picture(image: ArrayLike) -> NDArray[Any]:
    picture = np.asarray(image)
    if picture.ndim not in (2, 3) or 0 in picture.shape or (picture.ndim == 3 and picture.shape[2] != 3):
        raise EndlineError(
            f"The picture has shape {picture.shape}, not (height, width) or (height, width, 3): "
            "put the channels last and give one picture at a time."
        )
    if picture.dtype == np.uint8:
        return picture
    picture = picture.astype(np.float64)
    if not np.isfinite(picture).all():
        raise EndlineError("The picture holds NaN or infinity: fill missing pixels before it is drawn.")
    if picture.ndim == 3 and (picture.min() < 0 or picture.max() > 1):
        raise EndlineError("The colour picture is neither uint8 nor floats in 0..1: rescale it before.")
    return picture
