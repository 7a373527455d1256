"""The station `surface_image`, from photographs to the report, on a simulated set in a project of its own."""

import contextlib
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.framework.project import pipelines
from PIL import Image

from endline.cli import cli
from endline.detectors.registry import load_detector
from endline.evaluation.summary import METRICS
from endline.evidence.images import surface_image as station
from endline.samples import check_samples


@pytest.fixture(scope="session")
def run(surfaces) -> str:
    return surfaces.run(exhibits=1)


@pytest.fixture
def plain(surfaces, run, tmp_path):
    """Makes a plain folder of simulated photographs: `normal/`, and `abnormal/` if there are any."""

    def make(normals: int, abnormal: int = 0) -> Path:
        sources = surfaces.folder / "data/01_raw/surface_image_simulated/surface"
        good, bad = sorted((sources / "train/good").iterdir()), sorted(sources.glob("test/[!g]*/*.png"))
        for folder, files in (("normal", good[:normals]), ("abnormal", bad[:abnormal])):
            for number, file in enumerate(files):
                (tmp_path / "raw" / folder).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, tmp_path / "raw" / folder / f"{number}.png")
        return tmp_path / "raw"

    return make


def test_it_is_registered(surfaces):
    assert "surface_image" in pipelines


def test_the_sample_table_follows_the_published_split(surfaces, run):
    samples = check_samples(surfaces.load("samples"))
    assert set(samples.loc[samples["split"] == "train", "label"]) == {0}
    assert (samples["split"] == "train").sum() == 10
    assert samples["simulated"].all()
    anomalous = samples[samples["label"] == 1]
    assert len(anomalous) == 5
    assert anomalous["mask_path"].notna().all()


def test_the_metrics_are_those_of_every_station(surfaces, run):
    metrics = surfaces.load("metrics")
    assert tuple(metrics) == METRICS
    assert metrics["station"] == "surface_image"
    assert metrics["group"] == "surface"
    assert metrics["simulated"] is True
    assert metrics["control_auroc"] is None  # all simulated photographs have one size
    assert metrics["control_auroc_reason"] == "the control numbers are the same for all items"
    assert 0 <= metrics["auroc"] <= 1
    assert 0 <= metrics["pixel_auroc"] <= 1
    assert set(metrics["auroc_by_kind"]) == set(surfaces.load("samples").query("label == 1")["kind"])


def test_the_report_shows_photograph_map_and_mask(surfaces, run):
    page = surfaces.load("report")
    assert "SIMULATED DATA" in page
    for caption in ("photograph", "anomaly map; ring: its largest value", "mask: the defect as labelled"):
        assert f"<figcaption>{caption}</figcaption>" in page


def test_a_second_run_extracts_nothing(surfaces, run):
    key = surfaces.load("features").key
    store = surfaces.folder / "data/04_feature/store"
    arrays = surfaces.load("features").stored
    files = [store / f"{name}.npy" for keys in arrays.values() for name in keys]
    before = {path: path.stat().st_mtime_ns for path in files}
    surfaces.run(detector="position_gaussian", seed=3)
    assert surfaces.load("features").key == key
    assert {path: path.stat().st_mtime_ns for path in files} == before


@pytest.mark.parametrize(
    "detector", ["differnet", "cs_flow", "ast", "padim", "patchcore", "cutpaste", "nearest_neighbour"]
)
def test_other_detectors_find_the_arrays_that_they_read(surfaces, run, detector):
    surfaces.run(detector=detector)
    metrics = surfaces.load("metrics")
    assert metrics["detector"] == detector
    assert np.isfinite(surfaces.load("scores")["score"]).all()


@pytest.mark.parametrize("detector", ["differnet", "cs_flow", "patchcore"])
def test_image_detectors_run_on_mel_images_too(project, detector):
    project.run(detector=detector, mirror_audio={"preparation": {"mel": {"height": 128}}})
    metrics = project.load("metrics")
    assert metrics["detector"] == detector
    assert metrics["control_auroc"] is not None
    assert np.isfinite(project.load("scores")["score"]).all()


def test_what_is_fitted_does_not_depend_on_any_tested_photograph(surfaces, plain):
    """Other defects, the same good parts: the fitted weights are the same to the last bit."""
    folder = plain(normals=10, abnormal=3)
    weights = []
    for shade in (0, 255):
        surfaces.run(raw=str(folder), train=8)
        for file in (folder / "abnormal").iterdir():
            Image.new("RGB", (256, 256), (shade, 255 - shade, int(file.stem))).save(file)
        samples = surfaces.load("samples")
        assert samples["label"].eq(1).sum() == 3
        weights.append({name: one.model.state_dict() for name, one in surfaces.load("detectors").items()})
    first, second = weights
    assert first.keys() == second.keys()
    for name, state in first.items():
        assert all((state[key] == second[name][key]).all() for key in state)


def test_good_parts_alone_are_enough(surfaces, plain):
    surfaces.run(raw=str(plain(normals=10)))
    metrics = surfaces.load("metrics")
    assert metrics["auroc"] is None
    assert metrics["pixel_auroc"] is None
    assert metrics["n_test_normal"] == 3
    assert metrics["simulated"] is False


def test_a_detector_of_a_run_is_saved_without_pickle(surfaces, run):
    folder = surfaces.folder / "data/06_models/surface_image/detectors"
    saved = sorted(folder.rglob("config.json"))
    assert saved
    assert load_detector(saved[-1].parent).parameter_count > 0
    assert not list(folder.rglob("*.pkl"))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"group": "screw"}, "screw"),
        ({"detector": "cs_flo"}, "There is no detector 'cs_flo': did you mean 'cs_flow'? Known are aegan"),
        ({"input_type": "pyramid"}, "Unknown input type 'pyramid': choose one of multiscale"),
        (
            {"height": 100, "shape": "stretched", "detector": "cs_flow"},
            "An image of 100 x 128 does not halve evenly: for input_type=hybrid_cross_scale choose a height",
        ),
        ({"backbone": "alexnet"}, "The backbone alexnet comes without weights: give `weights` the path"),
        ({"views": 0, "detector": "differnet"}, "views=0 must be at least 1: a view is the image rotated."),
    ],
    ids=lambda value: ",".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_options_that_cannot_be_met(surfaces, sentence, params, said):
    assert said in sentence(surfaces.command(**params))


@pytest.mark.parametrize(("normals", "training"), [(1, 1), (3, 2)])
def test_too_few_normals(surfaces, plain, sentence, normals, training):
    assert f"{training} normal item(s) would train" in sentence(surfaces.command(raw=plain(normals)))


def test_too_few_shots(surfaces, run, sentence):
    said = sentence(surfaces.command(shots=2))
    assert said.startswith("2 normal item(s) would train, at least 3 are needed")
    assert said.endswith("or take more of them (shots).")


def test_equal_photographs_leave_one(surfaces, plain, sentence):
    folder = plain(normals=4)
    for number in range(1, 4):
        shutil.copy(folder / "normal/0.png", folder / f"normal/{number}.png")
    assert "1 normal item(s) would train" in sentence(surfaces.command(raw=folder))


def test_almost_equal_photographs_are_learned(surfaces, plain):
    """Twelve photographs of one colour, each its own: nothing varies but a value in 255."""
    folder = plain(normals=1)
    for number in range(12):
        Image.new("L", (64, 64), 100 + number).save(folder / f"normal/{number}.png")
    surfaces.run(raw=str(folder))
    assert np.isfinite(surfaces.load("scores")["score"]).all()


def test_bad_photographs_are_told_and_left_out(surfaces, plain):
    folder = plain(normals=10, abnormal=1)
    (folder / "normal/empty.png").touch()
    (folder / "normal/text.png").write_text("no picture")
    Image.new("L", (1, 1)).save(folder / "normal/dot.png")
    surfaces.run(raw=str(folder))
    rejected = surfaces.load("rejected")
    assert set(rejected["path"]) == {"normal/empty.png", "normal/text.png", "normal/dot.png"}
    assert rejected["remedy"].str.len().min() > 0


def test_a_photograph_that_vanishes_after_the_index_is_named(surfaces, plain, sentence, monkeypatch):
    folder = plain(normals=10)
    original = station.index_images

    def index_then_lose(*arguments, **options):
        found = original(*arguments, **options)
        (folder / "normal/4.png").unlink()
        return found

    monkeypatch.setattr(station, "index_images", index_then_lose)
    said = sentence(surfaces.command(raw=folder, width=256))  # a size that no other test has extracted
    assert re.search(r"normal/4\.png was indexed and cannot be read any more \(.*\): restore it\.", said)


def test_a_category_is_chosen_by_its_name(surfaces, run, tmp_path):
    source = surfaces.folder / "data/01_raw/surface_image_simulated/surface"
    for name in ("carpet", "screw"):
        shutil.copytree(source, tmp_path / name)
    surfaces.run(raw=str(tmp_path), group="screw")
    samples = surfaces.load("samples")
    assert set(samples["group"]) == {"screw"}
    assert surfaces.load("metrics")["group"] == "screw"
    with contextlib.suppress(KeyError):
        assert pd.isna(samples["domain"]).all()


def test_few_shots_train_on_so_many(surfaces, run):
    surfaces.run(shots=4)
    assert surfaces.load("metrics")["n_train"] == 4
    assert surfaces.load("metrics")["n_test_anomalous"] == 5


def test_inspect_gives_a_photograph_the_verdict_that_the_run_gave_it(surfaces, run, tmp_path):
    surfaces.run()
    row = surfaces.load("scores").iloc[0]
    photograph = surfaces.folder / "data/01_raw/surface_image_simulated" / row["path"]
    (tmp_path / "text.png").write_text("no picture")
    with contextlib.chdir(surfaces.folder):
        command = ["inspect", "--station=surface_image", "--env=smoke"]
        told = CliRunner().invoke(cli, [*command, str(photograph)])
        refused = CliRunner().invoke(cli, [*command, str(tmp_path / "text.png")])
        absent = CliRunner().invoke(cli, [*command, str(tmp_path / "absent.png")])
        elsewhere = CliRunner().invoke(cli, ["inspect", "--station=surface", "--env=smoke", str(photograph)])
    found = re.search(r"(ANOMALOUS|normal) +score +(\S+) +p (\S+)", told.output)
    assert (found[1] == "ANOMALOUS") == bool(row["flagged"])
    assert float(found[2]) == pytest.approx(row["score"], abs=2e-2)  # features are stored as float16
    assert float(found[3]) == pytest.approx(row["p_value"], abs=1e-3)
    assert surfaces.shown(photograph).figures
    assert refused.exit_code == absent.exit_code == elsewhere.exit_code == 1
    assert "text.png" in refused.output
    assert "absent.png: the file does not exist: restore it." in absent.output
    assert (
        "There is no station 'surface': choose one of machine_audio, mirror_audio, robot_cycle, surface_image, "
        "surface_scan." in elsewhere.output
    )
