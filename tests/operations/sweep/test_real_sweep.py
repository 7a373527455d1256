"""One real sweep, end to end: two runs at once, in processes of their own, recorded below one parent."""

import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from endline.operations.sweep.command import run_sweep
from endline.operations.sweep.parent import ParentRun
from endline.operations.sweep.results import NESTED, read_table

FIXED = {"detector": "gaussian", "normals": 10, "faulty": 3, "exhibits": 0}


def test_a_real_sweep_of_two_workers(
    project: Path, capsys: pytest.CaptureFixture[str], describe: Callable[..., None]
) -> None:
    describe(data=None, fixed=FIXED, grid={"noise_floor": ["level", "raw"]})
    run_sweep("tiny", project, env="smoke", workers=2)
    assert mlflow.active_run() is None
    table = read_table(project / "benchmarks/results/tiny.csv", ["noise_floor"])
    level, raw = table.to_dict("records")
    assert level["version"] < raw["version"]
    for row in (level, raw):
        file = project / "data/08_reporting/mirror_audio/metrics.json" / row["version"] / "metrics.json"
        metrics = json.loads(file.read_text())
        assert row["auroc"] == metrics["auroc"]
        assert {
            f"auroc_{kind}": area["auroc"] for kind, area in metrics["auroc_by_kind"].items()
        }.items() <= row.items()
        assert row["simulated"]
        nested = set(NESTED)
        assert {key for key in metrics if not key.endswith("_reason")} - nested <= set(row)
    page = (project / "benchmarks/results/tiny.md").read_text()
    assert "- Data: **SIMULATED**; the station's own" in page
    assert f"| level | {level['auroc']:.3f} (1) | {level['control_auroc']:.3f} (1) |" in page
    assert "| level |" in capsys.readouterr().out
    assert not list((project / "data/06_models/mirror_audio").glob("checkpoints*/*"))
    reports = (project / "data/08_reporting/mirror_audio/report.html").iterdir()
    assert {folder.name for folder in reports} == {level["version"], raw["version"]}

    client = mlflow.MlflowClient()
    recorded = client.search_runs([client.get_experiment_by_name("endline").experiment_id])
    parent = next(run for run in recorded if run.data.tags.get("sweep_role") == "parent")
    assert parent.data.tags["runs_done"] == "2"
    children = {
        run.info.run_id: run for run in recorded if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    }
    assert {level["mlflow_run_id"], raw["mlflow_run_id"]} == set(children)
    assert {run.info.status for run in recorded} == {"FINISHED"}
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["tiny.csv", "tiny.md"]
    for row in (level, raw):  # each recorded into its own
        child = children[row["mlflow_run_id"]].data
        assert child.params["mirror_audio.preparation.noise_floor"] == row["noise_floor"]
        assert child.tags["version.mirror_audio.metrics"] == row["version"]
    _take_up(project, client, parent.info)


def _take_up(project: Path, client: mlflow.MlflowClient, finished: mlflow.entities.RunInfo) -> None:
    """Parents of later sweeps: a finished one is left alone, one that was stopped is taken up."""

    def taken(fresh: bool = False) -> ParentRun:
        return ParentRun(project, "smoke", FIXED, "tiny", fresh=fresh)

    second = taken()
    assert second.id != finished.run_id
    tags = {"mlflow.parentRunId": second.id}
    left = client.create_run(finished.experiment_id, tags=tags).info.run_id
    assert taken().id == second.id
    assert client.get_run(left).info.status == "KILLED"  # what its killed process left running is closed
    killed = client.create_run(finished.experiment_id, tags=tags).info.run_id
    second.end("KILLED", {"done": 1}, [])
    assert client.get_run(killed).info.status == "KILLED"
    assert taken(fresh=True).id != second.id
    assert client.get_run(second.id).info.status == "KILLED"
