"""`kedro sweep`: what runs, what is kept, what is told of runs that do not go; and one real sweep, end to end."""

import fcntl
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from kedro.framework.project import configure_project

from endline.errors import EndlineError
from endline.operations.sweep import campaign as sweep_module
from endline.operations.sweep.campaign import run_sweep
from endline.operations.sweep.parent import ParentRun
from endline.operations.sweep.run import Finished
from endline.operations.sweep.table import Row, read_csv

ROOT = Path(__file__).parents[3]
TINY = {
    "station": "mirror_audio",
    "description": "Two folds.",
    "data": "motors",
    "fixed": {"detector": "gaussian"},
    "grid": {"noise_floor": ["level", "raw"], "fold": [0, 1]},
    "rows": ["noise_floor"],
}
Finish = Callable[[Mapping[str, Any]], None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project with the sweep `tiny`, beside a folder of data, its runs undisturbed by others."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copy(ROOT / "pyproject.toml", folder)
    (tmp_path / "shared/data/motors").mkdir(parents=True)
    (tmp_path / "shared/data/motors/a.wav").write_bytes(b"sound")
    monkeypatch.delenv("ENDLINE_DATA", raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.chdir(folder)
    configure_project("endline")
    describe(folder)
    return folder


@pytest.fixture
def parents(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ends of the MLflow parent runs, which are left out here: a database takes seconds."""
    ended: list[str] = []

    class Parent:
        id = "parent"

        def __init__(self, *_: object, fresh: bool) -> None:
            pass

        def end(self, status: str, counts: dict[str, int], files: list[Path]) -> None:
            ended.append(status)

    monkeypatch.setattr(sweep_module, "ParentRun", Parent)
    return ended


def describe(project: Path, **changes: Any) -> None:
    (project / "conf/base/sweeps.yml").write_text(yaml.safe_dump({"tiny": {**TINY, **changes}}, sort_keys=False))


def rows(project: Path) -> list[Row]:
    return read_csv(project / "benchmarks/results/tiny.csv")


class Runs:
    """Stands for `run_station`: remembers the parameters, and does to each what it is told."""

    def __init__(self, then: Finish | None = None) -> None:
        self.given: list[dict[str, Any]] = []
        self.then = then

    def __call__(self, project: Path, env: str | None, station: str, parameters: Mapping[str, Any]) -> Finished:
        self.given.append(dict(parameters))
        if self.then:
            self.then(parameters)
        return Finished({"auroc": 0.9, "control_auroc": 0.5, "simulated": False}, f"version {len(self.given)}")


def test_every_point_runs_with_its_parameters_and_is_written_at_once(project: Path, parents: list[str]) -> None:
    written: list[int] = []
    runs = Runs(lambda _: written.append(len(rows(project))))
    run_sweep("tiny", project, run=runs)
    raw = str((project / "../shared/data/motors").resolve())
    shared = {"detector": "gaussian", "raw": raw, "sweep": "tiny", "mlflow_parent_run_id": "parent"}
    points = [("level", 0), ("level", 1), ("raw", 0), ("raw", 1)]
    assert runs.given == [{"noise_floor": floor, "fold": fold, **shared} for floor, fold in points]
    assert written == [0, 1, 2, 3]
    assert [(row["noise_floor"], int(row["fold"])) for row in rows(project)] == points
    assert {row["status"] for row in rows(project)} == {"done"}
    assert parents == ["FINISHED"]
    assert "| level | 0.900 ± 0.000 (2) |" in (project / "benchmarks/results/tiny.md").read_text()


def again(project: Path, **options: Any) -> int:
    """Number of runs of one more sweep."""
    runs = Runs()
    run_sweep("tiny", project, run=runs, **options)
    return len(runs.given)


def test_what_is_finished_does_not_run_again_until_something_changes(project: Path, parents: list[str]) -> None:
    assert again(project) == 4
    assert again(project) == 0
    assert parents == ["FINISHED"]  # nothing to do: no second parent run
    assert again(project, fresh=True) == 4
    describe(project, grid={"noise_floor": ["level", "raw"], "fold": [0, 1, 2]})
    assert again(project) == 2
    (project / "../shared/data/motors/b.wav").write_bytes(b"more")
    assert again(project) == 6
    describe(project, grid={"noise_floor": ["raw"], "fold": [0]}, fixed={"detector": "gaussian", "exhibits": 0})
    assert again(project) == 0  # exhibits change no figure
    station = project / "conf/base/parameters/mirror_audio.yml"
    station.write_text(station.read_text().replace("views,4", "views,2"))
    assert again(project) == 0  # nor does what only other detectors read
    assert len(rows(project)) == 1  # rows that the grid no longer has are gone
    settings = project / "conf/base/parameters/detectors.yml"
    settings.write_text(settings.read_text().replace("shrinkage: 0.05", "shrinkage: 0.1"))
    assert again(project) == 1


def test_a_killed_sweep_loses_the_running_row_alone(project: Path, parents: list[str]) -> None:
    def interrupt(parameters: Mapping[str, Any]) -> None:
        if parameters["noise_floor"] == "raw":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep("tiny", project, run=Runs(interrupt))
    assert len(rows(project)) == 2
    assert again(project) == 2
    assert parents == ["KILLED", "FINISHED"]


def test_a_failed_run_becomes_a_row_and_the_others_go_on(
    project: Path, parents: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(parameters: Mapping[str, Any]) -> None:
        if parameters["noise_floor"] == "raw" and parameters["fold"] == 0:
            try:
                raise EndlineError("The folder is empty: fill it.")
            except EndlineError as error:
                raise ValueError("wrapped by Kedro") from error
        if parameters["fold"] == 1:
            raise ZeroDivisionError("division\nby zero")

    with pytest.raises(EndlineError, match=r"3 of 4 runs failed: .*tiny\.csv says why"):
        run_sweep("tiny", project, run=Runs(fail))
    assert [(row["status"], row["reason"]) for row in rows(project)] == [
        ("done", ""),
        ("failed", "ZeroDivisionError: division by zero"),
        ("failed", "The folder is empty: fill it."),
        ("failed", "ZeroDivisionError: division by zero"),
    ]
    assert parents == ["FAILED"]
    assert sum(record.exc_info is not None for record in caplog.records) == 2  # a traceback for what is no user's error
    page = (project / "benchmarks/results/tiny.md").read_text()
    assert "- 1 run(s) failed: The folder is empty: fill it." in page
    assert again(project) == 3  # what failed is tried again


def test_what_every_run_says_is_told_once(project: Path, parents: list[str], caplog: pytest.LogCaptureFixture) -> None:
    def say(parameters: Mapping[str, Any]) -> None:
        logging.getLogger("endline").warning("One recording has no label.")
        logging.getLogger("endline").warning("Fold %d.", parameters["fold"])

    run_sweep("tiny", project, run=Runs(say))
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert told == ["One recording has no label.", "Fold 0.", "Fold 1."]


def test_a_backbone_without_weights_is_skipped_with_its_sentence(project: Path, parents: list[str]) -> None:
    describe(project, grid={"backbone": ["resnet18", "efficientnet_lite0"]}, rows=["backbone"])
    runs = Runs()
    run_sweep("tiny", project, run=runs)
    assert [given["backbone"] for given in runs.given] == ["efficientnet_lite0"]
    skipped, done = rows(project)
    assert (skipped["status"], done["status"]) == ("skipped", "done")
    assert skipped["reason"].startswith("The backbone resnet18 comes without weights: give `weights` the path")
    page = (project / "benchmarks/results/tiny.md").read_text()
    assert "| resnet18 | skipped | skipped |" in page
    assert "- 1 run(s) skipped: The backbone resnet18 comes without weights" in page
    assert parents == ["FINISHED"]


def test_two_sweeps_of_one_name_do_not_run_at_once(project: Path) -> None:
    (project / "mlruns").mkdir()
    with (project / "mlruns/sweep_tiny.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(EndlineError, match="The sweep 'tiny' is already running in another process"):
            run_sweep("tiny", project, run=Runs())


def test_a_misspelt_parameter_ends_the_sweep_before_its_first_run(project: Path) -> None:
    describe(project, grid={"noise_flor": ["level"]}, rows=["noise_flor"])
    runs = Runs()
    with pytest.raises(EndlineError, match=r"Nothing reads the option 'noise_flor' .* did you mean 'noise_floor'"):
        run_sweep("tiny", project, run=runs)
    assert not runs.given


def test_a_real_sweep_end_to_end(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixed = {"detector": "gaussian", "normals": 10, "faulty": 3}
    describe(project, data=None, fixed=fixed, grid={"noise_floor": ["level", "raw"]})
    run_sweep("tiny", project, env="smoke")
    level, raw = rows(project)
    assert level["version"] < raw["version"]
    for row in (level, raw):
        found = project / "data/08_reporting/mirror_audio/metrics.json" / row["version"] / "metrics.json"
        metrics = json.loads(found.read_text())
        assert float(row["auroc"]) == metrics["auroc"]
        assert float(row["auroc_2"]) == metrics["auroc_by_kind"]["2"]["auroc"]
        assert row["simulated"] == "True"
        assert set(metrics) - {"auroc_by_kind", "auroc_by_domain", "auroc_by_group"} <= set(row)
    page = (project / "benchmarks/results/tiny.md").read_text()
    assert "- Data: **SIMULATED**; the station's own" in page
    assert f"| level | {float(level['auroc']):.3f} (1) | {float(level['control_auroc']):.3f} (1) |" in page
    assert "| level |" in capsys.readouterr().out

    assert mlflow.active_run() is None
    client = mlflow.MlflowClient()
    found_runs = client.search_runs([client.get_experiment_by_name("endline").experiment_id])
    parent = next(run for run in found_runs if run.data.tags.get("sweep") == "tiny" and "runs_done" in run.data.tags)
    children = {
        run.info.run_id: run for run in found_runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    }
    assert {row["mlflow_run_id"] for row in (level, raw)} == set(children)
    assert {run.info.status for run in found_runs} == {"FINISHED"}
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["tiny.csv", "tiny.md"]
    floors = {run.data.params["mirror_audio.sound.noise_floor"] for run in children.values()}
    assert floors == {"level", "raw"}  # each run recorded into its own

    def taken(fresh: bool = False) -> ParentRun:
        return ParentRun(project, "smoke", fixed, "tiny", fresh=fresh)

    second = taken()
    assert second.id != parent.info.run_id  # that one has finished
    left = client.create_run(parent.info.experiment_id, tags={"mlflow.parentRunId": second.id}).info.run_id
    assert taken().id == second.id  # taken up again, and what its killed process left running is closed
    assert client.get_run(left).info.status == "KILLED"
    second.end("KILLED", {"done": 1}, [])
    assert taken(fresh=True).id != second.id
    assert client.get_run(second.id).info.status == "KILLED"
