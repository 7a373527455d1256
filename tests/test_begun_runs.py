"""A run that several processes make: one version, one MLflow run, and nothing of a killed part stays or is lost."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from kedro.framework.project import pipelines

from endline.cli import cli
from endline.operations.scheduling.schedule import read_schedules
from endline.operations.scheduling.tasks import group_nodes, layers_of
from endline.operations.sweep.resolved import configuration

ROOT = Path(__file__).parents[1]
FAST = "detector=gaussian,exhibits=1"


@dataclass
class Night:
    """One scheduled run in a project."""

    folder: Path
    begun: dict[str, str]

    def part(self, nodes: list[str], **more: str) -> Result:
        """Run some nodes, as a task does."""
        joined = {"run_version": self.begun["version"], "mlflow_run_id": self.begun["mlflow_run_id"], **more}
        options = ",".join([FAST, *(f"{name}={value}" for name, value in joined.items())])
        command = ["run", "--env=smoke", "--pipelines=mirror_audio", "--only-missing-outputs"]
        return call(self.folder, *command, f"--nodes={','.join(nodes)}", f"--params={options}")

    def file(self, path: str) -> Path:
        return self.folder / "data" / path / self.begun["version"] / Path(path).name


def call(folder: Path, *arguments: str) -> Result:
    with contextlib.chdir(folder):
        return CliRunner().invoke(cli, list(arguments))


def begin(folder: Path, *options: str) -> Result:
    return call(folder, "begin", "mirror_audio", "--env=smoke", f"--params={FAST}", *options)


def conclusion(folder: Path, begun: dict[str, str]) -> str:
    result = call(folder, "conclude", "mirror_audio", "--env=smoke", f"--run={begun['version']}")
    assert result.exit_code == 0, result.output
    return Path(result.output.splitlines()[-1]).read_text()


@pytest.fixture(scope="module")
def groups() -> dict[str, list[str]]:
    _, tasks = read_schedules(ROOT)
    catalog = configuration(ROOT, None, {})["catalog"]
    return group_nodes(pipelines["mirror_audio"], layers_of(catalog, "mirror_audio"), tasks)


def run_of(project: Any, begun: dict[str, str]) -> mlflow.entities.Run:
    return project.client().get_run(begun["mlflow_run_id"])


def test_parts_make_one_run_and_a_killed_one_goes_on(project: Any, groups: dict[str, list[str]], sentence: Any) -> None:
    first = begin(project.folder, "--key=night 1")
    assert first.exit_code == 0, first.output
    begun = json.loads(first.output.splitlines()[-1])
    night = Night(project.folder, begun)
    assert json.loads(begin(project.folder, "--key=night 1").output.splitlines()[-1]) == begun
    other = begin(project.folder, "--key=night 2")  # of a second scheduler
    assert other.exit_code == 3
    assert "learns from these data already" in other.output

    early = sentence(night.part(groups["train"]))
    assert early.startswith(f"The run {begun['version']} has not made mirror_audio.")
    for task, nodes in groups.items():
        result = night.part(nodes)
        assert result.exit_code == 0, result.output
        assert run_of(project, begun).info.status == ("FINISHED" if task == "evaluate" else "SCHEDULED")
        if task != "judge":
            continue
        # Killed between two saves of a node, and between a save and its record in MLflow.
        scores = night.file("07_model_output/mirror_audio/scores.parquet")
        calibration = night.file("07_model_output/mirror_audio/calibration.json")
        fitted = night.file("06_models/mirror_audio/fitting.json").stat()
        before = pd.read_parquet(scores)
        scores.unlink()
        project.client().delete_tag(begun["mlflow_run_id"], "version.mirror_audio.shortlist")
        old = calibration.stat().st_ino
        result = night.part(nodes)
        assert result.exit_code == 0, result.output
        pd.testing.assert_frame_equal(pd.read_parquet(scores), before)
        assert calibration.stat().st_ino != old
        assert night.file("06_models/mirror_audio/fitting.json").stat() == fitted
    run = run_of(project, begun)
    assert {value for name, value in run.data.tags.items() if name.startswith("version.")} == {begun["version"]}
    assert "version.mirror_audio.shortlist" in run.data.tags
    assert "auroc" in run.data.metrics
    assert "endline.reads" not in run.data.tags
    assert "Nothing was decided on the model of this run" in conclusion(project.folder, begun)
    client, decision = (
        project.client(),
        {"what": "kept", "criteria": [{"name": "AUROC", "holds": False, "said": "<0.5"}]},
    )
    for when, more in (("1", {"version": "m/1"}), ("2", {"what": "promoted", "version": "m/2"})):
        client.log_text(
            begun["mlflow_run_id"], json.dumps({**decision, "when": when, **more}), f"decisions/{when}.json"
        )
    page = conclusion(project.folder, begun)
    assert "The champion stays: the model of this run was not promoted. Recalibrated to the rate" in page
    assert "✗ AUROC</td><td>&lt;0.5</td>" in page
    again = begin(project.folder, "--key=night 3")
    assert again.exit_code == 3
    assert "Nothing is new in" in again.output
    forced = begin(project.folder, "--key=night 4", "--force")
    assert json.loads(forced.output.splitlines()[-1])["version"] > begun["version"]
    given_up = begin(project.folder, "--key=night 5", "--force", "--hours=0")
    assert given_up.exit_code == 0
    assert run_of(project, json.loads(forced.output.splitlines()[-1])).info.status == "KILLED"


def test_a_version_that_nobody_began_is_refused(project: Any, sentence: Any) -> None:
    result = Night(project.folder, {"version": "2999-01-01T00.00.00.000Z", "mlflow_run_id": "0"}).part(
        ["mirror_audio.locate"]
    )
    assert "No run was begun as '2999-01-01T00.00.00.000Z'" in sentence(result)


def test_a_begun_run_is_never_made_again(project: Any, sentence: Any) -> None:
    begun = json.loads(begin(project.folder, "--force", "--hours=0").output.splitlines()[-1])
    options = ",".join(f"{name}={begun[key]}" for name, key in (("run_version", "version"), ("mlflow_run_id",) * 2))
    said = sentence(call(project.folder, "run", "--env=smoke", "--pipelines=mirror_audio", f"--params={options}"))
    assert said.endswith("whose outputs are made once: give --only-missing-outputs too.")


@pytest.mark.parametrize(
    ("files", "said"), [((), "There is no file in"), (("notes.gif",), "")], ids=["empty", "nothing readable"]
)
def test_a_raw_folder_without_data(project: Any, tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    for name in files:
        (tmp_path / name).write_text("x")
    result = call(project.folder, "begin", "mirror_audio", "--env=smoke", f"--params={FAST},raw={tmp_path}")
    if said:
        assert result.exit_code == 1
        assert said in result.output
        return
    begun = json.loads(result.output.splitlines()[-1])
    part = Night(project.folder, begun).part(["mirror_audio.locate", "mirror_audio.index"], raw=str(tmp_path))
    assert part.exit_code == 1
    assert run_of(project, begun).info.status == "FAILED"
