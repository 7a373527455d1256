"""What the runs of a sweep find at other false-alarm rates, and by an interpolated rank; nothing is trained.

Read are the committed rows of the sweep, and of each run the calibration and the part scores that it has left in the
project's data folder. Writes `benchmarks/results/other_rates.csv`, rows of other sweeps stay. Run after the sweep:
`.venv/bin/python benchmarks/other_rates.py mirror42 --only noise_floor=level`.
"""

import argparse
import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich import print

from endline.evaluation.calibration import Calibration
from endline.files import write_whole
from endline.reporting.provenance import git_commit

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
RATES, RULES = (0.05, 0.10, 0.20), ("conformal", "interpolated")


def verdicts_of(run: pd.Series, outputs: Path) -> Iterator[dict[str, object]]:
    """Recall and false alarms of one run, a row each for rule and rate."""
    folder, version = outputs / str(run["station"]), str(run["version"])
    saved = Calibration.from_json(json.loads((folder / f"calibration.json/{version}/calibration.json").read_text()))
    scores = pd.read_parquet(folder / f"part_scores.parquet/{version}/part_scores.parquet")
    for rule in RULES:
        for rate in RATES:
            calibration = replace(saved, rule=rule, stated_rate=rate)
            table = calibration.verdicts(scores)
            flagged, label = table["flagged"].to_numpy(bool), table["label"].to_numpy(float)
            yield {
                "detector": run["detector"],
                "rule": rule,
                "stated": rate,
                "promised": calibration.rate,
                "bound": calibration.bound,
                "recall": flagged[label == 1].mean(),
                "false_alarms": flagged[label == 0].mean(),
                "run_commit": run["git_commit"],
            }


def main() -> None:
    """Judge again, show and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep")
    parser.add_argument("--only", action="append", default=[], metavar="COLUMN=VALUE", help="rows of the sweep")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="data folder of the project that ran it")
    given = parser.parse_args()
    runs = pd.read_csv(RESULTS / f"{given.sweep}.csv")
    for column, value in (each.split("=") for each in given.only):
        runs = runs[runs[column].astype(str) == value]
    found = [row for _, run in runs.iterrows() for row in verdicts_of(run, given.data / "07_model_output")]
    grouped = pd.DataFrame(found).groupby(["detector", "rule", "stated", "promised", "bound", "run_commit"])
    command = shlex.join(["benchmarks/other_rates.py", given.sweep, *(f"--only={each}" for each in given.only)])
    columns = {
        "recall": grouped["recall"].mean().round(4),
        "recall_std": grouped["recall"].std().round(4),
        "false_alarms": grouped["false_alarms"].mean().round(4),
        "false_alarms_std": grouped["false_alarms"].std().round(4),
        "runs": grouped.size(),
    }
    table = pd.DataFrame(columns).assign(command=command, git_commit=git_commit()).reset_index()
    table.insert(0, "sweep", given.sweep)
    print(table.drop(columns=["run_commit", "command", "git_commit"]).to_string(index=False))
    path = RESULTS / "other_rates.csv"
    kept = [old[old["sweep"] != given.sweep] for old in ([pd.read_csv(path)] if path.exists() else [])]
    write_whole(path, pd.concat([*kept, table]).to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
