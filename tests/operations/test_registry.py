"""Published models in MLflow's registry: versions, aliases, and what judges by them."""

import sqlite3
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from endline.errors import EndlineError
from endline.files import discard
from endline.operations.inspection import Inspector
from endline.operations.registration import training_of
from endline.operations.registry import (
    CHALLENGER,
    CHAMPION,
    Registered,
    Registry,
    beside,
    model_name,
    read_reference,
    registered_as,
    registry_uri,
)
from endline.operations.verdict_file import read_verdicts
from endline.operations.verdicts import ADDED

NAME = "endline.scales.all"


def test_a_published_model_becomes_the_challenger_and_its_files_lie_once(shelf, models):
    gauss, padim = models
    assert shelf.add(gauss, training={"a.json": "e3"}) == Registered(NAME, 1)
    assert shelf.add(padim) == Registered(NAME, 2)
    assert shelf.add(padim) == Registered(NAME, 2)  # the same model is the same version
    beside(shelf.project.model("2")).unlink()
    shelf.registry.client.delete_registered_model_alias(NAME, CHALLENGER)  # as if killed before it was set
    assert shelf.add(padim) == Registered(NAME, 2)
    assert shelf.registry.aliases(NAME) == {CHALLENGER: 2}
    first, second = shelf.registry.versions(NAME)
    assert (first.tags["git_commit"], first.tags["auroc"], second.tags["endline.version"]) == ("abc", "0.9", "2")
    files = shelf.registry.files(first)
    weights = "detectors/whole/0/weights.safetensors"
    assert (files / "artifacts/model" / weights).samefile(shelf.project.model("1") / weights)
    assert training_of(files) == {"a.json": "e3"}
    assert not list(files.rglob("*.pkl"))
    assert registered_as(shelf.project.model("2")) == Registered(NAME, 2)


def test_mlflow_itself_judges_by_the_registered_model(shelf, padim, scales):
    shelf.add(padim)
    part = scales.part("a.json")
    mlflow.set_tracking_uri(shelf.registry.uri)
    try:
        loaded = mlflow.pyfunc.load_model(f"models:/{NAME}@{CHALLENGER}")
    finally:
        mlflow.set_tracking_uri(None)
    verdicts = loaded.predict(pd.DataFrame({"path": [str(part)]}))
    expected = Inspector.load("2", project=scales.folder).inspect(part)
    assert verdicts["score"].tolist() == expected["score"].tolist()
    assert loaded.metadata.load_input_example().columns.tolist() == ["path"]
    assert loaded.metadata.signature.outputs.input_names() == expected.columns.tolist()


def test_verdicts_name_the_version_and_the_alias_that_judged(shelf, models, scales, tmp_path):
    for model in models:
        shelf.add(model)
    shelf.registry.set_alias(NAME, CHAMPION, 1)
    part, output = scales.part("a.json"), tmp_path / "verdicts.csv"
    told = scales.command("inspect", part, f"--model={NAME}@champion", "--output", output)
    assert told.exit_code == 0, told.output
    assert f"1 rows, by the run 1 of scales, {NAME}/1 (champion)" in told.output
    (row,) = read_verdicts(output)
    assert (row.run, row.model, row.alias) == ("1", f"{NAME}/1", "champion")
    for source, found in {"2": (f"{NAME}/2", ""), f"models:/{NAME}/1": (f"{NAME}/1", "")}.items():
        verdict = Inspector.load(source, project=scales.folder).inspect(part).iloc[0]
        assert (verdict["model"], verdict["alias"]) == found
    # Without the registry verdicts go on, and still name the version.
    (scales.folder / "mlruns/mlflow.db").unlink()
    assert Inspector.load("2", project=scales.folder).inspect(part)["model"].tolist() == [f"{NAME}/2"]


def test_a_registered_model_judges_after_its_run_was_removed(shelf, padim, scales):
    shelf.add(padim)
    part = scales.part("a.json")
    before = Inspector.load("2", project=scales.folder).inspect(part)["score"].tolist()
    discard(scales.model("2").parent)
    assert Inspector.load(f"{NAME}@{CHALLENGER}", project=scales.folder).inspect(part)["score"].tolist() == before
    _, version = shelf.registry.find(Registered(NAME, 1))
    discard(shelf.registry.files(version) / "artifacts/model")
    with pytest.raises(EndlineError, match=rf"^The files of {NAME}/1 are gone, .* has no model.json: restore it, or "):
        Inspector.load(f"{NAME}@{CHALLENGER}", project=scales.folder)


@pytest.mark.parametrize("lacking", [ADDED, ADDED[2:]])
def test_a_table_of_before_there_were_all_columns_is_read(shelf, padim, scales, tmp_path, lacking):
    output = tmp_path / "verdicts.csv"
    assert scales.command("inspect", scales.part("a.json"), "--run=2", "--output", output).exit_code == 0
    table = pd.read_csv(output, dtype=str, keep_default_na=False)
    table.drop(columns=list(lacking)).to_csv(output, index=False)
    (row,) = read_verdicts(output)
    assert (row.run, row.model, row.alias, row.remark) == ("2", "", "", "")
    assert scales.command("inspect", scales.parts, "--run=2", "--output", output).exit_code == 0
    assert pd.read_csv(output).columns[-len(ADDED) :].tolist() == list(ADDED)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (f"{NAME}@champion", f"{NAME} has no champion yet: run `endline promote`, or give {NAME}@challenger."),
        (f"{NAME}@challenge", f"{NAME} has no alias 'challenge': did you mean 'challenger'? Known are challenger."),
        (f"{NAME}/7", f"{NAME} has no version 7: the newest is 1."),
        ("scale.all@champion", f"There is no registered model 'endline.scale.all': did you mean '{NAME}'? Known are "),
        (
            "scales all",
            "'scales all' names no registered model: write NAME@champion, another alias, or NAME/3 for its ",
        ),
    ],
)
def test_a_model_that_is_not_registered_is_a_sentence(shelf, padim, scales, sentence, wanted, said):
    shelf.add(padim)
    told = sentence(scales.command("inspect", scales.part("a.json"), f"--model={wanted}"))
    assert told.startswith(said)


def test_run_and_model_together_are_refused(shelf, scales, sentence):
    told = sentence(scales.command("inspect", scales.part("a.json"), f"--model={NAME}@champion", "--run=2"))
    assert told == "--run and --model both name the model that judges: give one of them."


def test_a_registry_that_is_not_there_is_a_sentence(scales, sentence):
    told = sentence(scales.command("inspect", scales.part("a.json"), f"--model={NAME}@champion"))
    assert told.startswith("There is no registry yet, sqlite:///")
    assert told.endswith("is not there: run `kedro run` first.")


def test_a_server_that_is_away_is_a_sentence_in_seconds(scales, sentence, monkeypatch):
    monkeypatch.setattr("endline.operations.registry.PATIENCE", {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"})
    (scales.folder / "conf/base/mlflow.yml").write_text("server: {mlflow_tracking_uri: 'http://127.0.0.1:9'}")
    told = sentence(scales.command("inspect", scales.part("a.json"), f"--model={NAME}@champion"))
    assert told.startswith("The registry of MLflow at http://127.0.0.1:9 gives no answer (")
    assert told.endswith("or correct conf/base/mlflow.yml; --run=<id> judges without it.")
    assert scales.command("inspect", scales.part("a.json"), "--run=2").exit_code == 0


def test_a_damaged_database_is_a_sentence(shelf, padim):
    shelf.add(padim)
    with sqlite3.connect(shelf.registry.uri.removeprefix("sqlite:///")) as database:
        database.execute("DROP TABLE registered_model_aliases")
    with pytest.raises(EndlineError, match=r"gives no answer \(.*\): start it, unlock its database, or correct"):
        shelf.registry.aliases(NAME)


def test_versions_are_ordered_by_number_whatever_the_clock_says(shelf, padim, models, monkeypatch):
    monkeypatch.setattr("endline.operations.registration.registered_as", lambda folder: None)
    hours = iter(range(100, 0, -1))
    monkeypatch.setattr(
        "mlflow.store.model_registry.sqlalchemy_store.get_current_time_millis", lambda: next(hours) * 3_600_000
    )
    for run in range(12):
        shelf.add(padim, tags={"endline.version": str(run)})
    versions = shelf.registry.versions(NAME)
    assert [int(version.version) for version in versions] == list(range(1, 13))
    assert versions[0].creation_timestamp > versions[-1].creation_timestamp
    assert shelf.registry.aliases(NAME) == {CHALLENGER: 12}


def test_a_station_with_several_groups_asks_for_one(shelf, models):
    with pytest.raises(EndlineError, match=r"^No model of scales is registered yet: run `kedro run --pipeline=scales`"):
        shelf.registry.name_of("scales", None)
    gauss, padim = models
    shelf.add(gauss, group="fan")
    assert shelf.registry.name_of("scales", None) == "endline.scales.fan"
    shelf.add(padim, group="a/b")
    with pytest.raises(EndlineError, match=r"^scales has registered models of the groups a_b-\w+, fan: give --group"):
        shelf.registry.name_of("scales", None)
    assert shelf.registry.name_of("scales", "a/b") == model_name("scales", "a/b")
    with pytest.raises(EndlineError, match=r"^No model of the group 'fam' of scales is registered: did you mean 'fan'"):
        shelf.registry.name_of("scales", "fam")


def test_the_address_is_that_of_the_configuration(tmp_path: Path):
    assert registry_uri(tmp_path) == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    for overlay, uri in {"base": "sqlite:///${in_project:other/mlflow.db}", "plant": "http://server:5000"}.items():
        (tmp_path / "conf" / overlay).mkdir(parents=True)
        (tmp_path / f"conf/{overlay}/mlflow.yml").write_text(f"server:\n  mlflow_tracking_uri: {uri}\n")
    assert registry_uri(tmp_path) == f"sqlite:///{tmp_path}/other/mlflow.db"
    assert registry_uri(tmp_path, "plant") == "http://server:5000"
    assert Registry.of(tmp_path, "plant").uri == "http://server:5000"


@pytest.mark.parametrize("text", ["", "a b@champion", "models:/", "x@", "x@a/b", "../x/3", "x/v3"])
def test_what_names_nothing_is_refused(text):
    with pytest.raises(EndlineError, match=r"names no registered model: write NAME@champion"):
        read_reference(text)


def test_a_recalibrated_champion_is_the_next_challenger(shelf, padim, scales):
    shelf.add(padim, tags={"station": "scales", "group": ""}, training={"a.json": "e3"})
    shelf.registry.set_alias(NAME, CHAMPION, 1)
    told = scales.command("recalibrate", f"--model={NAME}@champion", "--false-alarm-rate=0.2")
    assert told.exit_code == 0, told.output
    assert told.output.endswith(f"Registered as {NAME}/2, the challenger.\n")
    assert shelf.registry.aliases(NAME) == {CHALLENGER: 2, CHAMPION: 1}
    _, version = shelf.registry.find(Registered(NAME, 2))
    assert version.tags["endline.recalibrated"] == f"{NAME}/1"
    assert training_of(shelf.registry.files(version)) == {"a.json": "e3"}
    assert Inspector.load(f"{NAME}@challenger", project=scales.folder).model.calibration.stated_rate == 0.2


def test_a_locked_database_is_a_sentence_and_verdicts_go_on(shelf, padim, scales, sentence, monkeypatch):
    shelf.add(padim)
    part = scales.part("a.json")
    inspector = Inspector.load(f"{NAME}@challenger", project=scales.folder)
    monkeypatch.setattr("endline.operations.registry.Registry.aliases", lambda registry, name: _locked(registry))
    told = sentence(scales.command("inspect", part, f"--model={NAME}@champion"))
    assert "gives no answer (OperationalError: database is locked): start it, unlock its database" in told
    assert inspector.inspect(part)["alias"].tolist() == ["challenger"]
    assert scales.command("inspect", part, "--run=2").exit_code == 0


def _locked(registry):
    path = registry.uri.removeprefix("sqlite:///")
    with sqlite3.connect(path) as holder, registry.reached():
        holder.execute("BEGIN EXCLUSIVE")
        sqlite3.connect(path, timeout=0).execute("SELECT * FROM registered_models")


def test_a_registry_whose_files_lie_on_a_server_gives_them_once(shelf, padim, scales, monkeypatch):
    for module in ("registry", "registration"):
        monkeypatch.setattr(f"endline.operations.{module}.local_folder", lambda uri: None)
    shelf.add(padim, training={"a.json": "e3"})
    part = scales.part("a.json")
    (version,) = shelf.registry.versions(NAME)
    files = shelf.registry.files(version)
    assert files.is_relative_to(scales.folder / "data/06_models/registered")
    assert training_of(files) == {"a.json": "e3"}
    made = (files / "artifacts/model/model.json").stat().st_mtime_ns
    verdict = Inspector.load(f"{NAME}@challenger", project=scales.folder).inspect(part).iloc[0]
    assert verdict["score"] == Inspector.load(scales.model("2")).inspect(part).iloc[0]["score"]
    assert (files / "artifacts/model/model.json").stat().st_mtime_ns == made
