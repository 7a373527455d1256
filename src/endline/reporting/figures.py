"""Figures of the report: tables and arrays to matplotlib figures, pure functions without pyplot state."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from endline.errors import EndlineError
from endline.reporting.score_axis import round_scores, score_edges
from endline.reporting.style import (
    CALIBRATING,
    FLAGGED,
    GRID,
    INK,
    KIND_COLOURS,
    LINE_STYLES,
    MUTED,
    NORMAL,
    OVERALL,
    TEXT,
    UNKNOWN,
    dress,
    kind_colours,
    kind_name,
)


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

    The axis is logarithmic when the scores have a heavy tail (around 0 it is linear, where some are not positive);
    where that is not enough it ends early and the outermost bars hold, and say, what lies beyond. Bars are scaled row
    by row.
    """
    groups = score_groups(scores)
    if not groups:
        raise EndlineError("The score table holds no finite score: look at the detector's training.")
    limit = threshold if threshold is not None and np.isfinite(threshold) else None
    edges, scale = score_edges(groups, limit)
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
        dress(axis)
        axis.set_ylim(0, counts.max() * 1.12)
        axis.yaxis.set_major_locator(NullLocator())
        label = name if name in fixed else kind_name(name)
        axis.text(-0.015, 0.08, _short(label, 20), transform=axis.transAxes, ha="right", fontsize=TEXT, color=INK)
        told = f"n = {values.size}"
        if limit is not None:
            axis.axvline(limit, color=INK, lw=1.0, ls=(0, (4, 2)))
            axis.axvspan(limit, edges[-1], color=FLAGGED, alpha=0.055, lw=0)
            told += f"\n{int((values > limit).sum())} above"
        if beyond := int(((values < edges[0]) | (values > edges[-1])).sum()):
            told += f"\n{beyond} off the axis"
        axis.text(1.015, 0.5, told, transform=axis.transAxes, va="center", fontsize=TEXT - 0.5, color=MUTED)
    if scale.name == "log":
        subs = (1.0, 2.0, 5.0) if edges[-1] / edges[0] < 300 else (1.0,)
        axes[-1].set_xscale("log")
        axes[-1].xaxis.set_major_locator(LogLocator(subs=subs))
    elif scale.name == "asinh":
        axes[-1].set_xscale("asinh", linear_width=scale.width)
        axes[-1].xaxis.set_major_locator(FixedLocator(round_scores(edges, scale.width)))
    if scale.name != "linear":
        axes[-1].xaxis.set_minor_locator(NullLocator())
        axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}" if abs(x) < 1e6 else f"{x:.0e}"))
    axes[-1].set_xlim(edges[0], edges[-1])
    for axis in axes[:-1]:
        axis.tick_params(bottom=False, labelbottom=False)
    name = {"linear": "", "log": ", logarithmic", "asinh": ", logarithmic away from 0"}[scale.name]
    axes[-1].set_xlabel(f"score{name} (larger = more anomalous)", fontsize=TEXT, color=INK)
    if limit is not None:
        right_half = axes[0].transData.transform((limit, 0))[0] > axes[0].transAxes.transform((0.6, 0))[0]
        axes[0].annotate(
            f"threshold {limit:.4g}",
            (limit, 1),
            xycoords=axes[0].get_xaxis_transform(),
            textcoords="offset points",
            xytext=(-3 if right_half else 3, 4),
            ha="right" if right_half else "left",
            fontsize=TEXT,
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
    dress(axis, grid=True)
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
    axis.set_xlabel("false-alarm rate", fontsize=TEXT, color=INK)
    axis.set_ylabel("recall", fontsize=TEXT, color=INK)
    handles, labels = axis.get_legend_handles_labels()
    if below:
        figure.legend(handles, labels, loc="lower left", ncols=2, fontsize=TEXT - 0.5, frameon=False)
    else:
        axis.legend(
            handles,
            labels,
            loc="lower right",
            fontsize=TEXT,
            framealpha=0.92,
            edgecolor=GRID,
            title="AUROC",
            title_fontsize=TEXT,
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
        dress(axis, grid=True)
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
        axis.set_xlabel("epoch", fontsize=TEXT, color=INK)
        if not pd.isna(part) and str(part):
            axis.set_title(str(part), fontsize=TEXT + 0.5, color=INK, loc="left", pad=4)
    axes[0].set_ylabel("loss", fontsize=TEXT, color=INK)
    if drawn:
        low, high = _loss_limits(np.concatenate(drawn))
        axes[0].set_ylim(low, high)
        axes[-1].legend(fontsize=TEXT, frameon=False, loc="upper right")
    return figure


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
