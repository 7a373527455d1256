"""The real scheduler, on a schedule of minutes: three retrainings, one of them on poisoned data.

A project of its own has one station whose raw folder grows between the runs: good parts and known faults; then more
good parts; then faulty parts that are labelled as good ones. The first model becomes champion, the second may, the
third must not. In between the scheduler comes again and finds nothing new. In the second retraining each task is killed
once (SIGKILL of its process, at a random moment of the time that it has taken in the first), and tried again.

Writes a row for each run of the DAG to `benchmarks/results/airflow_schedule.csv`: what was new, state of the run and of
its tasks, tasks that were killed, tries, seconds from its start to its end, what was decided and by which criteria,
AUROC on the run's own test, commit. The exit status is 0 where all runs ended well and the poisoned model was kept out.
Run: `.venv/bin/python benchmarks/airflow_schedule.py`.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from rich import print

from airflow_test import AIRFLOW, DAG, SMALL, AirflowProject, states
from endline.files import write_whole
from endline.reporting.provenance import git_commit, machine
from endline.simulation.sound.mirror_audio import MirrorSimulation, simulate
from main_job import PROJECT

RESULTS = PROJECT / "benchmarks/results/airflow_schedule.csv"
ENDED = ("success", "failed")
KILLED = "more good parts"  # the retraining whose tasks are killed
PATIENCE = 3600.0  # s that one run may take
RECIPE = MirrorSimulation(normals=64, faulty=40)
# What is in the raw folder at each retraining: good parts, faulty ones that are labelled so, and such as are not.
STAGES = {"first data": (50, 16, 0), "more good parts": (64, 16, 0), "poisoned": (64, 16, 24)}


def fill(raw: Path, simulated: Path, normals: int, faulty: int, poison: int) -> None:
    """Lay a set into the raw folder, which is another one from one moment to the next."""
    table = pd.read_csv(simulated / "labels.csv", dtype=str)
    good, bad = (table[table["fault"].eq("0") == wanted] for wanted in (True, False))
    hidden = bad.iloc[faulty : faulty + poison].assign(fault="0")
    chosen = pd.concat([good.head(normals), bad.head(faulty), hidden]).sort_index()
    new = raw.with_name("new")
    (new / "recordings").mkdir(parents=True)
    for recording in chosen["recording"]:
        found = next(simulated.rglob(Path(recording).name))
        os.link(found, new / "recordings" / found.name)
    shutil.copy(simulated / "simulation.json", new)  # the reports say that the data are simulated
    write_whole(new / "labels.csv", chosen.to_csv(index=False))
    if raw.exists():
        raw.rename(raw.with_name("old"))
    new.rename(raw)
    shutil.rmtree(raw.with_name("old"), ignore_errors=True)


@contextlib.contextmanager
def scheduler(project: AirflowProject) -> Iterator[None]:
    """Airflow, as `make airflow` starts it; with all that it has started it ends here."""
    with (project.home / "standalone.log").open("w") as log:
        process = subprocess.Popen(
            [AIRFLOW, "standalone"],
            cwd=project.folder,
            env=project.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            for end in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, end)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(60)


class Killer(threading.Thread):
    """Kills the process of each task once, at a random moment of the time that the task has taken before.

    Args:
        project: whose tasks.
        seconds: task -> how long it took.

    Example:
        `Killer(project, {"train": 12.0}).start()`
    """

    def __init__(self, project: AirflowProject, seconds: dict[str, float]) -> None:
        super().__init__(daemon=True)
        self.project, self.left, self.killed = project, dict(seconds), list[str]()
        self.stopped = threading.Event()

    def run(self) -> None:
        """Look for the processes of tasks until each was killed once."""
        chance, waits = random.Random(0), dict[str, float]()
        while self.left and not self.stopped.wait(0.3):
            for pid, task in self._processes():
                if task not in self.left:
                    continue
                end = waits.setdefault(task, time.monotonic() + chance.uniform(0, 0.9 * self.left[task]))
                if time.monotonic() >= end:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        self.killed.append(task)
                        del self.left[task]

    def _processes(self) -> Iterator[tuple[int, str]]:
        """Number and task of each command of the project that Airflow has started."""
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if not (path / "cwd").samefile(self.project.folder):
                    continue
                program = (path / "cmdline").read_bytes().split(b"\0")[1:2]
                found = re.search(rb"AIRFLOW_CTX_TASK_ID=(\w+)", (path / "environ").read_bytes())
                if found and program and program[0].endswith((b"/kedro", b"/endline")):
                    yield int(path.name), found[1].decode()


def task_seconds(home: Path, run: str) -> dict[str, float]:
    """How long each task of a run took."""
    query = "SELECT task_id, start_date, end_date FROM task_instance WHERE run_id = ? AND state = 'success'"
    with sqlite3.connect(home / "airflow.db", timeout=60) as database:
        tasks = pd.read_sql(query, database, params=[run], parse_dates=["start_date", "end_date"], index_col="task_id")
    took = (tasks["end_date"] - tasks["start_date"]).dt.total_seconds()
    return {str(task): float(seconds) for task, seconds in took.items()}


def dag_runs(home: Path) -> pd.DataFrame:
    """Runs of the DAG in Airflow's database, the oldest first."""
    query = "SELECT run_id, state, start_date, end_date FROM dag_run WHERE dag_id = ? ORDER BY start_date"
    with sqlite3.connect(home / "airflow.db", timeout=60) as database:
        runs = pd.read_sql(query, database, params=[DAG], parse_dates=["start_date", "end_date"])
        tries = pd.read_sql("SELECT run_id, SUM(try_number) AS tries FROM task_instance GROUP BY run_id", database)
    return runs.merge(tries, how="left", on="run_id")


def wait_for(happened: Callable[[], Any], what: str) -> Any:
    """The first answer that is not empty, asked every five seconds."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        if answer := happened():
            return answer
        time.sleep(5)
    raise TimeoutError(f"{what} did not happen in {PATIENCE:.0f} s.")


def trained(project: AirflowProject) -> dict[str, dict[str, str]]:
    """MLflow's tags of the runs that Airflow began, by the run of the DAG."""
    return {run["endline.begun_by"]: run for run in project.runs() if "endline.begun_by" in run}


def rows(project: AirflowProject, data: dict[str, str], killed: dict[str, list[str]]) -> pd.DataFrame:
    """A row for each run of the DAG that has ended."""
    begun, tasks = trained(project), states(project.home)
    found = []
    for run in dag_runs(project.home).to_dict("records"):
        if run["state"] not in ENDED:
            continue
        tags = begun.get(run["run_id"], {})
        decision = decided(project.folder, tags["run"]) if tags else {}
        found.append(
            {
                "data": data.get(run["run_id"], "nothing new"),
                "state": run["state"],
                "tasks": " ".join(f"{task}:{state}" for task, state in tasks[run["run_id"]].items()),
                "killed": " ".join(killed.get(run["run_id"], ())),
                "tries": int(run["tries"]),
                "seconds": round((run["end_date"] - run["start_date"]).total_seconds(), 1),
                "auroc": metric(project.folder, tags.get("run"), "auroc"),
                "decided": decision.get("what", ""),
                "why": "; ".join(
                    f"{'holds' if each['holds'] else 'FAILS'} {each['name']}: {each['said']}"
                    for each in decision.get("criteria", ())
                ),
            }
        )
    return pd.DataFrame(found)


def decided(project: Path, run: str) -> dict[str, Any]:
    """What was decided on the model of an MLflow run."""
    files = project.glob(f"mlruns/artifacts/{run}/artifacts/decisions/*.json")
    decisions = [dict(json.loads(file.read_text())) for file in files]
    return next((each for each in decisions if each["what"] in ("promoted", "kept")), {})


def metric(project: Path, run: str | None, name: str) -> float | None:
    """A figure of an MLflow run."""
    with sqlite3.connect(project / "mlruns/mlflow.db", timeout=60) as database:
        found = database.execute(
            "SELECT value FROM latest_metrics WHERE run_uuid = ? AND key = ?", (run, name)
        ).fetchone()
    return None if found is None else round(found[0], 4)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2, help="from one run of the schedule to the next")
    parser.add_argument("--port", default="8090", help="of Airflow's page")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        simulated, raw = simulate(folder / "simulated", RECIPE), folder / "line"
        fill(raw, simulated, *STAGES["first data"])
        params = {key: value for key, value in SMALL["params"].items() if key not in ("normals", "faulty")}
        schedule = {
            **SMALL,
            "schedule": arguments.minutes,
            "retries": 2,
            "retry_minutes": 0.1,
            "params": {**params, "raw": str(raw)},
        }
        settings = {"AIRFLOW__API__PORT": arguments.port, "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True"}
        project = AirflowProject(folder, schedule, settings)
        data: dict[str, str] = {}
        killed: dict[str, list[str]] = {}
        with scheduler(project):
            for stage, parts in STAGES.items():
                if stage != "first data":
                    wait_for(lambda: quiet(project, data), "A run without new data")
                    fill(raw, simulated, *parts)
                killer = Killer(project, task_seconds(project.home, next(iter(data))) if stage == KILLED else {})
                killer.start()
                run = wait_for(lambda: finished(project, data), f"The retraining on {stage}")
                killer.stopped.set()
                data[run], killed[run] = stage, killer.killed
                print(rows(project, data, killed).drop(columns="why"))
        table = rows(project, data, killed)
    about = {"commit": git_commit(), "machine": machine()}
    write_whole(RESULTS, table.assign(**about).to_csv(index=False))
    print(table)
    outcome = dict(zip(table["data"], table["decided"], strict=True))
    good = outcome["first data"] == "promoted" and outcome["poisoned"] == "kept" and (table["state"] == "success").all()
    return int(not good)


def finished(project: AirflowProject, data: dict[str, str]) -> str | None:
    """The run of the DAG that has learned from data that no run before it had, once it has ended."""
    if not (project.folder / "mlruns/mlflow.db").exists():
        return None
    runs = dag_runs(project.home)
    ended = runs[runs["state"].isin(ENDED)]["run_id"]
    new = [run for run in ended if run in trained(project) and run not in data]
    if new and runs.set_index("run_id")["state"][new[0]] == "failed":
        raise RuntimeError(f"The run {new[0]} failed: {states(project.home)[new[0]]}")
    return new[0] if new else None


def quiet(project: AirflowProject, data: dict[str, str]) -> bool:
    """Whether the newest run that has ended found nothing new."""
    runs = dag_runs(project.home)
    ended = runs[runs["state"].isin(ENDED)]["run_id"]
    return bool(len(ended)) and ended.iloc[-1] not in data


if __name__ == "__main__":
    sys.exit(main())
