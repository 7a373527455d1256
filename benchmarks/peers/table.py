"""The table of the comparison: AUROC and intervals of all trials by one program, that of endline's runs.

Reads what `own.py` and `run.py` left in `build/peers`, and writes `benchmarks/results/peers.csv` and `peers.md`. Rows
of trials that are not there stay as they were, with the commit that made them.
Run in the project's environment: `.venv/bin/python benchmarks/peers/table.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from measuring import EXPORTED, MEMORY, Trial, read_trials
from run import DETECTORS

from endline.evaluation.metrics import auroc_intervals
from endline.reporting.provenance import git_commit, machine

RESULTS = Path(__file__).parents[1] / "results"
KEY = ["set", "seed", "library", "detector"]  # of a row
PERFECT = 0.9995  # AUROC that is written 1.000
HEADS = {
    "auroc": ("AUROC", 3),
    "auroc_low": ("95 % from", 3),
    "auroc_high": ("to", 3),
    "fit_seconds": ("CPU s of the fit", 1),
    "item_ms": ("CPU ms an item", 1),
    "peak_mb": ("peak MB", 0),
}
ABOUT = {
    "dobot_cubes": "colour photographs of cubes, 640 x 480; seeds of the division",
    "kolektor": "grey photographs of commutators with hair cracks, 500 x 1240; seeds of the division",
    "mtd_tiles": "photographs of magnetic tiles, no tile on both sides (protocol mtd_tiles), seed 0",
    "unscrewing": "cycles of a robot that unscrews, three signals, 256 steps; the published division, seeds of the "
    "detectors",
    "force_torque_lp1": "cycles of a gripper, six signals, 15 steps, task lp1; seeds of the division",
}
INTRODUCTION = f"""# Side by side with what a user would pick instead

anomalib 2.7, PyOD and aeon beside endline, on the same parts: each fits the same good ones and scores the same
others, by the splits of endline's sweeps, and AUROC and its interval (bootstrap of the tested parts) come of one
program. Made by `benchmarks/peers/`: `install.sh`, `export.py`, `own.py`, `run.py`, `table.py`.

**The same for all.** Files, division, seeds, one thread of one machine, a process of its own for each trial with at
most {MEMORY // 1024**3} GiB of its own memory. Settings are the defaults of each library, endline's by its
configuration; none was tuned here. anomalib's models have the backbone of endline's detectors, EfficientNet-Lite0
with packaged weights, at 384 x 384 pixels (STFPM: 256 x 256), and the strides that endline's detector of the same
name reads; endline takes as many pixels, but keeps the photographs' shape where all have one. PyOD reads the numbers
that endline makes: of photographs the pooled maps of `gaussian`, of cycles the statistics of `cycle_neighbour`. ROCKAD
reads the arrays of cycles that endline's detectors read.

**Not the same.** anomalib's own defaults would be a WideResNet50 (PatchCore) or a ResNet18 (PaDiM, STFPM) pretrained
on ImageNet, at 256 pixels; these weights are downloaded, which is not possible where this was measured, so its
figures with them are not here, and may be better. Its PatchCore chooses the coreset from all patches by default; an
earlier fit without a cap grew to 9.2 GB on 12 images, so here it chooses from 20,000 random ones, and endline's
`patchcore` from 40,000, its default. Its times include the anomaly map, which endline draws only where it is asked
for. endline's backbone runs by onnxruntime, anomalib's by torch. PyOD's and aeon's detectors were fitted to good
parts alone, as all were. endline's detectors are fitted once to all training parts, without the hold-out or the folds
that set a threshold in its runs, so their AUROC may differ from that of its sweeps; nothing is compared here of
thresholds, maps or reports. Some defaults of endline were chosen with these sets in view (`mtd_tiles`, `force_torque`
and the training folder of `unscrewing`, see `benchmarks/LOG.md`), those of the peers were not.

**Times.** Other runs shared the two cores all the while. So seconds are those of the processor, of one thread, which
others disturb less than the clock, though not nothing: differences of a third say little. Of photographs they count
from the file to the score, of cycles from the array. Memory is the largest resident one of the process, with all
libraries that it has loaded (endline about 430 MB before anything is done); that of PyOD is without the process of
endline that made its numbers.
"""


def rows() -> Iterator[dict[str, Any]]:
    """A row for each trial."""
    for split in sorted(file.parent for file in EXPORTED.glob("*/*/split.json")):
        train, tested = (pd.read_csv(split / f"{name}.csv") for name in ("train", "tested"))
        for trial in read_trials(split):
            yield {
                "library": trial.library,
                "version": trial.version,
                "detector": trial.detector,
                "set": split.parent.name,
                "seed": int(split.name),
                "n_train": len(train),
                "n_tested": len(tested),
                **area(trial, tested),
                "fit_seconds": trial.fit_seconds and round(trial.fit_seconds, 3),
                "item_ms": trial.item_ms and round(trial.item_ms, 3),
                "peak_mb": trial.peak_mb and round(trial.peak_mb),
                "note": trial.note,
                "machine": machine(),
                "commit": git_commit(),
            }


def renewed(before: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """Rows of `made`, and those of `before` whose trial is not among them, in the order of `KEY`.

    Example:
        >>> rows = pd.DataFrame({"set": ["a", "b"], "seed": 0, "library": "x", "detector": "y", "auroc": [0.1, 0.2]})
        >>> renewed(rows, rows[:1].assign(auroc=0.9))["auroc"].tolist()
        [0.9, 0.2]
    """
    table = pd.concat([made, before[~before.set_index(KEY).index.isin(made.set_index(KEY).index)]])
    return table.sort_values(KEY, ignore_index=True)


def area(trial: Trial, tested: pd.DataFrame) -> dict[str, float | None]:
    """AUROC of a trial with its 95 % interval, None where it has no scores."""
    if not trial.scores:
        return {"auroc": None, "auroc_low": None, "auroc_high": None}
    intervals = auroc_intervals(tested.assign(score=trial.scores, label=tested["label"].astype("Int8")))
    found = intervals[intervals["by"] == "all"].iloc[0]
    names = {"auroc": "auroc", "auroc_low": "low", "auroc_high": "high"}
    return {name: round(float(found[key]), 4) for name, key in names.items()}


def cell(values: pd.Series, digits: int) -> str:
    """Mean of some figures, with their sample standard deviation and number where there are several."""
    known = values.dropna()
    if known.empty:
        return "–"
    spread = f" ± {known.std():.{digits}f} ({len(known)})" if len(known) > 1 else ""
    return f"{known.mean():.{digits}f}{spread}"


def page(table: pd.DataFrame) -> str:
    """The page: what was the same and what was not, a table for each set, and the notes."""
    parts = [INTRODUCTION, *filter(None, [unmeasured(table)])]
    for name, of_set in table.groupby("set", sort=False):
        first = of_set.iloc[0]
        parts.append(f"## {name}\n\n{ABOUT[str(name)]}; {first['n_train']} train, {first['n_tested']} are tested.\n")
        means = of_set.groupby(["library", "detector"])["auroc"].mean().sort_values(ascending=False, na_position="last")
        if (means > PERFECT).sum() > 1:
            parts.append("Several make no mistake, so this set cannot tell which of them is better.\n")
        lines = [["library", "detector", *(head for head, _ in HEADS.values())], ["---"] * (2 + len(HEADS))]
        for library, detector in means.index:
            these = of_set[(of_set["library"] == library) & (of_set["detector"] == detector)]
            lines.append([library, detector, *(cell(these[key], digits) for key, (_, digits) in HEADS.items())])
        parts.append("".join(f"| {' | '.join(line)} |\n" for line in lines))
    notes = table[table["library"] != "pyod"].drop_duplicates(["library", "detector", "note"])
    parts.append("## Notes\n\n" + "".join(f"- {n.library} {n.detector}: {n.note}\n" for n in notes.itertuples()))
    versions = table.drop_duplicates("library").sort_values("library")
    parts.append(
        "Mean ± sample standard deviation (n − 1) over seeds; in brackets their number.\n\n"
        f"Versions: {', '.join(f'{each.library} {each.version}' for each in versions.itertuples())}. "
        f"Machine: {table['machine'].iloc[0]}. Git commits: {', '.join(sorted(table['commit'].unique()))}.\n"
    )
    return "\n".join(parts)


def unmeasured(table: pd.DataFrame) -> str:
    """What the scripts would run and the table has not, as a sentence; empty where it has all."""
    known = {*table["set"], *(table["library"] + " " + table["detector"])}
    wanted = [*ABOUT, *(f"{library} {name}" for (library, _), names in DETECTORS.items() for name in names)]
    missing = [name for name in dict.fromkeys(wanted) if name not in known]
    return f"Not measured yet: {', '.join(missing)}.\n" if missing else ""


def main() -> None:
    """Write table and page."""
    table = renewed(pd.read_csv(RESULTS / "peers.csv"), pd.DataFrame(list(rows())))
    table.to_csv(RESULTS / "peers.csv", index=False)
    (RESULTS / "peers.md").write_text(page(table))
    print(table[["set", "seed", "library", "detector", "auroc", "fit_seconds", "item_ms", "peak_mb"]].to_string())


if __name__ == "__main__":
    main()
