"""The station `surface_scan`, from photographs and scans to the report, in a project of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from kedro.framework.project import pipelines
from PIL import Image

from endline.evaluation.summary import METRICS
from endline.operations.inspection import Inspector
from endline.samples import check_samples


@pytest.fixture(scope="module")
def scans(project):
    """The same project at the station of scans."""
    return replace(project, station="surface_scan")


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """Boxes on a table, in a plain folder: `normal/0.png` and `normal/0.npy`; those in `bump` have one."""
    folder, rng = tmp_path_factory.mktemp("raw"), np.random.default_rng(0)
    for number in range(14):
        kind = "normal" if number < 11 else "bump"
        (folder / kind).mkdir(exist_ok=True)
        depth = 600 + rng.normal(0, 0.1, (64, 64))
        depth[16:48, 16:48] -= 30
        picture = rng.integers(100, 120, (64, 64, 3), np.uint8)
        if kind == "bump":
            depth[28:36, 28:36] -= 8
        np.save(folder / kind / f"{number}.npy", depth.astype(np.float32))
        Image.fromarray(picture).save(folder / kind / f"{number}.png")
        if kind == "bump":
            mask = np.zeros((64, 64), np.uint8)
            mask[28:36, 28:36] = 255
            Image.fromarray(mask).save(folder / kind / f"{number}_mask.png")
    return folder


@pytest.fixture(scope="module")
def run(scans, raw) -> str:
    return scans.run(exhibits=1, raw=str(raw), detector="padim", modality="3d")


def test_it_is_registered(scans):
    assert "surface_scan" in pipelines


def test_the_sample_table_pairs_photographs_and_scans(scans, run):
    samples = check_samples(scans.load("samples"))
    assert samples["depth_path"].tolist() == [path.replace(".png", ".npy") for path in samples["path"]]
    assert samples.loc[samples["label"] == 1, "mask_path"].notna().all()


def test_the_bump_is_found_and_pointed_at(scans, run):
    metrics = scans.load("metrics")
    assert tuple(metrics) == METRICS
    assert metrics["auroc"] == 1.0
    assert metrics["pixel_auroc"] > 0.95
    assert metrics["aupro"] > 0.7
    assert set(metrics["auroc_by_kind"]) == {"bump"}


def test_the_report_shows_the_part(scans, run):
    page = scans.load("report")
    assert "photograph" in page
    assert "SIMULATED DATA" not in page


def test_a_new_pair_is_inspected_by_either_file(scans, run, raw):
    inspector = Inspector.load("surface_scan", project=scans.folder)
    bumped, good = (inspector.inspect(raw / name)["score"].item() for name in ("bump/12.npy", "normal/3.npy"))
    assert bumped > good
    assert inspector.inspect(raw / "bump/12.png")["score"].item() == bumped
    by_photograph, by_scan = (scans.shown(raw / f"bump/12{ending}").figures for ending in (".png", ".npy"))
    assert dict(by_photograph) == dict(by_scan)
    assert "photograph" in by_scan[0][0]


def test_a_new_scan_in_metres_is_refused(scans, run, raw, tmp_path):
    tifffile.imwrite(tmp_path / "new.tiff", np.load(raw / "normal/3.npy") / 1000)
    verdict = Inspector.load("surface_scan", project=scans.folder).inspect(tmp_path / "new.tiff").iloc[0]
    assert verdict["verdict"] == "none"
    assert "0.001 times those of the others" in verdict["reason"]
