"""Figures of one sample: a picture with its anomaly map, a signal over time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import zoom

from endline.errors import EndlineError
from endline.reporting.style import HEAT, INK, KIND_COLOURS, MUTED, NORMAL, TEXT, WIDTH, dress, label_axes

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
) -> Figure:
    """Draw a picture (H, W) or (H, W, 3) with an anomaly map (h, w) over it, upsampled bilinearly.

    Colour pictures are uint8, or floats in 0..1; grey ones are any finite values, drawn by the matplotlib
    colour map `colours` ("gray_r", dark on white, shows a spectrogram best under a map).
    `limits` (low, high) are the map's shared colour limits, its own range by default; low is transparent.
    `extent` (left, right, bottom, top) in axis units gives the picture axes with labels and stretches it to
    `height` inches; without it the pixels are square and unlabelled. `y_ticks` maps positions to labels.
    Without a map the picture stands alone; a grey one then has a bar of its own values, unless `bar_label` is
    empty.
    """
    picture = _picture(image)
    heat = None if anomaly_map is None else upsample_map(anomaly_map, picture.shape[:2])
    if limits is not None and not limits[0] < limits[1]:
        raise EndlineError(f"The map's limits {limits} are not (low, high): give the smaller one first.")
    labelled = extent is not None
    has_bar = bool(bar_label) and (heat is not None or picture.ndim == 2)
    left = _LEFT if labelled else 0.02
    right = _RIGHT if has_bar or labelled else 0.02
    bottom, top = (_BOTTOM, _TOP) if labelled else (0.06, 0.06)
    plot_width = width - left - right
    plot_height = height or (1.5 if labelled else plot_width * picture.shape[0] / picture.shape[1])
    figure = Figure(figsize=(width, plot_height + bottom + top), facecolor="white")
    total = figure.get_figheight()
    axis = figure.add_axes((left / width, bottom / total, plot_width / width, plot_height / total))
    options: dict[str, Any] = {"extent": extent, "origin": "lower" if lower_origin else "upper"}
    options["aspect"] = "auto" if labelled or height else "equal"
    shown = axis.imshow(picture, cmap=colours if picture.ndim == 2 else None, interpolation="nearest", **options)
    if heat is not None:
        low, high = limits if limits is not None else (float(heat.min()), float(heat.max()))
        high = high if high > low else low + 1.0  # a constant map is drawn transparent
        shown = axis.imshow(heat, cmap=HEAT, vmin=low, vmax=high, interpolation="nearest", **options)
    dress(axis, frame=True)
    if not labelled:
        axis.set_axis_off()
    if y_ticks is not None:
        axis.set_yticks(list(y_ticks), list(y_ticks.values()))
    label_axes(axis, x_label, y_label)
    if has_bar:
        bar_axis = figure.add_axes(((width - right + 0.10) / width, bottom / total, 0.11 / width, plot_height / total))
        bar = figure.colorbar(shown, cax=bar_axis)
        bar.outline.set_edgecolor(MUTED)
        bar.outline.set_linewidth(0.6)
        bar.locator = MaxNLocator(nbins=4)
        bar.update_ticks()
        bar_axis.tick_params(labelsize=TEXT - 0.5, length=2, width=0.6, color=MUTED, labelcolor=INK, pad=2)
        bar.set_label(bar_label, fontsize=TEXT - 0.5, color=INK, labelpad=2)
    return figure


def shared_limits(maps: NDArray[np.float32]) -> tuple[float, float] | None:
    """One colour scale (low, high) for all maps (n, h, w) of a report; None where there is nothing to tell apart.

    The brightest spot of the oddest sample alone would pale all others, so it is cut off.
    """
    low, high = np.quantile(maps, [0.5, 0.999]).tolist() if maps.size else (0.0, 0.0)
    return (low, high) if high > low else None


def upsample_map(anomaly_map: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Bring a map (h, w) to `shape` (H, W) bilinearly, cells aligned by area (no corner alignment)."""
    heat = np.asarray(anomaly_map, dtype=np.float64)
    if heat.ndim != 2 or 0 in heat.shape:
        raise EndlineError(
            f"The anomaly map has shape {heat.shape}, not (height, width): give one sample's map at a time."
        )
    if not np.isfinite(heat).all():
        raise EndlineError("The anomaly map holds NaN or infinity: set such cells to its lower limit.")
    factors = (shape[0] / heat.shape[0], shape[1] / heat.shape[1])
    return np.asarray(zoom(heat, factors, order=1, mode="nearest", grid_mode=True), dtype=np.float64)


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
    """Draw a one-dimensional signal (n,), `rate` values a second, with named spans (name, start, stop) in s.

    Long signals are drawn as the band from the smallest to the largest value of each column: no peak is lost.
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
