"""A published model whose files are damaged: a sentence with the remedy, and never a verdict."""

import json
import re

import numpy as np
import pytest
import torch
from kedro.io import DatasetError

from endline.datasets.detectors import DetectorsDataset
from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.errors import EndlineError, cause_of
from endline.evaluation.calibration import Calibration
from endline.evidence.sound.mirror_features import SoundPreparation
from endline.feature_set import FeatureSet
from endline.published import PublishedModel

FILES = ["model.json", "calibration.json", "preparation.json", "detectors/fold/0/config.json"]
WEIGHTS = "detectors/fold/0/weights.safetensors"
SENTENCE = r"The (model|preparation|detector)( in)? .* cannot be read \(.+\): (run the station|fit it) again\."


@pytest.fixture(scope="module")
def detector():
    maps = np.random.default_rng(0).standard_normal((9, 3, 4, 4)).astype("f4")
    detector = Gaussian(GaussianConfig())
    detector.fit(FeatureSet({"scale_0": maps}), seed=0, progress=Progress())
    return detector


@pytest.fixture
def folder(detector, tmp_path):
    folder = tmp_path / "model"
    calibration = Calibration(("fold",), ((0.1,), (0.2,)), (0, 0), (0, 1), 0.5)
    detectors = {"fold/0": detector, "fold/1": detector}
    normals = FeatureSet({"scale_0": np.ones((2, 3, 4, 4), "f4")})
    PublishedModel("mirror_audio", "run", detectors, SoundPreparation(), calibration, normals).save(folder)
    return folder


def refusal(folder):
    with pytest.raises(EndlineError) as caught:
        PublishedModel.load(folder)
    assert re.fullmatch(SENTENCE, str(caught.value)), str(caught.value)
    return str(caught.value)


def damaged(path, damage):
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "half":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(damage)


def test_the_whole_model_is_read(folder, detector):
    model = PublishedModel.load(folder)
    assert (model.station, model.run, sorted(model.detectors)) == ("mirror_audio", "run", ["fold/0", "fold/1"])
    for name, tensor in detector.model.state_dict().items():
        assert torch.equal(model.detectors["fold/0"].model.state_dict()[name], tensor)


@pytest.mark.parametrize(
    "damage",
    ["missing", "half", b"", bytes(range(256)) * 9, b"[" * 100_000, b"null", b"7", b"[]", b"{}", b'"text"'],
    ids=["missing", "half", "empty", "binary", "brackets", "null", "7", "list", "object", "text"],
)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_description(folder, name, damage):
    damaged(folder / name, damage)
    assert str(folder) in refusal(folder)


@pytest.mark.parametrize("damage", ["half", b"", bytes(900)], ids=["half", "empty", "zeros"])
@pytest.mark.parametrize("name", [WEIGHTS, "normals.npz"])
def test_damaged_arrays(folder, name, damage):
    damaged(folder / name, damage)
    refusal(folder)


def test_missing_weights(folder):
    (folder / WEIGHTS).unlink()
    assert "No such file" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "keys", "value", "said"),
    [
        ("model.json", ["detectors"], [], "names no detector"),
        ("model.json", ["station"], "robot_cycle", "is of the station robot_cycle, preparation.json of mirror_audio"),
        ("model.json", ["about"], 7, "int"),
        ("calibration.json", ["scores"], [], "gives no verdict: 0 scores, 2 folds, 2 units"),
        ("calibration.json", ["scores"], [["a"], ["b"]], "could not convert string to float"),
        ("calibration.json", ["scores", 0, 0], float("nan"), "a normal without a finite score"),
        ("calibration.json", ["scores", 0, 0], float("inf"), "a normal without a finite score"),
        ("calibration.json", ["parts"], ["fold", "unfold"], "a normal without a finite score of its parts"),
        ("calibration.json", ["folds"], [0, 2], "counts its folds or units with gaps"),
        ("calibration.json", ["folds"], [0.5, 0], "folds=(0.5, 0) is no tuple[int, ...]"),
        ("calibration.json", ["units"], [0, -1], "counts its folds or units with gaps"),
        ("calibration.json", ["join"], "least", "gives no verdict: join least"),
        ("calibration.json", ["rule"], "none", "gives no verdict: join mean, rule none"),
        ("calibration.json", ["stated_rate"], 5, "gives no verdict: join mean, rule conformal, rate 5"),
        ("preparation.json", ["power"], ["a"], "power=('a',) is no tuple[float, ...] | None"),
        ("preparation.json", ["draws"], "2", "draws='2' is no int"),
        ("preparation.json", ["mel", "sample_rate"], 44100.5, "sample_rate=44100.5 is no int"),
        (FILES[3], ["config", "shrinkage"], "much", "shrinkage='much' is no float"),
        (FILES[3], ["config", "shrinkag"], 0.1, "Gaussian has no setting ['shrinkag']"),
        (FILES[3], ["shapes", "scale_0"], [], "index out of range"),
        (FILES[3], ["samples"], float("inf"), "infinity"),
        (FILES[3], ["pyramid"], {"backbone": 7}, "backbone=7 is no str"),
    ],
)
def test_values_that_no_run_writes(folder, name, keys, value, said):
    plain = json.loads((folder / name).read_text())
    inside = plain
    for key in keys[:-1]:
        inside = inside[key]
    inside[keys[-1]] = value
    (folder / name).write_text(json.dumps(plain))
    assert said in refusal(folder)


def test_a_model_of_a_newer_endline_is_refused_and_one_of_before_the_format_is_read(folder):
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**about, "format": 2}))
    with pytest.raises(EndlineError) as caught:
        PublishedModel.load(folder)
    assert str(caught.value) == (
        f"The model in {folder} is of a newer endline (format 2, this one reads 1): install that version, or run the "
        "station again."
    )
    del about["format"]
    (folder / "model.json").write_text(json.dumps(about))
    assert PublishedModel.load(folder).run == "run"


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_detector_that_has_lost_a_file_is_not_left_out(detector, tmp_path, name):
    dataset = DetectorsDataset(str(tmp_path))
    dataset.save({"fold/0": detector, "unfold/0": detector})
    assert list(dataset.load()) == ["fold/0", "unfold/0"]
    (tmp_path / "unfold/0" / name).unlink()
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    said = str(cause_of(caught.value, EndlineError))
    assert re.fullmatch(r"The detector in .*/unfold/0 cannot be read \(.*No such file.*\): fit it again\.", said)


@pytest.mark.parametrize("value", ["many", True, None, float("nan"), [0.1]])
def test_a_setting_of_the_wrong_type_is_a_sentence(value):
    settings = {"mine": {"type": "endline.detectors.pooled.gaussian.Gaussian", "shrinkage": value}}
    with pytest.raises(
        EndlineError, match=r"A setting of Gaussian has the wrong type \(shrinkage=.* is no float\): corr"
    ):
        build_detector("mine", settings)


def test_a_misspelt_detector_has_its_nearest_name():
    settings = {name: {"type": "absent"} for name in ("ast", "cs_flow", "gaussian")}
    with pytest.raises(EndlineError) as caught:
        build_detector("cs_flwo", settings)
    assert str(caught.value) == (
        "There is no detector 'cs_flwo': did you mean 'cs_flow'? Known are ast, cs_flow, gaussian."
    )
    with pytest.raises(EndlineError, match=r"There is no detector 'xyz': choose one of ast, cs_flow, gaussian\."):
        build_detector("xyz", settings)
