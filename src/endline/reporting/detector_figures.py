"""Figures of how a detector sees the samples: its embedding on a plane, and which of its inputs count."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from endline.reporting.palette import FLAGGED, GRID, INK, KIND_COLOURS, MUTED, NORMAL, TEXT, UNKNOWN
from endline.reporting.style import dress

PANELS = {"train": "training", "test": "tested"}
DOMAIN_COLOURS = (NORMAL, KIND_COLOURS[1], KIND_COLOURS[3], KIND_COLOURS[2])
ANOMALOUS, UNLABELLED = 1, -1
MARKERS = {0: ("o", "normal"), ANOMALOUS: ("X", "anomalous"), UNLABELLED: ("s", "label unknown")}
SIDE = 3.9  # inches of a plane
RANKED = 24
LEAST_GROUP = 4  # inputs of a group that has room for its name
WIDE = 11.0  # inches


def embedding_figure(table: pd.DataFrame) -> Figure | None:
    """Draw samples on the plane, training and tested ones side by side, a row for each part; None without any.

    Args:
        table: as `embedding_table` gives it.

    Example:
        >>> places = {"sample_id": ["a", "b"], "part": None, "split": ["train", "test"], "domain": "source", "label": 0}
        >>> table = pd.DataFrame(places).assign(x=[0.0, 1.0], y=0.0, embedded="features")
        >>> len(embedding_figure(table).axes)
        2
    """
    if table.empty:
        return None
    shown = table.assign(domain=table["domain"].astype(object).where(table["domain"].notna(), "no domain"))
    label = pd.to_numeric(shown["label"]).fillna(UNLABELLED).astype(int)
    shown = shown.assign(label=label)
    colours = _domain_colours(shown["domain"].unique().tolist())
    parts = list(shown.groupby("part", dropna=False, sort=False))
    width, height = 2 * SIDE + 1.9, len(parts) * (SIDE + 0.35) + 0.1
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.subplots(len(parts), 2, squeeze=False)
    margins = {"left": 0.1 / width, "right": 1 - 1.75 / width, "bottom": 0.1 / height, "top": 1 - 0.3 / height}
    figure.subplots_adjust(**margins, wspace=0.04, hspace=0.35 / SIDE)
    for row, (part, samples) in zip(axes, parts, strict=True):
        for axis, (split, name) in zip(row, PANELS.items(), strict=True):
            own = samples[samples["split"] == split]
            _places(axis, own, colours)
            title = name if len(parts) == 1 else f"{part}, {name}"
            axis.set_title(f"{title} ({len(own)})", fontsize=TEXT + 0.5, color=INK, loc="left", pad=4)
            axis.set(xlim=_limits(samples["x"]), ylim=_limits(samples["y"]))
    keys = [_key("o", colour, name, filled=True) for name, colour in colours.items()]
    keys += [_key(mark, MUTED, name, filled=False) for value, (mark, name) in MARKERS.items() if (label == value).any()]
    figure.legend(handles=keys, loc="center left", bbox_to_anchor=(1 - 1.65 / width, 0.5), fontsize=TEXT, frameon=False)
    return figure


def _domain_colours(domains: Sequence[str]) -> dict[str, str]:
    named = sorted(name for name in domains if name != "no domain")
    colours = {name: DOMAIN_COLOURS[number % len(DOMAIN_COLOURS)] for number, name in enumerate(named)}
    return {**colours, **({"no domain": UNKNOWN} if "no domain" in domains else {})}


def _places(axis: Axes, samples: pd.DataFrame, colours: dict[str, str]) -> None:
    """Draw the samples of a panel, the rarer labels and domains above the others."""
    groups = sorted(samples.groupby(["label", "domain"]), key=lambda group: -len(group[1]))
    for _, own in groups:
        label, domain = int(own["label"].iloc[0]), str(own["domain"].iloc[0])
        size, (marker, _) = 34 if label == ANOMALOUS else 24, MARKERS[label]
        axis.scatter(own["x"], own["y"], s=size, marker=marker, c=colours[domain], ec="white", lw=0.5, alpha=0.85)
    dress(axis, frame=True)
    axis.set_xticks([])  # a place means nothing by itself, only which samples are near to each other
    axis.set_yticks([])


def _limits(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _key(marker: str, colour: str, name: str, *, filled: bool) -> Line2D:
    face = colour if filled else "none"
    return Line2D([], [], ls="", marker=marker, ms=6, mfc=face, mec=colour, label=name)


def importance_figure(table: pd.DataFrame) -> Figure | None:
    """Draw how much each input counts in what is passed and flagged, and the largest ranks by name; None without any.

    Args:
        table: as `importance_table` gives it.

    Example:
        >>> inputs = {"part": "all", "input": ["rms", "flatness"], "passed": 0.0, "flagged": [1.0, 2.0], "rank": [2, 1]}
        >>> len(importance_figure(pd.DataFrame(inputs)).axes)
        2
    """
    if table.empty:
        return None
    parts = list(table.groupby("part", sort=False))
    each = 0.145 * RANKED + 0.6
    height = each * len(parts)
    figure = Figure(figsize=(WIDE, height), facecolor="white")
    for number, (part, inputs) in enumerate(parts):
        bottom = (height - (number + 1) * each + 0.42) / height
        inside = (each - 0.42 - 0.2) / height
        profile = figure.add_axes((0.62 / WIDE, bottom, 6.2 / WIDE, inside))
        ranking = figure.add_axes((8.2 / WIDE, bottom, (WIDE - 8.2 - 0.1) / WIDE, inside))
        _profile(profile, inputs, None if len(parts) == 1 else str(part))
        _ranking(ranking, inputs)
    return figure


def _profile(axis: Axes, inputs: pd.DataFrame, part: str | None) -> None:
    """All inputs in the detector's order, with the names of their groups."""
    positions = np.arange(len(inputs))
    for column, colour in (("passed", NORMAL), ("flagged", FLAGGED)):
        if inputs[column].notna().any():
            axis.step(positions, inputs[column].astype(float), where="mid", color=colour, lw=1.1, label=column)
    dress(axis, grid=True)
    axis.grid(visible=False, axis="x")
    axis.axhline(0, color=MUTED, lw=0.6)
    axis.set_xlim(-0.5, len(inputs) - 0.5)
    axis.yaxis.set_major_locator(MaxNLocator(5))
    _groups(axis, inputs["input"].tolist())
    axis.set_ylabel("mean importance", fontsize=TEXT, color=INK)
    axis.legend(fontsize=TEXT, frameon=False, loc="upper right")
    if part is not None:
        axis.set_title(part, fontsize=TEXT + 0.5, color=INK, loc="left", pad=4)


def _groups(axis: Axes, names: list[str]) -> None:
    """Mark the groups of inputs, every second one shaded."""
    groups = input_groups(names)
    for number, (_, group) in enumerate(groups):
        if number % 2:
            axis.axvspan(group.start - 0.5, group.stop - 0.5, color=GRID, alpha=0.6, lw=0, zorder=0)
    middles = [(group.start + group.stop - 1) / 2 for _, group in groups]
    axis.set_xticks(middles, [name for name, _ in groups], rotation=40, ha="right", rotation_mode="anchor")


def input_groups(names: Sequence[str]) -> list[tuple[str, range]]:
    """Groups of numbered inputs that follow each other (`chroma 1`, `chroma 2`, ...); small ones are `other` together.

    Example:
        >>> input_groups(["chroma 1", "chroma 2", "chroma 3", "chroma 4", "rms", "flatness"])
        [('chroma', range(0, 4)), ('other', range(4, 6))]
    """
    stems = [name.rpartition(" ")[0] or name for name in names]
    sizes = Counter(stems)
    groups, start = [], 0
    for group, members in groupby(stem if sizes[stem] >= LEAST_GROUP else "other" for stem in stems):
        stop = start + sum(1 for _ in members)
        groups.append((group, range(start, stop)))
        start = stop
    return groups


def _ranking(axis: Axes, inputs: pd.DataFrame) -> None:
    """The inputs of the largest ranks, by name, the first at the top."""
    shown = inputs.sort_values("rank").head(RANKED)[::-1]
    heights = np.arange(len(shown))
    passed, flagged = (shown[column].to_numpy(float) for column in ("passed", "flagged"))
    axis.hlines(heights, np.nan_to_num(passed), np.nan_to_num(flagged), color=GRID, lw=2.2)
    for values, colour in ((passed, NORMAL), (flagged, FLAGGED)):
        axis.plot(values, heights, "o", ms=4, color=colour)
    dress(axis, grid=True)
    axis.grid(visible=False, axis="y")
    axis.set_yticks(heights, shown["input"].tolist())
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(-0.7, len(shown) - 0.3)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.set_xlabel("mean importance", fontsize=TEXT, color=INK, labelpad=1.5)
