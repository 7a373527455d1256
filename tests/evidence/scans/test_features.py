"""The arrays of parts, by modality, in a run and of one new part."""

import json
import logging
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from endline.array_store import ArrayStore
from endline.errors import EndlineError
from endline.evidence.scans import surface_scan
from endline.evidence.scans.features import ScanPreparation
from endline.evidence.scans.heights import usual_heights
from endline.evidence.scans.modality import chosen_modality, depth_arrays
from endline.evidence.station import Arrays, IndexRequest
from endline.field_types import check_fields

MAPS = Arrays(("scale",), ("mask",), input_type="single")


@pytest.fixture(scope="module")
def raw(tmp_path_factory, make_mvtec):
    return make_mvtec(tmp_path_factory.mktemp("raw"), train=3, good=1, cut=1)


@pytest.fixture(scope="module")
def found(raw, parameters):
    return surface_scan.index(raw, IndexRequest(None, False, 0, {}, parameters()))


@pytest.fixture
def prepared(raw, found, parameters):
    def make(wanted: Arrays = MAPS, **changes) -> ScanPreparation:
        return surface_scan.prepare(found.samples, raw, found.facts, parameters(**changes), wanted)

    return make


@pytest.fixture
def arrays(raw, found, tmp_path):
    store = ArrayStore(tmp_path / "store")
    return lambda preparation: store.make(preparation.recipe(found.samples, raw, store))


def row(found, name: str) -> list[int]:
    return [found.samples["path"].tolist().index(name)]


CUT = "foam/test/cut/rgb/000.png"
OF_SCANS = {"mask": (1, 24, 24), "gap": (1, 48, 48), "outline": (2, 48, 48), "outside": (1,)}


@pytest.mark.parametrize(
    ("modality", "shapes"),
    [
        (
            "auto",
            {
                "scale_0": (384, 24, 24),
                "mask": (1, 24, 24),
                "gap": (1, 48, 48),
                "outline": (2, 48, 48),
                "outside": (1,),
            },
        ),
        (
            "3d",
            {"scale_0": (64, 24, 24), **OF_SCANS},
        ),
        ("rgb", {"scale_0": (320, 4, 4)}),
        (
            "depth_image",
            {"scale_0": (320, 4, 4), **OF_SCANS},
        ),
    ],
)
def test_the_maps_of_a_modality_are_the_same_in_a_run_and_of_a_new_part(raw, found, prepared, arrays, modality, shapes):
    preparation = prepared(modality=modality)
    features = arrays(preparation)
    beside = ("control", "summary", "depth", "depth_mask")
    assert {name: shape for name, shape in features.shapes.items() if name not in beside} == shapes
    rows, new = preparation.inspect(raw / CUT)
    assert rows["path"].tolist() == ["000.png"]
    stored, made = features.read(row(found, CUT)), new.read()
    for name in (*shapes, "summary"):
        np.testing.assert_allclose(made[name], stored[name], rtol=2e-3, atol=2e-3)
    assert ScanPreparation.from_plain(json.loads(json.dumps(preparation.plain()))) == preparation
    check_fields(preparation)


def test_the_depth_of_both_is_that_of_3d_and_shows_the_dent(found, prepared, arrays):
    both, alone = (arrays(prepared(modality=name)).read(row(found, CUT))["scale_0"][0] for name in ("both", "3d"))
    np.testing.assert_array_equal(both[-64:], alone)
    deepest = alone.amax(0).numpy()
    assert np.unravel_index(deepest.argmax(), deepest.shape)[0] in (10, 11, 12, 13)
    assert deepest.max() == pytest.approx(6, abs=0.6)


def test_depth_and_its_mask_for_detectors_that_read_them(found, prepared, arrays):
    preparation = prepared(Arrays(("depth", "depth_mask"), (), modality="3d"))
    features = arrays(preparation)
    assert features.shapes["depth"] == features.shapes["depth_mask"] == (1, 192, 192)
    assert "scale_0" not in features.shapes
    assert "mask" not in features.shapes
    batch = features.read(row(found, CUT))
    inside = batch["depth_mask"] > 0
    assert batch["depth"][inside].mean().item() == pytest.approx(0, abs=0.05)
    assert (batch["depth"][~inside] == 0).all()
    assert batch["depth"].max().item() == pytest.approx(6, abs=0.6)


def test_views_and_images_are_of_the_photograph_or_of_the_drawn_depth(prepared, arrays):
    wanted = Arrays(("views", "image"), (), input_type="single")
    assert prepared(wanted).modality == "rgb"
    drawn = arrays(prepared(wanted, modality="depth_image", views=2))
    assert drawn.shapes["image"] == (3, 128, 128)
    image = drawn.read([0])["image"][0, 0]
    assert image[0, 0] == 0
    assert 0.1 < image[64, 64] < 1
    with pytest.raises(EndlineError, match="reads 'image' of a single image, which modality=both has not: choose rgb"):
        prepared(wanted, modality="both")


def test_histograms_are_asked_for_by_name(found, prepared, arrays, monkeypatch):
    calls = []
    module = ModuleType("endline.evidence.scans.fpfh")

    def fpfh_map(scan, mask, size):
        calls.append((scan.depth.shape, int(mask.sum()), size))
        return np.full((33, *size), 0.5, np.float32)

    module.fpfh_map = fpfh_map
    monkeypatch.setitem(sys.modules, "endline.evidence.scans.fpfh", module)
    features = arrays(prepared(modality="fpfh_colour"))
    assert features.shapes["scale_0"] == (36, 28, 28)
    assert calls[0][0] == (64, 64)
    assert calls[0][1] == pytest.approx(32 * 32, rel=0.02)
    colour = features.read([0])["scale_0"][0, 33:]
    assert colour[:, 0, 0].tolist() == pytest.approx([40 / 255] * 3, abs=1e-3)
    assert arrays(prepared(modality="fpfh")).shapes["scale_0"] == (33, 28, 28)


def test_an_array_is_made_once_for_all_modalities(found, prepared, raw, tmp_path):
    store = ArrayStore(tmp_path / "store")
    first = store.make(prepared(modality="3d").recipe(found.samples, raw, store))
    second = store.make(prepared(modality="both").recipe(found.samples, raw, store))
    assert first.stored["mask"] == second.stored["mask"]
    assert first.stored["scale_0"][0] == second.stored["scale_0"][-1]
    other = prepared(modality="3d", distance=3.0).recipe(found.samples, raw, store)
    assert other.keys["unshuffled"] != first.stored["scale_0"][0]
    photographs = prepared(modality="rgb", distance=3.0).recipe(found.samples, raw, store)
    assert photographs.keys["map_1_32"] == prepared(modality="rgb").recipe(found.samples, raw, store).keys["map_1_32"]


def test_a_new_part_is_found_by_either_file(raw, prepared):
    preparation = prepared()
    _, by_scan = preparation.inspect(raw / CUT.replace("rgb", "xyz").replace(".png", ".tiff"))
    _, by_photograph = preparation.inspect(raw / CUT)
    np.testing.assert_array_equal(by_scan.read()["scale_0"], by_photograph.read()["scale_0"])


def test_a_new_part_without_its_other_half_is_reported(tmp_path, parts, prepared):
    photograph = parts.save_photograph(tmp_path / "new.png", parts.photograph(1))
    with pytest.raises(EndlineError, match=r"new.png has no scan of its name beside it, and the model reads both: put"):
        prepared().inspect(photograph)
    assert prepared(modality="rgb").inspect(photograph)[0]["path"].tolist() == ["new.png"]
    scan = parts.save_scan(tmp_path / "other.tiff", parts.xyz(parts.depth(1)))
    with pytest.raises(EndlineError, match=r"other.tiff has no photograph of its name beside it"):
        prepared().inspect(scan)
    assert "scale_0" in prepared(modality="3d").inspect(scan)[1]
    with pytest.raises(EndlineError, match="there is no such file: correct the path"):
        prepared().inspect(tmp_path / "gone.png")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda depth: depth / 1000, "its depths are 0.001 times those of the others, up to 0.605 mm against 605 mm"),
        (lambda depth: depth * 100, "its depths are 100 times those of the others"),
        (lambda depth: 1200 - depth, "its part lies 30 mm behind its support, and those of the others 30 mm before it"),
        (lambda depth: depth * 0, "none of its 4096 pixels has a depth, all are 0 or NaN: scan the part again."),
        (lambda depth: depth * 0 + 600, "all its pixels have the same depth, 600 mm"),
        (lambda depth: depth[:32], "the photograph has 64 x 64 pixels and its scan 64 x 32"),
    ],
)
def test_a_new_scan_that_does_not_go_with_the_training_scans_is_reported(tmp_path, parts, prepared, change, said):
    parts.save_photograph(tmp_path / "rgb/new.png", parts.photograph(1))
    scan = parts.save_scan(tmp_path / "xyz/new.tiff", parts.xyz(change(parts.depth(1))))
    with pytest.raises(EndlineError) as problem:
        prepared().inspect(scan)
    assert said in str(problem.value)
    assert "new." in str(problem.value)


@pytest.mark.parametrize("modality", ["both", "3d", "rgb"])
def test_a_new_part_of_another_shape_is_named(tmp_path, parts, prepared, modality, caplog):
    photograph = parts.save_photograph(tmp_path / "rgb/new.png", parts.photograph(1)[:32])
    parts.save_scan(tmp_path / "xyz/new.tiff", parts.xyz(parts.depth(1))[:32])
    preparation = prepared(modality=modality)
    with caplog.at_level(logging.WARNING, "endline"):
        preparation.inspect(photograph)
    assert "new.png is 32 x 64 pixels; those that train are 1.00 times as high as wide" in caplog.text


def test_a_scan_that_was_changed_after_the_index_is_reported(raw, found, prepared, arrays, tmp_path, parts):
    preparation = prepared(modality="3d")
    with pytest.raises(EndlineError, match=r"was indexed and cannot be read any more \(the file does not exist"):
        preparation.relief(raw / "foam/train/good/xyz/gone.tiff")


def test_wrong_settings_are_reported(prepared):
    with pytest.raises(EndlineError, match="modality=depth must be auto, or one of rgb, 3d, both"):
        prepared(modality="depth")
    with pytest.raises(EndlineError, match="There is no modality 'x'"):
        replace(ScanPreparation(), modality="x")
    with pytest.raises(EndlineError, match="There is no light 'x'"):
        replace(ScanPreparation(), light="x")


def test_the_modality_follows_the_detector_as_far_as_the_files_go(caplog):
    colour = Arrays(("scale",), modality="fpfh_colour")
    assert chosen_modality("auto", colour, photographs=True, scans=True) == "fpfh_colour"
    assert chosen_modality("auto", colour, photographs=False, scans=True) == "fpfh"
    assert "The detector reads the modality fpfh, not fpfh_colour, of these data." in caplog.text
    assert chosen_modality("auto", Arrays(("scale",), modality="rgb"), photographs=False, scans=True) == "depth_image"
    assert chosen_modality("auto", colour, photographs=True, scans=False) == "rgb"
    assert depth_arrays("rgb", Arrays(("depth",), ("mask",))) == ("depth", "gap", "outline", "outside")
    with pytest.raises(EndlineError, match="The detector reads 'depth' of scans, and the folder holds none"):
        chosen_modality("auto", Arrays(("depth",)), photographs=True, scans=False)


@pytest.mark.parametrize(("height", "beyond"), [(30.0, False), (34.0, True), (26.0, True)])
def test_a_part_that_is_thicker_or_thinner_than_all_that_train_is_outside(
    prepared, parts, tmp_path, caplog, height, beyond
):
    scan = parts.save_scan(tmp_path / "new.tiff", parts.xyz(parts.depth(9, height=height)))
    preparation = prepared(modality="3d")
    relief = preparation.relief(scan)[1].depth
    assert relief[24:40, 24:40].mean() == pytest.approx(0, abs=0.3)  # which says nothing of the height
    outside = preparation.inspect(scan)[1].read()["outside"]
    assert outside.shape == (1, 1)
    assert bool(outside.item() > 0) == beyond
    assert [record.message.split(",")[0] for record in caplog.records] == (
        [f"new.tiff lies {preparation.relief(scan)[1].before:.4g} mm before its support on the mean"] if beyond else []
    )
    caplog.clear()
    assert replace(preparation, heights=None).inspect(scan)[1].read()["outside"].item() == 0  # models of before
    assert not caplog.records


def test_heights_are_not_looked_at_where_there_is_no_support():
    training = pd.DataFrame({"before": [0.0, 0.0], "unit": ["a", "b"]})
    assert usual_heights(training) is None
    assert usual_heights(training.assign(before=[30.0, 30.0])).beyond(30.5) == 0


def test_flying_pixels_neither_widen_the_usual_heights_nor_make_a_part_too_high(parts, parameters, tmp_path, caplog):
    def saved(path, seed, height=30.0, flying=False):
        xyz = parts.xyz(parts.depth(seed, height=height))
        if flying:
            xyz[30, 30, 2] = 65535
        return parts.save_scan(path, xyz)

    for seed in range(8):
        saved(tmp_path / f"raw/normal/{seed}.tiff", seed, flying=seed in (2, 5))
    found = surface_scan.index(tmp_path / "raw", IndexRequest(None, False, 0, {}, parameters(modality="3d")))
    samples = found.samples.assign(split="train")
    preparation = surface_scan.prepare(samples, tmp_path / "raw", found.facts, parameters(modality="3d"), MAPS)
    assert preparation.heights is not None
    assert preparation.heights.low == pytest.approx(30, abs=0.5)
    assert preparation.heights.high == pytest.approx(30, abs=0.5)
    caplog.clear()
    outside = {
        name: preparation.inspect(saved(tmp_path / f"{name}.tiff", 9, *how))[1].read()["outside"].item()
        for name, how in {"thick": (34.0,), "flying": (30.0, True)}.items()
    }
    assert outside["thick"] > 0
    assert outside["flying"] == 0
    assert [record.message.split(" lies")[0] for record in caplog.records] == ["thick.tiff"]


def test_values_of_a_new_scan_that_stand_for_not_measured_are_told(prepared, parts, tmp_path, caplog):
    xyz = parts.xyz(parts.depth(9))
    xyz[10:14, 10:14, 2] = 65535
    row, _ = prepared(modality="3d").inspect(parts.save_scan(tmp_path / "new.tiff", xyz))
    assert row["missing"].tolist() == [16 / 4096]
    assert [record.message for record in caplog.records] == [
        "In new.tiff the value 65535, which many pixels share far from all the rest, counts as not measured."
    ]
    caplog.clear()
    usual = replace(prepared(modality="3d"), placeholders=("65535",))  # as in the scans that train
    assert type(usual).from_plain(json.loads(json.dumps(usual.plain()))) == usual
    usual.inspect(tmp_path / "new.tiff")
    assert not caplog.records


def test_a_second_scan_of_one_name_is_judged_with_the_same_photograph_and_told(prepared, parts, tmp_path, caplog):
    parts.save_photograph(tmp_path / "0.png", parts.photograph(9))
    parts.save_scan(tmp_path / "0.tiff", parts.xyz(parts.depth(9)))
    second = parts.save_scan(tmp_path / "0_depth.tiff", parts.xyz(parts.depth(8)))
    row, _ = prepared(modality="both").inspect(second)
    assert row[["path", "depth_path"]].iloc[0].tolist() == ["0.png", "0_depth.tiff"]
    assert [record.message for record in caplog.records] == [
        "0_depth.tiff is a second file of the same name as 0.tiff: keep one of them."
    ]


@pytest.mark.parametrize(("modality", "said"), [("both", True), ("fpfh_colour", True), ("3d", False)])
def test_a_photograph_whose_file_is_unlike_those_that_train_is_told(prepared, parts, tmp_path, caplog, modality, said):
    Image.fromarray(parts.photograph(9)).convert("L").save(tmp_path / "0.png")
    scan = parts.save_scan(tmp_path / "0.tiff", parts.xyz(parts.depth(9)))
    preparation = prepared(modality=modality)
    assert ScanPreparation.from_plain(json.loads(json.dumps(preparation.plain()))) == preparation
    preparation.inspect(scan)
    assert [record.message.split(":")[0] for record in caplog.records] == (
        ["0.tiff has a photograph that is grey, and those that train have colours"] if said else []
    )
    caplog.clear()
    replace(preparation, files=None).inspect(scan)  # a model of before
    assert not caplog.records


def test_an_ending_that_is_not_read_is_named(prepared, tmp_path):
    (tmp_path / "part.stl").write_bytes(b"solid")
    with pytest.raises(EndlineError, match=r"part.stl: the ending '.stl' is not one that is read here: export it as"):
        prepared(modality="3d").inspect(tmp_path / "part.stl")


def test_further_pages_of_a_scan_and_of_its_photograph_are_told(prepared, parts, tmp_path, caplog):
    first, second = (Image.fromarray(parts.photograph(seed)) for seed in (9, 8))
    first.save(tmp_path / "0.tif", save_all=True, append_images=[second])
    with tifffile.TiffWriter(tmp_path / "0_xyz.tiff") as file:
        for seed in (9, 8, 7):
            file.write(parts.xyz(parts.depth(seed)), photometric="rgb")
    prepared(modality="both").inspect(tmp_path / "0.tif")
    assert [record.message.split(", of which")[0] for record in caplog.records] == [
        "0.tif has 2 pages",
        "0_xyz.tiff has 3 pages",
    ]


def test_a_scan_of_another_size_than_those_that_train_is_told(prepared, parts, tmp_path, caplog):
    preparation = prepared(modality="3d")
    assert preparation.sides == (64, 64)
    preparation.inspect(parts.save_scan(tmp_path / "0.tiff", parts.xyz(parts.depth(9, size=68))))
    assert not caplog.records
    large = parts.save_scan(tmp_path / "1.tiff", parts.xyz(parts.depth(9, size=128)))
    preparation.inspect(large)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "1.tiff has 128 x 128 pixels, those that train 64 x 64"
    ]
    plain = preparation.plain()
    del plain["sides"]
    caplog.clear()
    ScanPreparation.from_plain(plain).inspect(large)
    assert not caplog.records
    assert replace(preparation, heights=None, sides=None).remarks({}) == []
