"""The main job, end to end: wav files to report, every output versioned, everything recorded in MLflow."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from endline.backbones.networks import Backbone
from endline.cli import cli
from endline.detectors.progress import Progress
from endline.evaluation.summary import METRICS
from endline.evidence.sound import recordings
from endline.operations.inspection import Inspector
from endline.operations.registration import training_of
from endline.operations.registry import Registry, read_reference, registered_as
from endline.samples import check_samples
from endline.tracking import data_digest

OUTPUTS = {
    "source", "inputs", "rejected", "near_duplicates", "choice", "untrained",
    "samples", "preparation", "features", "detectors", "history", "fitting",
    "calibration", "held_out", "part_scores", "scores", "scoring", "maps", "shortlist", "curves", "metrics", "report",
    "figures", "intervals", "score_groups", "attribution", "nearest", "embedding", "importances", "model",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(project):
    """The first run, on simulated recordings; returns its version."""
    return project.run(exhibits=1)


@pytest.fixture
def extractions(monkeypatch):
    """Sizes of the images that the backbone was shown."""
    calls: list[tuple[int, ...]] = []
    call = Backbone.__call__

    def watched(self, images):
        calls.append(tuple(images.shape))
        return call(self, images)

    monkeypatch.setattr(Backbone, "__call__", watched)
    return calls


def test_every_output_is_written_under_the_version_of_the_run(project, run):
    written = {path.name for path in (project.folder / "data").glob(f"0*/**/{run}/*")}
    entries = yaml.safe_load((project.folder / "conf/base/catalog.yml").read_text())
    expected = {
        Path(entry["filepath"].format(station="mirror_audio")).name
        for name, entry in entries.items()
        if name.removeprefix("{station}.") in OUTPUTS  # other stations have outputs of their own
    }
    assert len(expected) == len(OUTPUTS)
    assert written == expected | {"registered.json"}  # which version of the registry the model is
    left = [path.name for path in (project.folder / "data").rglob("*") if "partial" in path.name]
    assert left == []


def test_metrics_have_the_keys_of_the_contract(project, run):
    metrics = project.load("metrics")
    assert tuple(metrics) == METRICS
    expected = {
        "station": "mirror_audio", "group": "mirror", "detector": "hybrid_flow", "seed": 0, "n_train": 7,
        "n_test_normal": 3, "n_test_anomalous": 4, "simulated": True, "auroc_by_domain": None, "pixel_auroc": None,
    }  # fmt: skip
    assert {key: metrics[key] for key in expected} == expected
    assert set(metrics["auroc_by_kind"]) == {"1", "2", "7"}
    for key in ("auroc", "auroc_low", "auroc_high", "pauc", "control_auroc", "false_alarm_rate", "recall"):
        assert 0 <= metrics[key] <= 1, key
    for key in ("feature_seconds", "fit_seconds", "score_ms_per_sample", "peak_memory_mb", "parameter_count"):
        assert metrics[key] > 0, key
    assert metrics["peak_memory_mb"] < 4096


def test_tables_keep_their_contracts(project, run):
    samples, scores, held_out = (project.load(name) for name in ("samples", "scores", "held_out"))
    check_samples(samples)
    assert len(samples) == 2 * 14
    assert samples["simulated"].all()
    assert samples.groupby("path")["part"].agg(list).map(tuple).unique().tolist() == [("fold", "unfold")]
    assert (samples["stop"] > samples["start"]).all()
    assert (samples["rest_stop"] > samples["rest_start"]).all()
    tested = samples.loc[samples["split"] == "test", "path"].unique()
    assert sorted(scores["sample_id"]) == sorted(tested)
    assert set(scores) >= {"score", "p_value", "flagged", "path", "group", "split", "label", "kind", "simulated"}
    assert scores["score"].notna().all()
    assert scores["p_value"].between(0, 1).all()
    assert set(held_out["split"]) == {"train"}
    assert held_out["sample_id"].str.split("#").str[0].isin(samples.loc[samples["split"] == "train", "path"]).all()
    assert project.load("rejected").columns.tolist() == ["path", "reason", "remedy"]
    assert project.load("features").shapes["scale_1"] == (432, 2, 4)


def test_report_is_one_page_that_says_simulated(project, run):
    page = project.load("report")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "SIMULATED" in page.upper()
    assert 'src="http' not in page
    for shown in project.load("shortlist")["sample_id"]:
        assert shown in page


def test_mlflow_run_is_finished_with_parameters_metrics_curves_and_tags(project, run):
    tracked = project.tracked()
    assert tracked.info.status == "FINISHED"
    assert mlflow.active_run() is None  # it would swallow the next run of this process
    tags, parameters, metrics = tracked.data.tags, tracked.data.params, tracked.data.metrics
    expected = {
        "station": "mirror_audio",
        "group": "mirror",
        "detector": "hybrid_flow",
        "seed": "0",
        "simulated": "True",
    }
    assert {key: tags[key] for key in expected} == expected
    assert tags["git_commit"]
    assert "cores" in tags["machine"]
    assert {key: tags[f"version.mirror_audio.{key}"] for key in OUTPUTS} == dict.fromkeys(OUTPUTS, run)
    assert parameters["mirror_audio.preparation.mel.height"] == "64"
    assert parameters["mirror_audio.verdict.false_alarm_rate"] == "0.5"
    found = project.load("metrics")
    assert metrics["auroc"] == pytest.approx(found["auroc"])
    assert metrics["auroc_by_kind.7.low"] == pytest.approx(found["auroc_by_kind"]["7"]["low"])


def test_mlflow_run_has_a_name_its_data_set_and_the_settings_of_its_detector_alone(project, run):
    tracked = project.tracked()
    metrics = project.load("metrics")
    assert tracked.info.run_name == f"mirror_audio mirror hybrid_flow {metrics['auroc']:.3f}"
    detectors = {name.split(".")[1] for name in tracked.data.params if name.startswith("detectors.")}
    assert detectors == {"hybrid_flow"}
    (used,) = tracked.inputs.dataset_inputs
    assert used.dataset.name == "mirror_audio (simulated)"
    assert used.dataset.digest == data_digest(project.load("inputs")["digests"])


def test_the_model_is_registered_as_challenger_with_what_it_has_learned_from(project, run):
    registry = Registry.of(project.folder)
    known, version = registry.find(read_reference("mirror_audio.mirror@challenger"))
    assert version.tags["endline.version"] == run
    assert version.tags["endline.data"] == data_digest(project.load("inputs")["digests"])
    files = registry.files(version)
    samples = project.load("samples")
    learned = samples[samples["split"] == "train"]
    assert training_of(files) == dict(zip(learned["path"], learned["digest"], strict=True))
    model = project.folder / f"data/06_models/mirror_audio/model/{run}/model"
    assert (files / "artifacts/model/model.json").samefile(model / "model.json")
    assert registered_as(model) == replace(known, alias="")
    logged = registry.client.get_logged_model(version.source.rpartition("/")[2])
    assert {metric.key: metric.value for metric in logged.metrics}["auroc"] == project.load("metrics")["auroc"]


def test_loss_curves_are_in_mlflow(project, run):
    history = project.load("history")
    assert set(history["part"]) == {"fold+unfold"}
    curve = project.client().get_metric_history(project.tracked().info.run_id, "loss.fold_unfold.0")
    points = sorted((point.step, point.value) for point in curve)
    assert [step for step, _ in points] == history["epoch"].tolist()
    assert [value for _, value in points] == pytest.approx(history["loss"].tolist())


def test_artifacts_are_in_mlflow(project, run):
    folder = Path(project.tracked().info.artifact_uri.removeprefix("file://"))
    assert (folder / "report.html").read_text() == project.load("report")
    assert (folder / "detectors/fold+unfold/0/weights.safetensors").exists()
    versions = json.loads((folder / "package_versions.json").read_text())
    assert {"torch", "kedro", "mlflow", "numpy"} <= set(versions)
    inputs = json.loads((folder / "inputs.json").read_text())
    assert len(inputs["digests"]) == 14
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in inputs["digests"].values())


def test_checkpoints_are_cleared_after_a_good_run(project, run):
    assert not (project.folder / "data/06_models/mirror_audio/checkpoints").exists()


def test_second_run_extracts_nothing_and_gives_the_same_scores(project, run, extractions):
    first, before = project.load("scores"), project.load("metrics")
    written = {path: path.stat().st_mtime_ns for path in project.folder.glob("data/04_feature/*/store/*/*")}
    version = project.run()
    assert version != run
    assert [size for size in extractions if size[0] > 1] == []  # one image tries the input type
    assert {path: path.stat().st_mtime_ns for path in project.folder.glob("data/04_feature/*/store/*/*")} == written
    pd.testing.assert_frame_equal(project.load("scores"), first)
    after = project.load("metrics")
    measured = {"fit_seconds", "score_ms_per_sample", "map_ms_per_sample", "peak_memory_mb"}
    assert {key: after[key] for key in METRICS if key not in measured} == {
        key: before[key] for key in METRICS if key not in measured
    }
    assert len(list(project.folder.glob("data/08_reporting/mirror_audio/report.html/*/report.html"))) >= 2


def test_another_seed_gives_other_scores(project, run):
    first = project.load("scores")
    project.run(seed=1)
    second = project.load("scores")
    shared = set(first["sample_id"]) & set(second["sample_id"])
    assert shared
    scores = [table.set_index("sample_id").loc[sorted(shared), "score"].to_numpy() for table in (first, second)]
    assert not np.allclose(*scores)


def test_folders_by_fault_are_levelled_and_give_all_figures(project, run):
    faults = project.faults()
    folder = project.raw("by fault", {f"{'normal' if f == '0' else f}/{name}": f for name, f in faults.items()})
    project.run(raw=str(folder), detector="gaussian")
    metrics, samples = project.load("metrics"), project.load("samples")
    assert metrics["simulated"] is False
    assert "SIMULATED" not in project.load("report")
    assert metrics["detector"] == "gaussian"
    assert (metrics["n_test_normal"], metrics["n_test_anomalous"]) == (3, 4)
    assert project.load("preparation").levelled
    kinds = samples.drop_duplicates("path").set_index("path")["kind"].to_dict()
    assert kinds == {f"{'normal' if f == '0' else f}/{name}": "normal" if f == "0" else f for name, f in faults.items()}
    assert project.load("history").empty
    assert project.load("maps").read()["map"].shape[1:] == (0, 0)  # the Gaussian has no map


def test_label_table_unlabelled_and_bad_files(project, run):
    faults = project.faults()
    names = sorted(faults)
    folder = project.raw("labelled", faults)
    unknown = next(name for name in names if faults[name] != "0")
    rows = [f"{name},{'' if name == unknown else faults[name]}" for name in names]
    (folder / "labels.csv").write_text("\n".join(["recording,fault", *rows, "lost.wav,0"]) + "\n")
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("this is no sound " * 100)
    project.run(raw=str(folder), detector="gaussian", noise_floor="raw", folds=5, fold=1)
    metrics, scores, rejected = (project.load(name) for name in ("metrics", "scores", "rejected"))
    assert (metrics["n_train"], metrics["n_test_normal"], metrics["n_test_anomalous"]) == (8, 2, 3)
    row = scores.set_index("sample_id").loc[unknown]
    assert pd.isna(row["label"])
    assert np.isfinite(row["score"])
    assert sorted(rejected["path"]) == ["empty.wav", "lost.wav", "text.wav"]
    page = project.load("report")
    assert all(name in page for name in ("empty.wav", "lost.wav", "text.wav"))
    assert not project.load("preparation").levelled


def test_good_parts_alone_give_verdicts_without_figures(project, run):
    """How a plant starts: no fault was ever recorded."""
    folder = project.raw("good", {f"normal/{name}": "0" for name, fault in project.faults().items() if fault == "0"})
    project.run(raw=str(folder), detector="gaussian")
    metrics = project.load("metrics")
    assert (metrics["auroc"], metrics["recall"], metrics["control_auroc"]) == (None, None, None)
    assert metrics["false_alarm_rate"] is not None
    assert len(project.load("scores")) == 3
    assert project.load("curves").empty


DEADLY = """
import os, signal
from endline.cli import cli
from endline.detectors.progress import Progress
from endline.cli import cli
from kedro.framework.project import configure_project
kept, keep = [], Progress.keep
def deadly(self, *what):
    keep(self, *what)
    kept.append(1)
    if len(kept) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Progress.keep = deadly
Progress.due = lambda self, last: self.checkpoint is not None
configure_project("endline")
cli(["run", "--env=smoke", "--pipelines=mirror_audio"])
"""


def test_a_run_killed_during_training_goes_on_where_it_was(project, run, monkeypatch, extractions):
    expected = pd.read_parquet(
        project.folder / f"data/07_model_output/mirror_audio/scores.parquet/{run}/scores.parquet"
    )
    latest = sorted(path.name for path in project.folder.glob("data/08_reporting/mirror_audio/metrics.json/*"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", DEADLY], cwd=project.folder, env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert sorted(path.name for path in project.folder.glob("data/08_reporting/mirror_audio/metrics.json/*")) == latest
    told: list[int] = []
    monkeypatch.setattr(Progress, "epoch", lambda self, epoch, epochs, loss: told.append(epoch))
    project.run()
    assert told == [3]  # of one fit of three epochs two had been kept
    assert [size for size in extractions if size[0] > 1] == []
    pd.testing.assert_frame_equal(project.load("scores"), expected)


def test_inspect_gives_a_recording_the_verdict_that_the_run_gave_it(project, run):
    table = project.load("scores").set_index("sample_id")
    item = table.index[0]
    recording = project.recordings / item
    with contextlib.chdir(project.folder):
        result = CliRunner().invoke(cli, ["inspect", str(recording), "--env=smoke"])
    assert result.exit_code == 0, result.output
    told = re.search(r"(ANOMALOUS|normal) +score +(\S+) +p (\S+)", result.output)
    assert (told[1] == "ANOMALOUS") == bool(table.loc[item, "flagged"])
    assert float(told[2]) == pytest.approx(table.loc[item, "score"], abs=2e-2)  # features are stored as float16
    assert float(told[3]) == pytest.approx(table.loc[item, "p_value"], abs=1e-3)
    assert project.shown(recording).figures


def test_inspect_tells_what_is_wrong_with_a_recording(project, run, tmp_path):
    (tmp_path / "text.wav").write_text("not a sound")
    with contextlib.chdir(project.folder):
        result = CliRunner().invoke(cli, ["inspect", str(tmp_path / "text.wav"), "--env=smoke"])
    assert result.exit_code == 1
    assert "text.wav" in result.output
    assert "Traceback" not in result.output


def test_a_bad_file_keeps_no_other_from_its_verdict(project, run, tmp_path):
    (tmp_path / "text.wav").write_text("not a sound")
    good = [str(project.recordings / item) for item in project.load("scores")["sample_id"][:2]]
    with contextlib.chdir(project.folder):
        result = CliRunner().invoke(cli, ["inspect", good[0], str(tmp_path / "text.wav"), good[1], "--env=smoke"])
    assert result.exit_code == 1
    assert re.findall(r"^(ANOMALOUS|normal|NONE)", result.output, re.MULTILINE)[1] == "NONE"
    assert all(re.search(rf"score .* p .*{re.escape(file)}", result.output) for file in good)
    assert "Error: 1 of 3 files have no verdict" in result.output


def test_a_recording_is_decoded_once_in_a_run(project, run, monkeypatch):
    """Index, noise floor and extraction share what was read."""
    opened: list[bytes] = []
    stream = recordings.SoundStream
    monkeypatch.setattr(recordings, "SoundStream", lambda file: opened.append(file.getvalue()) or stream(file))
    folder = project.raw("decoded once", project.faults())
    rows = [f"{name},{fault}" for name, fault in project.faults().items()]
    (folder / "labels.csv").write_text("\n".join(["recording,fault", *rows]) + "\n")
    project.run(raw=str(folder), detector="gaussian", noise_floor="level", exhibits=0)
    assert len(opened) == len(set(opened)) == len(project.faults())


def test_a_run_that_ended_early_changes_no_verdict(project, run, monkeypatch, tmp_path):
    """Its new detector is saved, and must not meet the calibration of the run before."""
    project.run(detector="gaussian", exhibits=0)
    recording = next((project.recordings / "recordings").glob("*.wav"))
    before = Inspector.load("mirror_audio", project=project.folder).inspect(recording)

    def broken(*args, **options):
        raise RuntimeError("the printer is out of paper")

    with monkeypatch.context() as patch:
        patch.setattr("endline.pipelines.detection.report_nodes.render_report", broken)
        with pytest.raises(RuntimeError, match="out of paper"):
            project.run(detector="nearest_neighbour", exhibits=0)
    assert "NearestNeighbour" in {type(each).__name__ for each in project.load("detectors").values()}
    pd.testing.assert_frame_equal(Inspector.load("mirror_audio", project=project.folder).inspect(recording), before)
