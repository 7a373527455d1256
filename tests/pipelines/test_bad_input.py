"""Input that ends a run: one sentence that names the file and the remedy, no traceback, and a failed MLflow run."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import soundfile
import torch

from endline.detectors.cross_fitting import fit_detectors
from endline.pipelines.detection import nodes


@pytest.fixture
def raw(project, tmp_path):
    """Makes a raw folder of links to simulated recordings, `labels` = {file: fault}, faults as sub-folders."""

    def make(normals: int, faulty: int = 1) -> Path:
        faults = project.faults()
        names = [name for name, fault in faults.items() if fault == "0"][:normals]
        names += [name for name, fault in faults.items() if fault != "0"][:faulty]
        for name in names:
            folder = tmp_path / "raw" / ("normal" if faults[name] == "0" else faults[name])
            folder.mkdir(parents=True, exist_ok=True)
            os.link(project.recordings / "recordings" / name, folder / name)
        return tmp_path / "raw"

    return make


def check_failed(project) -> None:
    assert project.tracked().info.status == "FAILED"
    assert mlflow.active_run() is None


def test_missing_folder(project, tmp_path, sentence):
    said = sentence(project.command(raw=tmp_path / "absent"))
    assert said == f"There is no folder {tmp_path}/absent (from --params=raw=...): correct it, or leave it out."
    check_failed(project)


def test_missing_folder_of_endline_data(project, tmp_path, sentence, monkeypatch):
    monkeypatch.setenv("ENDLINE_DATA", str(tmp_path))
    said = sentence(project.command())
    assert said == f"There is no folder {tmp_path}/mirror_motor (from ENDLINE_DATA): correct it, or leave it out."


def test_empty_folder(project, tmp_path, sentence):
    said = sentence(project.command(raw=tmp_path))
    assert said == f"{tmp_path} holds no recording: put sound files there (wav, flac, ...), with a labels.csv."
    check_failed(project)


def test_a_file_instead_of_a_folder(project, tmp_path, sentence):
    (tmp_path / "a.wav").touch()
    assert "There is no folder" in sentence(project.command(raw=tmp_path / "a.wav"))


def test_no_usable_recording(project, tmp_path, sentence):
    (tmp_path / "a.wav").write_text("text")
    soundfile.write(tmp_path / "b.wav", np.zeros(44100), 44100)
    said = sentence(project.command(raw=tmp_path))
    assert said.startswith(f"None of the 2 recordings in {tmp_path} can be used; a.wav: no sound file that libsndfile")


def test_no_normal(project, raw, sentence):
    said = sentence(project.command(raw=raw(normals=0, faulty=2)))
    assert said.startswith(
        "Group 'mirror' has no normal item, and endline learns from good parts only: label good ones"
    )
    check_failed(project)


def test_odd_names_and_own_words_go_through_a_whole_run(project, tmp_path):
    """A word of the user, a kind with slashes and signs, a file name with `#` and one that is no UTF-8."""
    faults = project.faults()
    normals = [name for name, fault in faults.items() if fault == "0"][:8]
    faulty = next(name for name, fault in faults.items() if fault != "0")
    raw = tmp_path / "raw"
    raw.mkdir()
    for number, name in enumerate(normals):
        os.link(project.recordings / "recordings" / name, raw / f"part#{number}.wav")
    os.link(project.recordings / "recordings" / faulty, raw / "bad.wav")
    (raw / os.fsdecode(b"M\xfcll.wav")).write_bytes(b"x")
    rows = [f"part#{number}.wav;Serie" for number in range(8)]
    (raw / "labels.csv").write_text("\n".join(["recording;fault", *rows, 'bad.wav;"a//b\n..?"']) + "\n")
    result = project.command(raw=raw, detector="gaussian", noise_floor="raw", exhibits=0, **{"labels.Serie": "normal"})
    assert result.exit_code == 0, result.output
    metrics, rejected = project.load("metrics"), project.load("rejected")
    assert (metrics["n_train"], metrics["n_test_normal"], metrics["n_test_anomalous"]) == (6, 2, 1)
    assert list(metrics["auroc_by_kind"]) == ["a//b ..?"]
    assert rejected["path"].tolist() == ["M\\xfcll.wav"]
    assert any(name.startswith("auroc_by_kind.a__b .._.") for name in project.tracked().data.metrics)


def test_a_single_normal(project, raw, sentence):
    said = sentence(project.command(raw=raw(normals=1)))
    assert said.startswith("1 normal item(s) would train, at least 3 are needed: record more good parts")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"train": 99}, "train=99 asks for 99 of 10 normal items: give a count up to their number, or a share"),
        ({"folds": 6, "fold": 6}, "folds=6, fold=6 does not divide 10 normal parts"),
        ({"noise_floor": "loud"}, "There is no noise_floor 'loud': choose one of auto, level, level_training, raw."),
        (
            {"backbone": "resnet19"},
            "Unknown backbone 'resnet19': choose one of efficientnet_lite0, efficientnet_lite1, efficientnet_lite2",
        ),
        (
            {"backbone": "resnet18"},
            "The backbone resnet18 comes without weights: give `weights` the path of a state dict",
        ),
        (
            {"weights": "/no/such.pth"},
            "No weights /no/such.pth: give the path of a state dict, or a name of torchvision's",
        ),
        (
            {"input_type": "hybird"},
            "Unknown input type 'hybird': choose one of multiscale, multifeature, hybrid, cross_scale, "
            "hybrid_cross_scale, single.",
        ),
        ({"normals": 0, "faulty": 0}, "The simulation has no recordings; set normals or faulty above 0."),
    ],
    ids=lambda value: ",".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_options_that_cannot_be_met(project, sentence, params, said):
    assert sentence(project.command(**params)).startswith(said)
    check_failed(project)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"calibration": "none"}, "There is no calibration 'none': choose one of auto, cross_fit, hold_out."),
    ],
    ids=lambda value: ",".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_options_that_are_met_after_the_features(project, sentence, params, said):
    assert sentence(project.command(**params)).startswith(said)
    check_failed(project)


def test_a_misspelt_option_is_told_before_anything_runs(project, sentence):
    before = len(project.runs())
    assert sentence(project.command(detector="hybrid_flo")).startswith(
        "There is no detector 'hybrid_flo': did you mean 'hybrid_flow'? Known are aegan, anogan, ast"
    )
    assert sentence(project.command(detectr="gaussian")) == (
        "Nothing reads the option 'detectr' of --params: did you mean 'detector'?"
    )
    said = sentence(project.command(xyzzy=1))
    assert said.startswith("Nothing reads the option 'xyzzy' of --params: known are ")
    for known in ("backbone", "detector", "folds", "raw", "seed"):
        assert known in said
    for option, value in {"false_alarm_rate": "5%", "train": "70%", "folds": "five", "seed": "abc"}.items():
        assert sentence(project.command(**{option: value})).startswith(f"{option}={value} is no number: write one")
    assert sentence(project.command(false_alarm_rate=5)).startswith(
        "false_alarm_rate=5 must lie between 0 and 1: write 0.05"
    )
    assert len(project.runs()) == before


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("mirror_audio.run.sed", "'mirror_audio.run.sed' of --params: did you mean 'mirror_audio.run.seed'?"),
        ("mirror_audio.mel.height", "'mirror_audio.mel' of --params: known are auto, exhibits, fit, preparation, run"),
        ("detectors.hybrid_flo.epochs", "of --params: did you mean 'detectors.hybrid_flow'?"),
    ],
)
def test_a_misspelt_nested_option_is_told(project, sentence, option, said):
    assert said in sentence(project.command(**{option: 3}))


def test_a_strange_setting_of_a_detector_is_told_by_its_class(project, sentence):
    said = sentence(project.command(**{"detector": "gaussian", "detectors.gaussian.shrinkag": 0.1}))
    assert said == "Gaussian has no setting ['shrinkag']: its settings are shrinkage."


def test_weights_that_are_no_weights(project, tmp_path, sentence):
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"a": torch.ones(1)}, tmp_path / "foreign.pth")
    said = sentence(project.command(weights=tmp_path / "text.pth"))
    assert said == f"The weights {tmp_path}/text.pth cannot be read: save a plain state dict as .pth or .safetensors."
    said = sentence(project.command(weights=tmp_path / "foreign.pth"))
    assert said.startswith(f"The weights {tmp_path}/foreign.pth do not fit the backbone efficientnet_lite0")


@contextlib.contextmanager
def disk(folder: Path, size: str) -> Iterator[None]:
    """A small disk mounted over the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"mounting a small disk is not permitted here ({made.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # a traceback may still hold a mapped file


@pytest.mark.parametrize(
    ("layer", "size", "told"),
    [
        ("02_intermediate", "4k", "data/02_intermediate/mirror_audio/"),
        ("04_feature", "64k", "data/04_feature/store/"),
        ("06_models", "16k", "data/06_models/mirror_audio/checkpoints/"),
    ],
)
def test_a_full_disk(project, sentence, layer, size, told):
    with disk(project.folder / "data" / layer, size):
        said = sentence(project.command())
    assert told in said
    assert "could not be written" in said
    assert "No space left on device" in said
    assert "free or unlock the disk" in said
    check_failed(project)


def test_a_read_only_disk(project, sentence):
    folder = project.folder / "data/02_intermediate"
    with disk(folder, "1m"):
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        said = sentence(project.command())
    assert "data/02_intermediate/mirror_audio/" in said
    assert "could not be written (Read-only file system): free or unlock the disk and run again." in said
    check_failed(project)


def test_ctrl_c_is_told_and_marks_the_run(project, sentence, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(nodes, "fit_detectors", interrupted)
    said = sentence(project.command())
    assert said == "Interrupted: the same command goes on where it stopped."
    assert project.tracked().info.status == "KILLED"
    assert mlflow.active_run() is None
    assert nodes.fit_detectors is not fit_detectors


def test_an_error_of_ours_is_no_sentence_but_a_traceback(project, monkeypatch):
    """What the user cannot mend must not be hidden."""

    def broken(*arguments, **options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(nodes, "fit_detectors", broken)
    result = project.command()
    assert isinstance(result.exception, ZeroDivisionError)
    check_failed(project)


def test_the_command_line_prints_the_sentence_alone(project):
    """The same through a process of its own, as a user calls it."""
    command = [sys.executable, "-m", "endline", "run", "--env=smoke", "--params=raw=/no/such/folder"]
    told = subprocess.run(
        command, cwd=project.folder, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, check=False
    )
    assert told.returncode == 1
    sentence = "Error: There is no folder /no/such/folder (from --params=raw=...): correct it, or leave it out."
    assert told.stderr.strip().splitlines()[-1] == sentence
    assert "Traceback" not in told.stdout + told.stderr
