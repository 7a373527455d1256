"""What `detector: auto` loses: AUROC of the best candidate by real labels less that of the one that it chose without.

Every set is run as its station runs it, up to the scores: no report, and no fold more than the calibration needs. The
choice reads good parts that train alone; labels are read afterwards, to say how good it was. The strengths of the
synthetic faults and the settings of the choice were fixed before any of these sets was looked at, and are the same for
all, so that every set is one that they were not chosen on. One thing was not: that a quicker candidate may be behind by
no more than a margin, and not by a whole standard error alone, was decided when the cycles of force_torque had been
seen; the columns `within_error` and `margin` tell both.
Rows are appended to `benchmarks/results/auto_regret.csv`, those of the same set and seed replaced.
Run: `.venv/bin/python benchmarks/auto_regret.py robot_cycle ../shared/data/hydraulic --params rate=1 --seeds 0 1 2`.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from kedro.framework.startup import bootstrap_project
from rich import print

from endline.detectors.candidates import AUTO
from endline.errors import EndlineError
from endline.evaluation.calibration import calibrate
from endline.evaluation.metrics import auroc_intervals
from endline.evaluation.synthetic_faults import ALIKE
from endline.evidence.station import Station, find_station
from endline.operations.sweep.resolved import configuration
from endline.pipelines.choosing import choose
from endline.pipelines.detection.nodes import fit, score
from endline.pipelines.station_nodes import extract, index, prepare
from endline.reporting.provenance import git_commit, machine
from endline.samples import NORMAL

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/auto_regret.csv"
FOLDS = 3  # of the calibration, whose mean score is what AUROC is computed of
Settings = Mapping[str, Any]


def areas(
    station: Station,
    samples: pd.DataFrame,
    source: Settings,
    inputs: Settings,
    name: str,
    own: Settings,
    all_: Settings,
) -> tuple[float, float, float]:
    """AUROC of a candidate by real labels, the mean over the kinds of fault, and the seconds that it took."""
    begun, choice = time.monotonic(), {"detector": name}
    preparation = prepare(station, samples, source, inputs, choice, own["preparation"], all_["detectors"])
    features = extract(samples, source, preparation, own["run"])
    plan = {**own["fit"], "calibration": "cross_fit", "folds": FOLDS}
    fitted, _, held_out, _ = fit(
        samples, features, preparation, choice, own["run"], plan, own["verdict"], all_["detectors"]
    )
    part_scores, _, _ = score(samples, features, fitted, own["run"], exhibits=0)
    limits = calibrate(held_out, rate=own["verdict"]["false_alarm_rate"], join=own["verdict"]["join"])
    intervals = auroc_intervals(limits.verdicts(part_scores))
    overall = float(intervals.loc[intervals["by"] == "all", "auroc"].iloc[0])
    kinds = intervals.loc[intervals["by"] == "kind", "auroc"]
    return overall, float(kinds.mean()), time.monotonic() - begun


def rows_of(station: Station, raw: Path, all_: Settings, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each candidate that a set is judged by."""
    own = all_[station.name]
    source = {"folder": str(raw), "simulated": False}
    samples, _, inputs = index(station, source, own["run"], own["split"], own["preparation"])
    begun = time.monotonic()
    choice = choose(
        station, samples, source, inputs, own["run"], own["auto"], own["preparation"], own["fit"], own["verdict"],
        all_["detectors"],
    )  # fmt: skip
    seconds = time.monotonic() - begun
    training = samples[samples["split"] == "train"]
    found: dict[str, tuple[float, float, float]] = {}
    for each in choice["candidates"]:
        try:
            found[each["detector"]] = areas(station, samples, source, inputs, each["detector"], own, all_)
        except EndlineError as error:
            print(f"{each['detector']}: {error}")
    best = max(area for area, _, _ in found.values())
    judged = [each for each in choice["candidates"] if each["left_out"] is None]
    within = next(each["detector"] for each in judged if each["behind"] <= each["error"] + ALIKE)
    for each in choice["candidates"]:
        name = each["detector"]
        area, of_kinds, took = found.get(name, (np.nan, np.nan, np.nan))
        yield {
            "station": station.name,
            "data": "/".join(raw.parts[-2:]) if raw.parent.name not in ("data", "raw") else raw.name,
            "seed": seed,
            "n_train_units": training["unit"].nunique(),
            "detector": name,
            "chosen": name == choice["chosen"],
            "auroc": round(area, 4),
            "auroc_mean_of_kinds": round(of_kinds, 4),
            "behind_best": round(best - area, 4),
            "criterion": each.get("criterion") and round(each["criterion"], 4),
            "behind": each.get("behind") and round(each["behind"], 4),
            "error": each.get("error") and round(each["error"], 4),
            "within_error": name == within,
            "margin": own["auto"]["margin"],
            "left_out": each["left_out"],
            "seconds_of_choice": each["seconds"],
            "seconds_of_run": round(took, 1),
            "seconds_of_all_choice": round(seconds, 1),
            "n_kinds": samples.loc[samples["label"] == 1, "kind"].nunique(),
            "faults": "synthetic of held-out normals",
            "machine": machine(),
            "commit": git_commit(),
        } | {f"synthetic_{kind}": round(value, 4) for kind, value in each.get("by_kind", {}).items() if kind != NORMAL}


def regrets(table: pd.DataFrame) -> pd.DataFrame:
    """Of each set and seed what was chosen, and by how much the best candidate is ahead of it by real labels."""
    sets = ["station", "data", "seed"]
    chosen, within = (table[table[rule]].set_index(sets) for rule in ("chosen", "within_error"))
    best = table.loc[table.groupby(sets)["auroc"].idxmax()].set_index(sets)
    columns = {
        "chosen": chosen["detector"],
        "auroc": chosen["auroc"],
        "best": best["detector"],
        "regret": chosen["behind_best"],
        "regret_within_error": within["behind_best"],
    }
    return pd.DataFrame(columns).reset_index()


def main() -> None:
    """Run, show and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("station")
    parser.add_argument("raw", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--params", nargs="*", default=[], help="name=value, as of kedro run --params")
    parser.add_argument("--candidates", nargs="+", help="of the choice, the quickest first; those of the station")
    given = parser.parse_args()
    bootstrap_project(ROOT)
    params = dict(each.split("=", 1) for each in given.params)
    with tempfile.TemporaryDirectory() as store:
        for seed in given.seeds:
            known = {**params, "seed": seed, "detector": AUTO}
            all_ = configuration(ROOT, None, {name: _value(value) for name, value in known.items()})["parameters"]
            all_[given.station]["auto"]["candidates"] = given.candidates or all_[given.station]["auto"]["candidates"]
            all_[given.station]["run"] |= {"store": store, "checkpoints": f"{store}/checkpoints"}
            rows = pd.DataFrame(list(rows_of(find_station(given.station), given.raw.resolve(), all_, seed)))
            table = rows
            if RESULTS.exists():
                before = pd.read_csv(RESULTS)
                same = (before["station"] == given.station) & (before["data"] == rows["data"].iloc[0])
                table = pd.concat([before[~(same & (before["seed"] == seed))], rows], ignore_index=True)
            RESULTS.parent.mkdir(exist_ok=True)
            table.to_csv(RESULTS, index=False)
            print(rows[["detector", "chosen", "auroc", "criterion", "behind", "error", "left_out"]].to_string())
            print(regrets(rows).to_string(index=False))


def _value(text: Any) -> Any:
    """A parameter as YAML would read it."""
    return yaml.safe_load(text) if isinstance(text, str) else text


if __name__ == "__main__":
    main()
