"""Several runs, and sweeps, at once in one fresh project: do they end well, and with the figures of a run alone?

Each case starts its commands at the same moment in a project folder without data, without a database and without
simulated sets, so that all of them want to make the same things. What counts as a fault: a command that fails, figures
other than those of the same command alone in a fresh project, files that a reader cannot read, MLflow runs that are not
FINISHED, versions that two runs share, anything temporary left behind.

Appends a row for each case to `benchmarks/results/concurrent_runs.csv`: case, commands at once, seconds of the slowest,
faults, bytes on the disk (each file once, whatever its names), commit, command. Run:
`.venv/bin/python benchmarks/concurrent_runs.py`.
"""

import argparse
import json
import re
import shlex
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rich import print

from kill_campaign import SMALL_SWEEP, Attempt, Reader, append, arguments, figures, new_project
from main_job import PROJECT

Given = tuple[str, Any]  # station and seed, or `sweep` and its name
RESULTS = PROJECT / "benchmarks/results/concurrent_runs.csv"
CASES: dict[str, list[Given]] = {
    "2 runs of a station": [("mirror_audio", 0), ("mirror_audio", 1)],
    "4 runs of three stations": [("mirror_audio", 0), ("mirror_audio", 1), ("surface_image", 0), ("robot_cycle", 0)],
    "2 sweeps": [("sweep", "small"), ("sweep", "other")],
}


def project_in(folder: Path) -> Path:
    """A fresh project with two sweeps of the same points."""
    project = new_project(folder)
    sweeps = {"small": SMALL_SWEEP, "other": {**SMALL_SWEEP, "description": "The same under another name."}}
    (project / "conf/base/sweeps.yml").write_text(yaml.safe_dump(sweeps, sort_keys=False))
    return project


def words_of(given: Given) -> list[str]:
    """The command line after `kedro`."""
    kind, which = given
    return ["sweep", which, "--env=smoke"] if kind == "sweep" else arguments(kind, which)


def figures_of(project: Path, given: Given) -> Any:
    """What the command has found, without what is measured by the clock."""
    kind, which = given
    if kind == "sweep":
        table = pd.read_csv(project / f"benchmarks/results/{which}.csv")
        return json.loads(table.filter(regex="auroc|detector|rate|recall|status").to_json())
    for file in (project / f"data/08_reporting/{kind}/metrics.json").glob("*/metrics.json"):
        metrics = json.loads(file.read_text())
        if metrics["seed"] == which:
            scores = project / f"data/07_model_output/{kind}/scores.parquet/{file.parent.name}/scores.parquet"
            return figures(metrics), pd.read_parquet(scores).to_json()
    return None


def alone(given: Given) -> Any:
    """The figures of a command in a project of its own."""
    with tempfile.TemporaryDirectory(prefix="endline_alone_") as folder:
        project = project_in(Path(folder) / "project")
        Attempt(project, words_of(given), Path(folder) / "log").finish()
        return figures_of(project, given)


def at_once(commands: Sequence[Given], expected: dict[Given, Any]) -> dict[str, Any]:
    """Start all commands in one fresh project, wait for them, and look; a row of the table."""
    with tempfile.TemporaryDirectory(prefix="endline_at_once_") as folder:
        project, faults, begun = project_in(Path(folder) / "project"), [], time.monotonic()
        logs = [Path(folder) / f"log{number}" for number in range(len(commands))]
        started = [Attempt(project, words_of(given), log) for given, log in zip(commands, logs, strict=True)]
        for given, attempt in zip(commands, started, strict=True):
            try:
                attempt.finish()
            except RuntimeError as error:
                faults.append(str(error))
                continue
            if figures_of(project, given) != expected[given]:
                faults.append(f"{given}: other figures than alone")
        seconds = time.monotonic() - begun
        faults += Reader(project).faults()
        with sqlite3.connect(project / "mlruns/mlflow.db") as database:
            ends = [status for (status,) in database.execute("select status from runs")]
            tags = database.execute("select value from tags where key = 'endline.version'")
            versions = [version for (version,) in tags]
        faults += [f"an MLflow run is {status}" for status in ends if status != "FINISHED"]
        faults += [f"two runs share the version {each}" for each in set(versions) if versions.count(each) > 1]
        left = [path.name for path in project.rglob(".*") if re.search(r"[.](partial|lock)\b", path.name)]
        faults += [f"left behind: {name}" for name in left]
        files = {(path.stat().st_ino, path.stat().st_size) for path in project.rglob("*") if path.is_file()}
    for fault in faults:
        print(f"[red]{fault}[/red]")
    about = {"commands": len(commands), "seconds": round(seconds, 1), "faults": len(faults)}
    return {**about, "bytes": sum(size for _, size in files)}


def main() -> None:
    """Run the cases and append to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    given = parser.parse_args()

    import mlflow  # noqa: F401  imported here once for all runs, which are forked from this process

    import endline.cli
    import endline.detectors.registry  # noqa: F401
    from endline.reporting.provenance import git_commit

    about = {"commit": git_commit(), "command": shlex.join(["benchmarks/concurrent_runs.py", *sys.argv[1:]])}
    expected: dict[Given, Any] = {}
    faults = 0
    for case in given.cases:
        for command in CASES[case]:
            if command not in expected:
                expected[command] = alone(command)
        row = {"case": case, **at_once(CASES[case], expected)}
        print(row)
        append(RESULTS, [{**row, **about}])
        faults += int(row["faults"])
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
