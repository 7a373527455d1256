"""What `detector: auto` loses: AUROC of the best candidate by real labels less that of the one that it chose without.

Set and settings are those of a sweep, and so are the AUROCs by real labels: those of its rows in `benchmarks/results/`,
of the kind that the sweep compares. A candidate without a row is run here up to the scores, if the choice had time for
it. The choice reads good parts that train alone; labels are read afterwards, to say how good it was. The strengths of
the synthetic faults and the settings of the choice were fixed before any of these sets was looked at, and are the same
for all, so that every set is one that they were not chosen on. Two things were not: that a quicker candidate may be
behind by no more than a margin, and not by a whole standard error alone, was decided when the cycles of force_torque
had been seen, and that the default is taken where nobody is surely better when those of hydraulic had been. The columns
`within_error` (the first as good as the best), `without_default` (and no more than the margin behind) and `chosen` tell
all three.
Rows are written to `benchmarks/results/auto_regret.csv`, those of the same sweep and point replaced.
Run: `.venv/bin/python benchmarks/auto_regret.py hydraulic --only seed=0`.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.startup import bootstrap_project
from rich import print

from endline.detectors.candidates import AUTO
from endline.errors import EndlineError
from endline.evaluation.calibration import calibrate
from endline.evaluation.metrics import auroc_intervals
from endline.evaluation.synthetic_faults import ALIKE
from endline.evidence.station import find_station
from endline.operations.sweep.data import raw_folder
from endline.operations.sweep.definitions import find_sweep
from endline.operations.sweep.grid import Point, Sweep
from endline.operations.sweep.job import DONE
from endline.operations.sweep.resolved import configuration
from endline.operations.sweep.results import read_table, text, write_table
from endline.pipelines.choosing import choose
from endline.pipelines.detection.nodes import fit, score
from endline.pipelines.station_nodes import extract, index, prepare
from endline.reporting.provenance import git_commit, machine
from endline.samples import NORMAL

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
FOLDS = 3  # of the calibration of what is run here, whose mean score is what AUROC is computed of
AREA, OF_KINDS = "auroc", "auroc_mean_of_kinds"
RULES = ["chosen", "within_error", "without_default"]
RUN = [AREA, OF_KINDS, "n_train_units"]  # what a run, or its row, tells
Settings = Mapping[str, Any]


def points_of(sweep: Sweep, only: list[str]) -> list[Point]:
    """Points of a sweep's grid without the detectors, each once."""
    points = [sweep.points()[number] for number in sweep.chosen(only)]
    bare = [{name: value for name, value in point.items() if name != "detector"} for point in points]
    return [point for number, point in enumerate(bare) if point not in bare[:number]]


def known_runs(sweep: Sweep, point: Point) -> dict[str, dict[str, float]]:
    """Detector -> figures of its finished run at a point of the sweep."""
    table = read_table(RESULTS / f"{sweep.name}.csv", list(sweep.grid))
    for name, value in {**point, "status": DONE}.items():
        table = table[table[name] == text(value)]
    return {row["detector"]: {name: float(row[name]) for name in RUN} for row in table.to_dict("records")}


def run_of(name: str, samples: pd.DataFrame, inputs: Settings, known: Settings, own: Settings) -> dict[str, float]:
    """Figures of a candidate that has no row: trained and scored here."""
    station, source, choice = inputs["station"], inputs["source"], {"detector": name}
    preparation = prepare(station, samples, source, inputs, choice, own["preparation"], known["detectors"])
    features = extract(samples, source, preparation, own["run"])
    plan = {**own["fit"], "calibration": "cross_fit", "folds": FOLDS}
    fitted, _, held_out, _ = fit(
        samples, features, preparation, choice, own["run"], plan, own["verdict"], known["detectors"]
    )
    part_scores, _, _ = score(samples, features, fitted, own["run"], exhibits=0)
    limits = calibrate(held_out, rate=own["verdict"]["false_alarm_rate"], join=own["verdict"]["join"])
    found = auroc_intervals(limits.verdicts(part_scores)).groupby("by")["auroc"].mean()
    units = samples.loc[samples["split"] == "train", "unit"].nunique()
    return {AREA: float(found["all"]), OF_KINDS: float(found["kind"]), "n_train_units": units}


def rows_of(sweep: Sweep, point: Point, raw: Path, store: str) -> Iterator[dict[str, Any]]:
    """A row for each candidate at a point of a sweep of the files of a folder."""
    station = find_station(sweep.station)
    parameters = sweep.parameters({**point, "detector": AUTO})
    known = configuration(ROOT, "base", parameters)["parameters"]
    own = known[station.name]
    own["run"] |= {"store": store, "checkpoints": f"{store}/checkpoints"}
    source = {"folder": str(raw), "simulated": False}
    samples, _, inputs = index(station, source, own["run"], own["split"], own["preparation"])
    begun = time.monotonic()
    choice = choose(
        station, samples, source, inputs, own["run"], own["auto"], own["preparation"], own["fit"], own["verdict"],
        known["detectors"],
    )  # fmt: skip
    seconds = time.monotonic() - begun
    runs = known_runs(sweep, point)
    rows = set(runs)
    judged = [each["detector"] for each in choice["candidates"] if each["left_out"] is None]
    for name in judged:
        if name not in runs:
            try:
                runs[name] = run_of(name, samples, {**inputs, "station": station, "source": source}, known, own)
            except EndlineError as error:
                print(f"{name}: {error}")
    figure = next((name for name in sweep.figures if name.startswith(AREA)), AREA)
    best = max(runs[each["detector"]][figure] for each in choice["candidates"] if each["detector"] in runs)
    within, quicker = (_first(choice["candidates"], margin) for margin in (1.0, own["auto"]["margin"]))
    for each in choice["candidates"]:
        name = each["detector"]
        run = runs.get(name, {})
        yield {
            "sweep": sweep.name,
            "point": ", ".join(f"{key}={value}" for key, value in point.items()),
            "station": station.name,
            "detector": name,
            "chosen": name == choice["chosen"],
            "figure": figure,
            **{key: run.get(key) for key in RUN},
            "behind_best": round(best - run[figure], 4) if run else None,
            "criterion": each.get("criterion") and round(each["criterion"], 4),
            "behind": each.get("behind") and round(each["behind"], 4),
            "error": each.get("error") and round(each["error"], 4),
            "within_error": name == within,
            "without_default": name == quicker,
            "margin": own["auto"]["margin"],
            "left_out": each["left_out"],
            "seconds_of_choice": each["seconds"],
            "seconds_of_all_choice": round(seconds, 1),
            "labels_of": "the sweep's row" if name in rows else f"a run with {FOLDS} folds" if run else "not run",
            "faults": "synthetic of held-out normals",
            "machine": machine(),
            "commit": git_commit(),
        } | {f"synthetic_{kind}": round(value, 4) for kind, value in each.get("by_kind", {}).items() if kind != NORMAL}


def _first(candidates: Sequence[Settings], margin: float) -> str:
    """The first of the judged candidates that is behind the best by no more than the error and a margin."""
    judged = [each for each in candidates if each["left_out"] is None]
    return next(str(each["detector"]) for each in judged if each["behind"] <= min(each["error"], margin) + ALIKE)


def regrets(table: pd.DataFrame) -> pd.DataFrame:
    """Of each point what was chosen, and by how much the best candidate is ahead of it by real labels.

    Args:
        table: rows as of `rows_of`; a choice whose own AUROC is not known has no regret.
    """
    sets = ["sweep", "point"]
    chosen, within, quicker = (table[table[rule]].set_index(sets) for rule in RULES)
    best = table[table["behind_best"] == 0].drop_duplicates(sets).set_index(sets)
    columns = {
        "chosen": chosen["detector"],
        "best": best["detector"],
        "regret": chosen["behind_best"],
        "regret_within_error": within["behind_best"],
        "regret_without_default": quicker["behind_best"],
    }
    return pd.DataFrame(columns).reset_index()


def main() -> None:
    """Run, show and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweeps", nargs="+", help="names, as of kedro sweep")
    parser.add_argument("--only", action="append", default=[], help="parameter=value of the sweep, as of kedro sweep")
    given = parser.parse_args()
    bootstrap_project(ROOT)
    path = RESULTS / "auto_regret.csv"
    for name in given.sweeps:
        sweep = find_sweep(name, ROOT)
        raw = raw_folder(sweep, ROOT, None)
        if raw is None:
            parser.error(f"{name} has no files of its own (data): the choice is measured on real ones.")
        sweep = sweep.with_folders(raw)
        for point in points_of(sweep, given.only):
            with tempfile.TemporaryDirectory() as store:
                rows = pd.DataFrame(list(rows_of(sweep, point, raw, store)))
            print(rows[["detector", "chosen", "auroc", "criterion", "behind", "error", "left_out"]].to_string())
            before = pd.read_csv(path) if path.exists() else rows[:0]
            same = (before["sweep"] == name) & (before["point"] == rows["point"].iloc[0])
            table = pd.concat([each for each in (before[~same], rows) if len(each)], ignore_index=True)
            write_table(path, table)
            found = regrets(table)
            print(found[found["sweep"] == name].to_string(index=False))
    by_set = regrets(pd.read_csv(path)).groupby("sweep")[["regret", "regret_within_error", "regret_without_default"]]
    print(by_set.agg(["mean", "count"]).round(4).to_string())
    print(f"Mean of the sets: {by_set.mean().mean().round(4).to_dict()}")


if __name__ == "__main__":
    main()
