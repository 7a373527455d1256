"""One station's DAG on a small simulated set, run by `airflow dags test`, from new data to the page that concludes it.

In a project of its own, which is removed at the end: the DAG files are generated there, and Airflow keeps a database
of its own. What counts as a fault: a task that fails, a run whose outputs have more than one version or lie in more
than one MLflow run, a page that is not there. The last line says how it ended; the exit status is 0 without a fault.
Run: `make airflow-test`.
"""

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from main_job import PROJECT, copy_project

STATION, DAG = "mirror_audio", "endline_mirror_audio"
AIRFLOW = PROJECT / "orchestration/airflow"
ACCEPTANCE = {"normals": 24, "faulty": 18, "seed": 1000}
SMALL: dict[str, Any] = {
    "env": "smoke",
    "retries": 0,
    "recalibrate": 0.2,
    "params": {"normals": 60, "faulty": 20, "detector": "gaussian", "false_alarm_rate": 0.1, "exhibits": 1},
}


class AirflowProject:
    """A project in a folder of its own, with one scheduled station and an Airflow of its own.

    Args:
        folder: where it is made.
        schedule: of the station, over the defaults of `conf/base/schedule.yml`.
        settings: variables of the environment for Airflow.

    Example:
        `AirflowProject(folder, SMALL).airflow("dags", "test", DAG)`
    """

    def __init__(self, folder: Path, schedule: Mapping[str, Any], settings: Mapping[str, str] | None = None) -> None:
        self.folder = copy_project(folder / "project")
        self.home = folder / "airflow"
        plan = self.folder / "conf/base/schedule.yml"
        content = yaml.safe_load(plan.read_text())
        content["stations"] = {STATION: dict(schedule)}
        plan.write_text(yaml.safe_dump(content, sort_keys=False))
        bounds = self.folder / "conf/base/promotion.yml"
        promotion = yaml.safe_load(bounds.read_text())
        promotion["stations"][STATION]["simulation"] = ACCEPTANCE
        bounds.write_text(yaml.safe_dump(promotion, sort_keys=False))
        self.environment = {
            **{key: value for key, value in os.environ.items() if key != "ENDLINE_DATA"},
            "AIRFLOW_HOME": str(self.home),
            "DO_NOT_TRACK": "1",
            "OMP_NUM_THREADS": "1",
            **(settings or {}),
        }
        self.endline("dags", f"--folder={self.home}/dags")
        self.airflow("db", "migrate")

    def endline(self, *arguments: str) -> str:
        """Call a command of the project; returns what it printed."""
        return self._call(str(Path(sys.executable).parent / "endline"), *arguments)

    def airflow(self, *arguments: str) -> str:
        """Call Airflow; returns what it printed."""
        return self._call(str(AIRFLOW), *arguments)

    def _call(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}")
        return done.stdout

    def runs(self) -> list[dict[str, str]]:
        """Tags of the MLflow runs, with their `status`, the oldest first."""
        with sqlite3.connect(self.folder / "mlruns/mlflow.db") as database:
            runs = database.execute("SELECT run_uuid, status FROM runs ORDER BY start_time").fetchall()
            tags = database.execute("SELECT run_uuid, key, value FROM tags").fetchall()
        return [
            {**{key: value for run, key, value in tags if run == one}, "run": one, "status": status}
            for one, status in runs
        ]


def states(home: Path) -> dict[str, dict[str, str]]:
    """State of each task in Airflow's database: run -> task -> state."""
    with sqlite3.connect(home / "airflow.db") as database:
        rows = database.execute("SELECT run_id, task_id, state FROM task_instance ORDER BY start_date").fetchall()
    found: dict[str, dict[str, str]] = {}
    for run, task, state in rows:
        found.setdefault(run, {})[task] = state
    return found


def faults(project: AirflowProject, printed: str) -> list[str]:
    """What is wrong after a run of the DAG, in sentences."""
    found = []
    (tasks,) = states(project.home).values()
    wrong = {task: state for task, state in tasks.items() if state not in ("success", "skipped")}
    wrong |= {
        task: state for task, state in tasks.items() if state == "skipped" and task not in ("promote", "recalibrate")
    }
    if wrong:
        found.append(f"Tasks ended otherwise than well: {wrong}.")
    runs = project.runs()
    if [run["status"] for run in runs] != ["FINISHED"]:
        found.append(f"MLflow has not one finished run, but {[run['status'] for run in runs]}.")
    versions = {value for run in runs for key, value in run.items() if key.startswith("version.")}
    if len(versions) != 1:
        found.append(f"The outputs have {len(versions)} versions.")
    pages = re.findall(r"/\S+/retrainings/\S+\.html", printed)
    if not pages or not Path(pages[-1]).exists():
        found.append("No page says what the run has done.")
    return found


def main() -> int:
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        project = AirflowProject(Path(name), SMALL)
        printed = project.airflow("dags", "test", DAG)
        print(printed)
        found = faults(project, printed)
        for task, state in next(iter(states(project.home).values())).items():
            print(f"{task:<20}{state}")
    for fault in found:
        print(fault)
    passed = not found
    print(f"The DAG {DAG} ran in {time.perf_counter() - begun:.0f} s.")
    print(f"airflow-test: {int(passed)} passed, {len(found)} failed")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
