"""Figures of the report: tables and arrays to matplotlib figures, pure functions without pyplot state."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import zoom

from endline.errors import EndlineError

OVERALL = "all"
"""Key of `roc_figure`'s curve over all anomalies together."""

# Okabe and Ito, "Color Universal Design", 2008: told apart with every kind of colour vision.
INK, MUTED, GRID = "#1b2733", "#5b6b7b", "#e1e7ec"
NORMAL, CALIBRATING, UNKNOWN, FLAGGED = "#0072b2", "#9db7ca", "#8a8f96", "#b3480b"
KIND_COLOURS = ("#d55e00", "#e69f00", "#cc79a7", "#009e73", "#56b4e9", "#7a5230")
LINE_STYLES = ("-", "--", ":", "-.")
# Transparent where nothing is odd, so that the picture stays visible; darker and denser = odder.
HEAT = LinearSegmentedColormap.from_list(
    "endline_heat",
    [
        (1.00, 0.72, 0.15, 0.00),
        (1.00, 0.70, 0.10, 0.08),
        (1.00, 0.58, 0.03, 0.55),
        (0.90, 0.26, 0.05, 0.76),
        (0.60, 0.02, 0.25, 0.86),
    ],
)

WIDTH = 5.2
"""Width in inches of a figure that fills an exhibit's card; the report shows an inch as 100 CSS pixels."""
DOTS_PER_INCH = 200
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.60, 0.72, 0.40, 0.08  # margins in inches, equal so that stacked axes align
_TEXT = 8.0  # points
_BINS = 36


def kind_colours(kinds: Sequence[str]) -> dict[str, str]:
    """Give each fault kind its colour, the same in every figure of a report; colours repeat after six."""
    return {kind: KIND_COLOURS[i % len(KIND_COLOURS)] for i, kind in enumerate(sorted(set(kinds)))}


def kind_name(kind: str) -> str:
    """Name a fault kind for readers: a bare number or code, as data sets have, gets the word before it."""
    return f"fault {kind}" if len(kind) <= 3 else kind


def score_groups(scores: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Finite scores by what is known of them: calibrating (`split` train), normal, each kind, unknown.

    `scores` needs `score`; `label`, `kind` and `split` may lack or hold missing values.
    """
    found: dict[str, list[float]] = {"calibrating normals": [], "normal": []}
    unknown: list[float] = []
    kinds: dict[str, list[float]] = {}
    for row in scores.to_dict("records"):
        score = float("nan") if pd.isna(row["score"]) else float(row["score"])
        label = row.get("label")
        if not np.isfinite(score):
            continue
        if label is None or pd.isna(label):
            unknown.append(score)
        elif int(label) == 0:
            found["calibrating normals" if row.get("split") == "train" else "normal"].append(score)
        else:
            kind = row.get("kind")
            kinds.setdefault("anomalous" if kind is None or pd.isna(kind) else str(kind), []).append(score)
    found |= dict(sorted(kinds.items()))
    found["label unknown"] = unknown
    return {name: np.asarray(values) for name, values in found.items() if values}


def score_histogram(scores: pd.DataFrame, threshold: float | None, *, width: float = 6.1) -> Figure:
    """One row of bars for the normals and for each kind on one score axis, with the threshold through all.

    The axis is logarithmic when the scores are positive with a heavy tail; where that is not enough it ends
    early and the outermost bars hold, and say, what lies beyond. Bars are scaled row by row.
    """
    groups = score_groups(scores)
    if not groups:
        raise EndlineError("The score table holds no finite score: look at the detector's training.")
    limit = threshold if threshold is not None and np.isfinite(threshold) else None
    edges, is_log = _score_edges(groups, limit)
    row_height = max(0.5, min(0.95, 3.7 / len(groups)))
    figure = Figure(figsize=(width, 0.72 + row_height * len(groups)), facecolor="white")
    axes = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
    figure.subplots_adjust(
        left=1.28 / width,
        right=1 - 0.82 / width,
        hspace=0.12,
        bottom=0.46 / figure.get_figheight(),
        top=1 - 0.26 / figure.get_figheight(),
    )
    fixed = {"normal": NORMAL, "calibrating normals": CALIBRATING, "label unknown": UNKNOWN}
    colours = kind_colours([name for name in groups if name not in fixed]) | fixed
    for axis, (name, values) in zip(axes, groups.items(), strict=True):
        # Mirrored, so that bars hold (left, right]: a score equal to the threshold is not above it.
        counts = np.histogram(-np.clip(values, edges[0], edges[-1]), bins=-edges[::-1])[0][::-1]
        axis.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colours[name], edgecolor="white", lw=0.4)
        _dress(axis)
        axis.set_ylim(0, counts.max() * 1.12)
        axis.yaxis.set_major_locator(NullLocator())
        label = name if name in fixed else kind_name(name)
        axis.text(-0.015, 0.08, _short(label, 20), transform=axis.transAxes, ha="right", fontsize=_TEXT, color=INK)
        told = f"n = {values.size}"
        if limit is not None:
            axis.axvline(limit, color=INK, lw=1.0, ls=(0, (4, 2)))
            axis.axvspan(limit, edges[-1], color=FLAGGED, alpha=0.055, lw=0)
            told += f"\n{int((values > limit).sum())} above"
        if beyond := int(((values < edges[0]) | (values > edges[-1])).sum()):
            told += f"\n{beyond} off the axis"
        axis.text(1.015, 0.5, told, transform=axis.transAxes, va="center", fontsize=_TEXT - 0.5, color=MUTED)
    if is_log:
        axes[-1].set_xscale("log")
        subs = (1.0, 2.0, 5.0) if edges[-1] / edges[0] < 300 else (1.0,)
        axes[-1].xaxis.set_major_locator(LogLocator(subs=subs))
        axes[-1].xaxis.set_minor_locator(NullLocator())
        axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))
    axes[-1].set_xlim(edges[0], edges[-1])
    for axis in axes[:-1]:
        axis.tick_params(bottom=False, labelbottom=False)
    name = "score, logarithmic" if is_log else "score"
    axes[-1].set_xlabel(f"{name} (larger = more anomalous)", fontsize=_TEXT, color=INK)
    if limit is not None:
        right_half = axes[0].transData.transform((limit, 0))[0] > axes[0].transAxes.transform((0.6, 0))[0]
        axes[0].annotate(
            f"threshold {limit:.4g}",
            (limit, 1),
            xycoords=axes[0].get_xaxis_transform(),
            textcoords="offset points",
            xytext=(-3 if right_half else 3, 4),
            ha="right" if right_half else "left",
            fontsize=_TEXT,
            color=INK,
        )
    return figure


def roc_figure(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike, float]],
    *,
    operating_point: tuple[float, float] | None = None,
    width: float = 4.5,
) -> Figure | None:
    """ROC curves `{name: (false-alarm rates, recalls, auroc)}`; `OVERALL` is drawn in ink. None if empty.

    `operating_point` is (false-alarm rate, recall) at the threshold, both in 0..1.
    """
    if not curves:
        return None
    kinds = [name for name in curves if name != OVERALL]
    below = len(curves) > 7  # a long legend does not fit into the corner
    under = 0.18 * int(np.ceil(len(curves) / 2)) if below else 0.0
    side = width - 0.56 - 0.12
    figure = Figure(figsize=(width, side + 0.16 + 0.48 + under), facecolor="white")
    height = figure.get_figheight()
    axis = figure.add_axes((0.56 / width, (0.48 + under) / height, side / width, side / height))
    _dress(axis, grid=True)
    axis.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":", label="_chance")
    colours = kind_colours(kinds)
    for i, kind in enumerate(sorted(kinds)):
        rates, recalls, auroc = curves[kind]
        style = LINE_STYLES[i // len(KIND_COLOURS) % len(LINE_STYLES)]
        label = f"{_short(kind_name(kind))}  {auroc:.3f}"
        axis.plot(rates, recalls, color=colours[kind], lw=1.3, ls=style, label=label)
    if OVERALL in curves:
        rates, recalls, auroc = curves[OVERALL]
        axis.plot(rates, recalls, color=INK, lw=2.1, label=f"all faults  {auroc:.3f}")
    if operating_point is not None:
        axis.plot(*operating_point, "o", ms=7, mfc="white", mec=FLAGGED, mew=1.8, label="at the threshold", zorder=5)
    axis.set(xlim=(-0.012, 1.0), ylim=(0, 1.012))
    axis.set_xlabel("false-alarm rate", fontsize=_TEXT, color=INK)
    axis.set_ylabel("recall", fontsize=_TEXT, color=INK)
    handles, labels = axis.get_legend_handles_labels()
    if below:
        figure.legend(handles, labels, loc="lower left", ncols=2, fontsize=_TEXT - 0.5, frameon=False)
    else:
        axis.legend(
            handles,
            labels,
            loc="lower right",
            fontsize=_TEXT,
            framealpha=0.92,
            edgecolor=GRID,
            title="AUROC",
            title_fontsize=_TEXT,
            alignment="left",
        )
    return figure


def training_figure(history: pd.DataFrame | None, *, width: float = 11.2) -> Figure | None:
    """Loss by epoch, a panel for each part, a line for each member; None for detectors that do not iterate.

    `history` has the columns part, member, epoch, loss and may have validation_loss.
    """
    if history is None or history.empty:
        return None
    parts = list(history.groupby("part", dropna=False, sort=False))
    width = min(width, 0.9 + 5.15 * len(parts))
    figure = Figure(figsize=(width, 2.55), facecolor="white")
    axes = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(left=0.62 / width, right=1 - 0.15 / width, bottom=0.19, top=0.89, wspace=0.06)
    columns = {"loss": NORMAL, "validation_loss": KIND_COLOURS[0]}
    drawn: list[NDArray[np.float64]] = []
    for axis, (part, rows) in zip(axes, parts, strict=True):
        _dress(axis, grid=True)
        for column, colour in columns.items():
            label = "training" if column == "loss" else "validation"
            for _, member in rows.groupby("member", dropna=False) if column in rows else ():
                losses = member[column].to_numpy(dtype=float, na_value=np.nan)
                if np.isfinite(losses).any():
                    marker = "o" if len(member) == 1 else ""
                    axis.plot(member["epoch"], losses, color=colour, lw=1.2, alpha=0.8, marker=marker, label=label)
                    drawn.append(losses[np.isfinite(losses)])
                    label = "_more"
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.margins(x=0.02)
        axis.set_xlabel("epoch", fontsize=_TEXT, color=INK)
        if not pd.isna(part) and str(part):
            axis.set_title(str(part), fontsize=_TEXT + 0.5, color=INK, loc="left", pad=4)
    axes[0].set_ylabel("loss", fontsize=_TEXT, color=INK)
    if drawn:
        low, high = _loss_limits(np.concatenate(drawn))
        axes[0].set_ylim(low, high)
        axes[-1].legend(fontsize=_TEXT, frameon=False, loc="upper right")
    return figure


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
    _dress(axis, frame=True)
    if not labelled:
        axis.set_axis_off()
    if y_ticks is not None:
        axis.set_yticks(list(y_ticks), list(y_ticks.values()))
    _label_axes(axis, x_label, y_label)
    if has_bar:
        bar_axis = figure.add_axes(((width - right + 0.10) / width, bottom / total, 0.11 / width, plot_height / total))
        bar = figure.colorbar(shown, cax=bar_axis)
        bar.outline.set_edgecolor(MUTED)
        bar.outline.set_linewidth(0.6)
        bar.locator = MaxNLocator(nbins=4)
        bar.update_ticks()
        bar_axis.tick_params(labelsize=_TEXT - 0.5, length=2, width=0.6, color=MUTED, labelcolor=INK, pad=2)
        bar.set_label(bar_label, fontsize=_TEXT - 0.5, color=INK, labelpad=2)
    return figure


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
    _dress(axis, frame=True)
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
            fontsize=_TEXT - 0.5,
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
    axis.yaxis.get_offset_text().set(fontsize=_TEXT - 1, color=MUTED)
    _label_axes(axis, x_label, y_label)
    return figure


def encode_png(figure: Figure, *, dots_per_inch: int = DOTS_PER_INCH) -> bytes:
    """Encode as PNG; at the default resolution the report shows an inch as 100 CSS pixels."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=dots_per_inch, pil_kwargs={"optimize": True})
    return target.getvalue()


def encode_smallest(figure: Figure) -> tuple[str, bytes]:
    """Encode as SVG or PNG, whichever is smaller: (media type, bytes), the same for the same figure."""
    target = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "endline", "svg.fonttype": "path"}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    drawn, painted = target.getvalue(), encode_png(figure)
    return ("image/svg+xml", drawn) if len(drawn) <= len(painted) else ("image/png", painted)


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


def _score_edges(
    groups: Mapping[str, NDArray[np.float64]], threshold: float | None
) -> tuple[NDArray[np.float64], bool]:
    """Bin edges of the score axis, and whether they are logarithmic."""
    values = np.concatenate(list(groups.values()))
    normals = groups.get("normal", groups.get("calibrating normals", values))
    positive = values.min() > 0 and (threshold is None or threshold > 0)
    is_log = bool(positive and _is_squeezed(values, normals))
    if is_log:
        values, normals = np.log(values), np.log(normals)
    marks = [] if threshold is None else [np.log(threshold) if is_log else threshold]
    low, high = float(values.min()), float(values.max())
    if _is_squeezed(values, normals):
        q10, q90 = np.quantile(values, [0.1, 0.9])
        spread = max(q90 - q10, float(np.ptp(normals)))
        low, high = max(low, q10 - 2 * spread), min(high, q90 + 2 * spread)
    low, high = min([low, *marks]), max([high, *marks])
    margin = 0.03 * (high - low) or 0.01 * abs(low) or 0.5
    low, high = low - margin, high + margin
    step = (high - low) / _BINS
    if marks:  # an edge on the threshold, so that no bar straddles it
        low = marks[0] - math.ceil((marks[0] - low) / step) * step
        high = marks[0] + math.ceil((high - marks[0]) / step) * step
    edges = np.linspace(low, high, round((high - low) / step) + 1)
    edges = np.exp(edges) if is_log else edges
    if threshold is not None:
        edges[int(np.abs(edges - threshold).argmin())] = threshold  # exactly, whatever the logarithm rounded
    return edges, is_log


def _is_squeezed(values: NDArray[np.float64], normals: NDArray[np.float64]) -> bool:
    """Whether a few far scores leave the bulk, or the normals, too little of a plain axis to be seen."""
    q10, q90 = np.quantile(values, [0.1, 0.9])
    n5, n95 = np.quantile(normals, [0.05, 0.95])
    reach = np.ptp(values)
    return bool(0 < q90 - q10 < 0.15 * reach or 0 < n95 - n5 < 0.06 * reach)


def _loss_limits(losses: NDArray[np.float64]) -> tuple[float, float]:
    """Limits that leave out the first epochs' peak where it would flatten the rest."""
    low, high = float(losses.min()), float(losses.max())
    usual = float(np.quantile(losses, 0.97))
    if high - low > 3 * (usual - low) > 0:
        high = low + 1.3 * (usual - low)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _short(name: str, longest: int = 22) -> str:
    """Keep a name inside its column; `$` is no formula here."""
    return (name if len(name) <= longest else name[: longest - 1] + "…").replace("$", r"\$")


def _label_axes(axis: Axes, x_label: str, y_label: str) -> None:
    """Label the axes of an exhibit; the y label's place does not depend on the tick labels."""
    axis.set_xlabel(x_label, fontsize=_TEXT, color=INK, labelpad=1.5)
    axis.set_ylabel(y_label, fontsize=_TEXT, color=INK)
    inches = axis.get_position().width * axis.get_figure().get_figwidth()  # type: ignore[union-attr]
    axis.yaxis.set_label_coords(-0.49 / inches, 0.5)


def _dress(axis: Axes, *, grid: bool = False, frame: bool = False) -> None:
    axis.tick_params(labelsize=_TEXT - 0.5, length=2.5, width=0.6, color=MUTED, labelcolor=INK)
    for side, spine in axis.spines.items():
        spine.set_visible(frame or side == "bottom" or (grid and side == "left"))
        spine.set_linewidth(0.6)
        spine.set_color(MUTED)
    if grid:
        axis.grid(color=GRID, lw=0.7)
        axis.set_axisbelow(True)
