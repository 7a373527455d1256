"""MLflow's database under several processes, the end of killed runs, artifacts that lie once."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from endline.files import write_whole
from endline.owner import Owner
from endline.tracking import (
    OWNER,
    VERSION,
    claimed_versions,
    end_dead_runs,
    keep_artifact,
    log_parameters,
    make_database,
    naming_process,
)

DEAD = replace(Owner.current(), pid=999_999_999)
CONTEXT = """
import sys
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession
configure_project("endline")
KedroSession.create(sys.argv[1], env="smoke").load_context()
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> mlflow.MlflowClient:
    folder = tmp_path_factory.mktemp("mlruns")
    make_database(f"sqlite:///{folder}/mlflow.db")
    assert [path.name for path in folder.iterdir()] == ["mlflow.db"]
    return mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")


@pytest.fixture
def experiment(client: mlflow.MlflowClient, tmp_path: Path) -> str:
    return str(client.create_experiment(tmp_path.name, artifact_location=(tmp_path / "artifacts").as_uri()))


def begun(client: mlflow.MlflowClient, experiment: str, owner: Owner | None, version: str = "1") -> str:
    tags = {VERSION: version} | ({} if owner is None else {OWNER: str(owner)})
    return str(client.create_run(experiment, tags=tags).info.run_id)


def test_two_processes_set_a_fresh_project_up_at_once(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    (tmp_path / "src").mkdir()
    (tmp_path / "conf").symlink_to(root / "conf")
    (tmp_path / "pyproject.toml").symlink_to(root / "pyproject.toml")
    environment = {**os.environ, "DO_NOT_TRACK": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", CONTEXT, tmp_path], cwd=tmp_path, env=environment, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [each.communicate()[1].decode() for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    database = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    assert database.get_experiment_by_name("endline") is not None
    assert sorted(path.name for path in (tmp_path / "mlruns").iterdir()) == ["last_version", "mlflow.db"]


def test_runs_of_dead_processes_alone_are_marked_as_killed(client: mlflow.MlflowClient, experiment: str) -> None:
    owners = {
        "dead": DEAD,
        "number used again": replace(Owner.current(), started=1),
        "this one": Owner.current(),
        "another living one": replace(Owner.current(), pid=os.getppid(), started=0),
        "on another host": replace(DEAD, host="elsewhere"),
        "of an older endline": None,
    }
    runs = {name: begun(client, experiment, owner) for name, owner in owners.items()}
    ended = begun(client, experiment, DEAD)
    client.set_terminated(ended, "FINISHED")
    end_dead_runs(client, experiment, {})
    status = {name: client.get_run(run).info.status for name, run in runs.items()}
    assert status == dict.fromkeys(owners, "RUNNING") | {"dead": "KILLED", "number used again": "KILLED"}
    assert client.get_run(ended).info.status == "FINISHED"


def test_what_a_dead_run_left_goes_with_its_empty_folders(
    client: mlflow.MlflowClient, experiment: str, tmp_path: Path
) -> None:
    folders = {name: tmp_path / name for name in ("scores.csv", "model", "report")}
    write_whole(folders["scores.csv"] / "dead/scores.csv", "whole")
    for name, owner in (("scores.csv", DEAD), ("model", DEAD), ("report", Owner.current())):
        write_whole(folders[name] / f"dead/.x.{owner}-0a0a0a0a.partial.csv", "half")
        write_whole(folders[name] / f"other/.x.{Owner.current()}-0a0a0a0a.partial.csv", "half")
    begun(client, experiment, DEAD, "dead")
    end_dead_runs(client, experiment, {**folders, "none": tmp_path / "none"})
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if "dead" in path.parts}
    mine = f"report/dead/.x.{Owner.current()}-0a0a0a0a.partial.csv"
    assert left == {"scores.csv/dead", "scores.csv/dead/scores.csv", "report/dead", mine}
    assert len(list(tmp_path.glob("*/other/.*"))) == 3


def test_versions_of_runs_that_may_go_on_are_claimed(client: mlflow.MlflowClient, experiment: str) -> None:
    for version, owner in (("mine", Owner.current()), ("dead", DEAD), ("far", replace(DEAD, host="elsewhere"))):
        begun(client, experiment, owner, version)
    client.set_terminated(begun(client, experiment, Owner.current(), "ended"))
    assert claimed_versions(client.search_runs([experiment])) == {"mine", "far"}


def test_a_run_names_its_process_from_its_first_moment(
    client: mlflow.MlflowClient, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", '{"plant": "north"}')
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        with naming_process("2026"):
            run = mlflow.start_run(experiment_id=experiment)
        mlflow.end_run()
    finally:
        mlflow.set_tracking_uri(before)
    tags = run.data.tags
    assert (tags[OWNER], tags[VERSION], tags["plant"]) == (str(Owner.current()), "2026", "north")
    assert os.environ["MLFLOW_RUN_CONTEXT"] == '{"plant": "north"}'


def test_parameters_are_recorded_however_many_odd_or_long(
    client: mlflow.MlflowClient, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(client, experiment, Owner.current())
    monkeypatch.setattr(mlflow, "MlflowClient", lambda: client)
    many = {"fit": {f"p{number}": number for number in range(120)}}
    log_parameters(run, {**many, "labels": {"gut?": "ok", "long": "x" * 7000}, "raw": None, "rows": [1, 2]})
    log_parameters(run, {"raw": None})  # again, and the same
    data = client.get_run(run).data
    expected = {f"fit.p{number}": str(number) for number in range(120)}
    assert data.params == {**expected, "labels.gut_": "ok", "raw": "None", "rows": "[1, 2]"}
    assert data.tags["labels.long"] == "x" * 7000


def test_artifacts_lie_on_the_disk_once(client: mlflow.MlflowClient, experiment: str, tmp_path: Path) -> None:
    run: Run = client.create_run(experiment)
    write_whole(tmp_path / "data/report.html", "report")
    write_whole(tmp_path / "data/model/deep/weights", "weights")
    for name in ("report.html", "model"):
        keep_artifact(run, tmp_path / "data" / name)
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    for name in ("report.html", "model/deep/weights"):
        assert (folder / name).samefile(tmp_path / "data" / name)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"report.html", "model"}
