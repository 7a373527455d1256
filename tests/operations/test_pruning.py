"""What goes when old runs go, what stays, and how much room that makes."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner
from kedro.framework.project import configure_project

from endline.commands import cli
from endline.errors import EndlineError
from endline.files import link, locked, write_whole
from endline.operations.model_folders import latest_model
from endline.operations.pruning import prune
from endline.operations.registration import Publication, register
from endline.operations.registry import CHAMPION, Registry, model_name
from endline.owner import Owner
from endline.tracking import OWNER, PRUNED, READS, VERSION, make_database
from endline.versions import RUNS_LOCK

ROOT = Path(__file__).parents[2]
DEAD = replace(Owner.current(), pid=999_999_999)
Make = Callable[..., tuple[str, Path]]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making one takes seconds."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    make_database(f"sqlite:///{path}")
    return path


@pytest.fixture
def project(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "mlruns").mkdir()
    shutil.copy(database, folder / "mlruns")
    monkeypatch.chdir(folder)
    configure_project("endline")
    return folder


@pytest.fixture
def client(project: Path) -> mlflow.MlflowClient:
    client = mlflow.MlflowClient(f"sqlite:///{project}/mlruns/mlflow.db")
    client.create_experiment("endline", artifact_location=str(project / "mlruns/artifacts"))
    return client


@pytest.fixture
def made(project: Path, client: mlflow.MlflowClient) -> Make:
    """Makes what a run leaves, of some outputs alone; returns its artifacts."""

    def make(
        version: str, *arrays: str, station: str = "mirror_audio", whole: bool = True, **tags: str
    ) -> tuple[str, Path]:
        data = project / "data"
        for key in arrays:
            write_whole(data / f"04_feature/store/{key}.npy", "array" * 100)
            write_whole(data / f"04_feature/store/{key}.json", "{}")
        pointer = data / f"04_feature/{station}/features.json/{version}/features.json"
        write_whole(pointer, json.dumps({"arrays": {"scale_0": arrays}}))
        report = data / f"08_reporting/{station}/report.html/{version}/report.html"
        write_whole(report, "report" * 100)
        if whole:
            write_whole(data / f"06_models/{station}/model/{version}/model/model.json", "{}")
        experiment = client.get_experiment_by_name("endline").experiment_id
        run = client.create_run(experiment, tags={VERSION: version, f"version.{station}.report": version, **tags})
        folder = Path(run.info.artifact_uri)
        link(report, folder / "report.html")
        if OWNER not in tags:
            client.set_terminated(run.info.run_id)
        return run.info.run_id, folder

    return make


def names(project: Path, part: str = "") -> set[str]:
    return {
        path.relative_to(project).as_posix()
        for top in ("data", "mlruns/artifacts")
        for path in (project / top).rglob("*")
        if path.is_file() and part in path.as_posix()
    }


def on_disk(project: Path) -> int:
    files = {((project / name).stat().st_ino, (project / name).stat().st_size) for name in names(project)}
    return sum(size for _, size in files)


def test_whole_old_runs_go_with_what_nobody_else_needs(project: Path, client: mlflow.MlflowClient, made: Make) -> None:
    old, _ = made("1", "only-1", "shared")
    made("2", "only-2", "shared", whole=False)
    kept, _ = made("3", "only-3", "shared")
    made("4", "only-4", whole=False)  # it ended early, and somebody may look into it
    made("1", "other", station="surface_image")
    everything, size = names(project), on_disk(project)
    planned = prune(project, 1, dry=True)
    assert names(project) == everything
    assert [line.split(":")[0] for line in planned.lines()[:-1]] == ["mirror_audio 1", "mirror_audio 2"]
    done = prune(project, 1)
    assert done == planned
    assert size - on_disk(project) == done.size  # a second name takes no room, and keeps the file
    gone = everything - names(project)
    assert {name for name in gone if name.startswith("data/04_feature/store")} == {
        f"data/04_feature/store/only-{number}.{suffix}" for number in "12" for suffix in ("npy", "json")
    }
    assert {name.split("/")[3] for name in gone if "08_reporting" in name} == {"report.html"}
    assert not names(project, "mirror_audio/report.html/1/")
    assert names(project, "surface_image/report.html/1/")
    assert latest_model(project, "mirror_audio").parent.name == "3"
    # The version 1 of the other station stays, and with it the artifacts of both runs of that version.
    assert PRUNED not in client.get_run(old).data.tags
    assert PRUNED not in client.get_run(kept).data.tags
    assert prune(project, 1).lines() == ["Nothing to remove."]


def test_the_artifacts_of_a_removed_run_go_too(project: Path, client: mlflow.MlflowClient, made: Make) -> None:
    (old, gone), (new, kept) = made("1"), made("2")
    prune(project, 1)
    assert not gone.exists()
    assert client.get_run(old).data.tags[PRUNED]
    assert (kept / "report.html").exists()
    assert PRUNED not in client.get_run(new).data.tags
    assert not [path for path in project.rglob(".*") if "partial" in path.name]


def test_one_station_alone_and_fewer_runs_than_are_kept(project: Path, made: Make) -> None:
    for station in ("mirror_audio", "surface_image"):
        for version in "123":
            made(version, station=station)
    assert prune(project, 3).lines() == ["Nothing to remove."]
    assert set(prune(project, 2, station="surface_image").versions) == {("surface_image", "1")}
    assert names(project, "mirror_audio/report.html/1/")
    with pytest.raises(EndlineError, match="There is no station 'mirror': choose one of machine_audio"):
        prune(project, 1, station="mirror")


@pytest.mark.parametrize(
    ("owner", "stays"),
    [(Owner.current(), True), (replace(DEAD, host="elsewhere"), True), (DEAD, False)],
)
def test_what_a_living_run_writes_or_reads_stays(project: Path, made: Make, owner: Owner, stays: bool) -> None:
    made("1")
    made("2", **{OWNER: str(owner), READS: "1"})
    made("3")
    done = prune(project, 1)
    assert set(done.versions) == (set() if stays else {("mirror_audio", "1"), ("mirror_audio", "2")})
    said = [f"mirror_audio {version} stays: a run goes on, which writes or reads it." for version in "12"]
    assert list(done.notes) == (said if stays else [])


def test_while_a_run_goes_on_arrays_and_unfinished_runs_stay(project: Path, made: Make) -> None:
    made("1", "old")
    made("2", "half", whole=False)
    made("3", "new")
    with locked(project / RUNS_LOCK, shared=True):
        done = prune(project, 1)
    assert set(done.versions) == {("mirror_audio", "1")}
    assert "The arrays stay: a run goes on." in done.notes
    assert names(project, "store/old.npy")
    assert set(prune(project, 1).versions) == {("mirror_audio", "2")}
    assert not names(project, "store/old.npy")


def test_a_feature_set_that_cannot_be_read_is_told_before_anything_goes(project: Path, made: Make) -> None:
    made("1", "old")
    made("2", "new")
    pointer = project / "data/04_feature/mirror_audio/features.json/2/features.json"
    pointer.write_text("{")
    before = names(project)
    with pytest.raises(EndlineError, match=r"features.json cannot be read .* which arrays it needs: remove its folder"):
        prune(project, 1)
    assert names(project) == before


def test_artifacts_outside_the_project_stay(project: Path, client: mlflow.MlflowClient, made: Make) -> None:
    """A copy of a project still names the folders of the one that it was copied from."""
    (run, folder), _ = made("1"), made("2")
    copy = project.with_name("copy")
    shutil.copytree(project, copy)
    os.chdir(copy)
    done = prune(copy, 1)
    assert folder.exists()
    assert done.artifacts == {}
    assert f"The artifacts of the MLflow run {run} stay" in done.notes[0]


def test_the_command_says_what_would_go(project: Path, made: Make) -> None:
    made("1", "old")
    made("2", "new")
    before = names(project)
    told = CliRunner().invoke(cli, ["prune", "--keep=1", "--dry-run"])
    assert told.exit_code == 0, told.output
    assert "mirror_audio 1: 3 outputs\n1 runs, 1 arrays, artifacts of 1 MLflow runs: " in told.output
    assert told.output.endswith("Nothing was removed: leave out --dry-run.\n")
    assert names(project) == before
    assert CliRunner().invoke(cli, ["prune", "--keep=0"]).exit_code == 2
    assert CliRunner().invoke(cli, ["prune", "--keep=1"]).exit_code == 0
    assert names(project) < before


def test_a_champion_and_the_challenger_stay_and_other_models_go(
    project: Path, client: mlflow.MlflowClient, made: Make
) -> None:
    registry = Registry.of(project)
    models = {}
    name = model_name("mirror_audio", "mirror")
    for run in "12345":
        run_id, _ = made(run)
        folder = project / f"data/06_models/mirror_audio/model/{run}/model"
        register(registry, Publication(folder, "mirror_audio", "mirror", {VERSION: run}, {}, {}, run_id))
        models[run] = registry.files(registry.versions(name)[-1])
    registry.set_alias(name, CHAMPION, 1)
    pruning = prune(project, 1)
    assert {run for _, run in pruning.versions} == {"2", "3", "4"}
    assert "mirror_audio 1 stays: its model is, or was, champion, or is the challenger." in pruning.notes
    assert {run for run, folder in models.items() if folder.exists()} == {"1", "5"}
    assert not prune(project, 1).artifacts
