"""What a second buys: AUROC of every detector of a sweep against its seconds of training and its milliseconds a sample.

Reads `benchmarks/results/<sweep>.csv` (`kedro sweep <sweep>`; mtd761 by default), writes
`benchmarks/results/<sweep>_quality_per_second.png`. Where a sweep has several kinds of faults and is tabled by the mean
over them (figure 8.4 of Rudolph 2024), give the column: `.venv/bin/python benchmarks/quality_per_second.py robot_cell
auroc_mean_of_kinds`.
"""

import sys
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from endline.errors import EndlineError
from endline.reporting.palette import INK, KIND_COLOURS, NORMAL, TEXT
from endline.reporting.style import dress

RESULTS = Path(__file__).parent / "results"
TRAINED = (
    "differnet", "cs_flow", "ast", "cflow", "fastflow", "stfpm", "cutpaste",
    "mts_flow", "mts_ast", "conv_autoencoder", "lstm_vae", "ganf",
)  # fmt: skip
COSTS = {"fit_seconds": "seconds of training", "score_ms_per_sample": "milliseconds a sample, features apart"}


def means(csv: Path, figure: str) -> pd.DataFrame:
    """Mean and standard deviation of AUROC, and mean costs, of each detector; finished runs alone."""
    table = pd.read_csv(csv)
    done = table[table["status"] == "done"]
    if done.empty:
        raise EndlineError(f"{csv} holds no finished run: run `kedro sweep {csv.stem}` first.")
    grouped = done.groupby("detector", sort=False)
    return grouped[list(COSTS)].mean().assign(auroc=grouped[figure].mean(), sd=grouped[figure].std(ddof=1))


def draw(axis: Axes, table: pd.DataFrame, cost: str) -> None:
    """One panel: a mark a detector, its name beside it, the labels apart from one another."""
    dress(axis, grid=True)
    last = -1.0
    for name, row in table.sort_values("auroc").iterrows():
        colour = KIND_COLOURS[0] if name in TRAINED else NORMAL
        axis.errorbar(row[cost], row["auroc"], yerr=row["sd"], fmt="none", color=colour, lw=1, capsize=2)
        axis.plot(row[cost], row["auroc"], "o", color=colour, ms=5, zorder=4)  # before names, which hide error bars
        height = max(float(row["auroc"]), last + 0.012)
        point = (row[cost], row["auroc"])
        label = axis.annotate(str(name), point, (8, height), textcoords=("offset points", "data"), va="center")
        label.set(fontsize=TEXT - 0.5, color=INK)
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])  # legible over another's error bar
        last = height
    axis.set_xscale("log")
    axis.margins(x=0.35, y=0.06)
    axis.set_xlabel(COSTS[cost], fontsize=TEXT, color=INK)


def main() -> None:
    """Draw both panels of the named sweep."""
    name, figure_column = [*sys.argv[1:3], *("mtd761", "auroc")[len(sys.argv[1:3]) :]]
    table = means(RESULTS / f"{name}.csv", figure_column)
    figure = Figure(figsize=(11, 5), facecolor="white")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, cost in zip(axes, COSTS, strict=True):
        draw(axis, table, cost)
    label = f"{name}, SIMULATED," if pd.read_csv(RESULTS / f"{name}.csv")["simulated"].any() else f"{name},"
    axes[0].set_ylabel(f"{figure_column} on {label} mean ± sd over seeds", fontsize=TEXT, color=INK)
    axes[0].plot([], [], "o", color=KIND_COLOURS[0], label="trained in epochs")
    axes[0].plot([], [], "o", color=NORMAL, label="without epochs")
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    figure.legend(fontsize=TEXT, frameon=False, loc="upper right", ncols=2)
    figure.savefig(RESULTS / f"{name}_quality_per_second.png", dpi=150)


if __name__ == "__main__":
    main()
