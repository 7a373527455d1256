"""The main job from nothing: simulate, index, extract, fit, score, report; then one new recording.

Runs `kedro run --pipeline=mirror_audio` in a fresh copy of the project, twice (the second finds its features), and
inspects one recording with the fitted detector. Writes `benchmarks/results/main_job.csv`.
Run: `.venv/bin/python benchmarks/main_job.py`.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from rich import print

from endline.operations.inspection import Inspector
from endline.reporting.provenance import git_commit, machine

PROJECT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "main_job.csv"


def copy_project(target: Path) -> Path:
    """Project without data: configuration and settings alone."""
    shutil.copytree(PROJECT / "conf", target / "conf")
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / name, target)
    (target / "src").mkdir()  # Kedro insists on it; the package itself is the installed one
    return target


def run_job(project: Path) -> dict[str, object]:
    """One run of the main job: seconds by the clock, and its metrics."""
    start = time.perf_counter()
    environment = {key: value for key, value in os.environ.items() if key != "ENDLINE_DATA"}
    command = [sys.executable, "-m", "kedro", "run", "--pipeline=mirror_audio"]
    subprocess.run(command, cwd=project, env=environment, check=True)
    took = time.perf_counter() - start
    newest = max((project / "data/08_reporting/mirror_audio/metrics.json").iterdir())
    metrics = json.loads((newest / "metrics.json").read_text())
    keys = ("n_train", "auroc", "control_auroc", "feature_seconds", "fit_seconds", "score_ms_per_sample")
    return {"seconds": round(took, 1), "peak_memory_mb": metrics["peak_memory_mb"], **{k: metrics[k] for k in keys}}


def inspect_seconds(project: Path) -> dict[str, object]:
    """Median seconds of a verdict on one recording, the detector being loaded."""
    os.chdir(project)
    inspector = Inspector.load("mirror_audio", project=project)
    recordings = sorted(project.rglob("recordings/*.wav"))[:12]
    times = []
    for recording in recordings:
        start = time.perf_counter()
        inspector.inspect(recording)
        times.append(time.perf_counter() - start)
    return {"seconds": round(statistics.median(times[2:]), 3)}


def main() -> None:
    """Measure and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder))
        rows = [{"case": "main job from nothing, 427 simulated recordings", **run_job(project)}]
        rows.append({"case": "the same again (features kept)", **run_job(project)})
        rows.append({"case": "one new recording, fitted detector loaded", **inspect_seconds(project)})
        os.chdir(PROJECT)
        table = pd.DataFrame(rows).assign(machine=machine(), commit=git_commit())
    RESULTS.parent.mkdir(exist_ok=True)
    table.to_csv(RESULTS, index=False)
    print(table.T.to_string())


if __name__ == "__main__":
    main()
