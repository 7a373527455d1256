"""What a second buys: AUROC of every detector on mtd761 against its seconds of training and its milliseconds a sample.

Reads `benchmarks/results/mtd761.csv` (`kedro sweep mtd761`), writes `benchmarks/results/quality_per_second.png`.
Run: `.venv/bin/python benchmarks/quality_per_second.py`.
"""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from endline.errors import EndlineError
from endline.reporting.style import INK, KIND_COLOURS, NORMAL, TEXT, dress

RESULTS = Path(__file__).parent / "results"
TRAINED = ("differnet", "cs_flow", "ast", "cflow", "fastflow", "stfpm", "cutpaste")
COSTS = {"fit_seconds": "seconds of training", "score_ms_per_sample": "milliseconds a sample, features apart"}


def means(csv: Path) -> pd.DataFrame:
    """Mean and standard deviation of AUROC, and mean costs, of each detector; finished runs alone."""
    table = pd.read_csv(csv)
    done = table[table["status"] == "done"]
    if done.empty:
        raise EndlineError(f"{csv} holds no finished run: run `kedro sweep mtd761` first.")
    grouped = done.groupby("detector", sort=False)
    return grouped[list(COSTS)].mean().assign(auroc=grouped["auroc"].mean(), sd=grouped["auroc"].std(ddof=1))


def draw(axis: Axes, table: pd.DataFrame, cost: str) -> None:
    """One panel: a mark a detector, its name beside it, the labels apart from one another."""
    dress(axis, grid=True)
    last = -1.0
    for name, row in table.sort_values("auroc").iterrows():
        colour = KIND_COLOURS[0] if name in TRAINED else NORMAL
        axis.errorbar(row[cost], row["auroc"], yerr=row["sd"], fmt="o", color=colour, ms=5, lw=1, capsize=2)
        height = max(float(row["auroc"]), last + 0.012)
        beside = (row[cost] * 1.15, height)
        axis.annotate(str(name), (row[cost], row["auroc"]), beside, fontsize=TEXT - 0.5, color=INK, va="center")
        last = height
    axis.set_xscale("log")
    axis.margins(x=0.35, y=0.06)
    axis.set_xlabel(COSTS[cost], fontsize=TEXT, color=INK)


def main() -> None:
    """Draw both panels."""
    table = means(RESULTS / "mtd761.csv")
    figure = Figure(figsize=(11, 5), facecolor="white")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, cost in zip(axes, COSTS, strict=True):
        draw(axis, table, cost)
    axes[0].set_ylabel("AUROC on mtd761, mean ± sd over seeds", fontsize=TEXT, color=INK)
    axes[0].plot([], [], "o", color=KIND_COLOURS[0], label="trained in epochs")
    axes[0].plot([], [], "o", color=NORMAL, label="closed form")
    axes[0].legend(fontsize=TEXT, frameon=False, loc="lower right")
    figure.tight_layout()
    figure.savefig(RESULTS / "quality_per_second.png", dpi=150)


if __name__ == "__main__":
    main()
