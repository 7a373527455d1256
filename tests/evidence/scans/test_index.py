"""Folders of photographs and scans: layouts, pairs, masks, and what is left out with which words."""

import json
import shutil

import numpy as np
import pytest

from endline.errors import EndlineError
from endline.evidence.scans import surface_scan
from endline.evidence.scans.features import ScanPreparation
from endline.evidence.scans.index import index_scans
from endline.evidence.scans.layouts import find_layout
from endline.evidence.scans.roles import partners
from endline.samples import check_samples


@pytest.fixture
def index(parameters):
    def run(folder, group=None, **changes):
        return index_scans(folder, group=group, simulated=False, parameters=parameters(**changes))

    return run


@pytest.fixture
def foam(tmp_path, make_mvtec):
    return make_mvtec(tmp_path / "raw")


def reasons(found) -> dict[str, str]:
    return {row.path: f"{row.reason}: {row.remedy}" for row in found.rejected.itertuples()}


def plain(folder, parts, count=4, faulty=2):
    """A plain folder: `normal/0.png` and `normal/0.tiff` share a name."""
    for number in range(count + faulty):
        place, seed = folder / ("normal" if number < count else "dent"), number + 1 if number < count else -number - 1
        parts.save_photograph(place / f"{number}.png", parts.photograph(seed))
        parts.save_scan(place / f"{number}.tiff", parts.xyz(parts.depth(seed)))
    return folder


def test_mvtec_3d_ad(index, foam):
    found = index(foam)
    samples = check_samples(found.samples)
    assert found.published_split
    assert found.rejected.empty
    assert samples["group"].unique().tolist() == ["foam"]
    assert (samples["split"] == "train").sum() == 6
    row = samples.set_index("path").loc["foam/test/cut/rgb/001.png"]
    assert row["depth_path"] == "foam/test/cut/xyz/001.tiff"
    assert row["mask_path"] == "foam/test/cut/gt/001.png"
    assert row["kind"] == "cut"
    assert row["support"] == "corners"
    assert row["before"] == pytest.approx(30, abs=1)
    assert samples[samples["label"] == 0]["mask_path"].isna().all()
    json.dumps(found.facts)
    assert found.facts["photographs"]
    assert found.facts["scans"]


def test_validation_is_tested_where_there_is_no_other_good_part(index, foam, tmp_path):
    shutil.move(foam / "foam/test/good", foam / "foam/validation/good")
    samples = index(foam).samples
    assert samples[samples["path"].str.contains("validation")]["split"].tolist() == ["test", "test"]


def test_validation_is_passed_over_where_test_has_good_parts(index, foam):
    shutil.copytree(foam / "foam/train/good", foam / "foam/validation/good")
    found = index(foam)
    assert not found.samples["path"].str.contains("validation").any()
    assert found.rejected.empty


def test_one_of_several_categories_or_all(index, foam, make_mvtec, parts):
    make_mvtec(foam, "dowel", train=3, good=1, cut=1)
    with pytest.raises(EndlineError, match="holds 2 categories: choose one of dowel, foam, or all"):
        index(foam)
    assert len(index(foam, "foam").samples) == 10
    # The same files in another category are no copies.
    assert set(index(foam, "all").samples["domain"]) == {"dowel", "foam"}
    with pytest.raises(EndlineError, match="holds no category 'bagel'"):
        index(foam, "bagel")


def test_a_simulated_set_has_a_first_category(foam, make_mvtec, parameters, caplog):
    make_mvtec(foam, "dowel", train=3, good=1, cut=1)
    found = index_scans(foam, group=None, simulated=True, parameters=parameters())
    assert found.samples["group"].unique().tolist() == ["dowel"]
    assert "Of the simulated parts dowel are taken (--params=group=foam, ... or all)" in caplog.text


def eyecandies(folder, parts):
    for place, count in (("train", 4), ("val", 1), ("test_public", 4), ("test_private", 1)):
        for number in range(count):
            fault = {1: "dents", 2: "colors", 3: "both"}.get(number, "") if place == "test_public" else ""
            data, seed = folder / f"Lollipop/{place}/data", (number + 1 + 10 * len(place)) * (-1 if fault else 1)
            depth = np.rint((parts.depth(seed) / 1000 - 0.5) / 0.2 * 65535).astype(np.uint16)
            parts.save_photograph(data / f"{number:02}_depth.png", depth)
            (data / f"{number:02}_info_depth.yaml").write_text("normalization: {min: 0.5, max: 0.7}\n")
            for light in (0, 4):
                parts.save_photograph(data / f"{number:02}_image_{light}.png", parts.photograph(seed))
            if place != "test_private":
                for name in ("bumps", "dents", "colors", "normals"):
                    marked = parts.mask() * (fault in (name, "both") and name in ("dents", "colors"))
                    parts.save_photograph(data / f"{number:02}_{name}_mask.png", marked)
                parts.save_photograph(data / f"{number:02}_mask.png", parts.mask() * bool(fault))
    return folder


def test_eyecandies(index, tmp_path, parts):
    found = index(eyecandies(tmp_path / "raw", parts), direction="depth")
    samples = check_samples(found.samples)
    assert found.facts["reading"]["unit"] == 1000
    assert found.rejected.empty
    assert samples[samples["split"] == "test"]["kind"].tolist() == ["normal", "dents", "colors", "combined"]
    row = samples.iloc[-1]
    assert row["path"] == "Lollipop/test_public/data/03_image_4.png"
    assert row["depth_path"] == "Lollipop/test_public/data/03_depth.png"
    assert row["mask_path"] == "Lollipop/test_public/data/03_mask.png"
    assert found.facts["reading"]["reach"] == pytest.approx(605, abs=2)
    root, files = partners(tmp_path / "raw" / row["depth_path"])
    assert root / files.photograph == tmp_path / "raw" / row["path"]


def test_a_plain_folder_pairs_by_the_name(index, tmp_path, parts):
    samples = index(plain(tmp_path / "raw", parts)).samples
    assert not index(tmp_path / "raw").published_split
    assert samples["kind"].tolist() == ["dent", "dent"] + ["normal"] * 4
    assert samples["depth_path"].tolist()[0] == "dent/4.tiff"


def test_roles_may_be_said_by_folders_or_ends_of_names(tmp_path, parts):
    for name in ("rgb/normal/0.png", "normal/rgb/1.png", "normal/2_rgb.png", "normal/3.jpg"):
        parts.save_photograph(tmp_path / name, parts.photograph(1))
    for name in ("xyz/normal/0.tiff", "normal/depth/1.tiff", "normal/2_xyz.tiff", "normal/3_depth.tiff"):
        parts.save_scan(tmp_path / name, parts.xyz(parts.depth(1)))
    pairs = find_layout(tmp_path, None).pairs
    assert {(pair.photograph, pair.scan) for pair in pairs} == {
        ("rgb/normal/0.png", "xyz/normal/0.tiff"),
        ("normal/rgb/1.png", "normal/depth/1.tiff"),
        ("normal/2_rgb.png", "normal/2_xyz.tiff"),
        ("normal/3.jpg", "normal/3_depth.tiff"),
    }
    assert {pair.kind for pair in pairs} == {"normal"}


def test_masks_of_a_plain_folder(index, tmp_path, parts):
    folder = plain(tmp_path / "raw", parts)
    parts.save_photograph(folder / "masks/dent/4.png", parts.mask())
    parts.save_photograph(folder / "dent/5_mask.png", parts.mask(128))
    parts.save_photograph(folder / "masks/dent/9.png", parts.mask())
    found = index(folder)
    masks = found.samples.set_index("path")["mask_path"]
    assert masks["dent/4.png"] == "masks/dent/4.png"
    assert masks["dent/5.png"] == "dent/5_mask.png"  # of another size, but the same shape: it is resized
    assert list(reasons(found)) == ["masks/dent/9.png"]
    made = np.concatenate(list(surface_scan.masks(found.samples, folder, ScanPreparation())))
    assert made.shape == (6, 256, 256)
    assert made[:2].mean((1, 2)).tolist() == [1 / 64, 1 / 256]


def test_a_mask_of_another_shape_is_refused(index, foam, parts):
    parts.save_photograph(foam / "foam/test/cut/gt/001.png", parts.mask()[:32])
    parts.save_photograph(foam / "foam/test/cut/gt/000.png", parts.mask() * 0)
    found = index(foam)
    assert reasons(found) == {
        "foam/test/cut/gt/000.png": "the mask marks no defect: mark the defect or delete the mask",
        "foam/test/cut/gt/001.png": "the mask has 64 x 32 pixels and its part 64 x 64, of another shape: export the "
        "mask over the whole image",
    }
    assert found.samples["mask_path"].isna().all()


def test_scans_alone(index, tmp_path, parts):
    folder = plain(tmp_path / "raw", parts)
    for photograph in folder.rglob("*.png"):
        photograph.unlink()
    parts.save_photograph(folder / "dent/4_mask.png", parts.mask())
    found = index(folder)
    row = check_samples(found.samples).iloc[0]
    assert row["path"] == row["depth_path"] == "dent/4.tiff"
    assert not found.facts["photographs"]
    assert next(surface_scan.masks(found.samples, folder, ScanPreparation()))[0].any()
    with pytest.raises(EndlineError, match=r"modality=both reads photographs, and the folder holds none: choose"):
        index(folder, modality="both")


def test_photographs_alone(index, tmp_path, parts):
    folder = plain(tmp_path / "raw", parts)
    for scan in folder.rglob("*.tiff"):
        scan.unlink()
    found = index(folder)
    assert found.samples["depth_path"].isna().all()
    assert not found.facts["scans"]


def test_half_a_pair_is_left_out_and_the_half_named(index, foam):
    (foam / "foam/train/good/xyz/000.tiff").unlink()
    (foam / "foam/train/good/rgb/001.png").unlink()
    found = index(foam)
    assert reasons(found) == {
        "foam/train/good/rgb/000.png": "a photograph without its scan: restore the scan under the same name, or read "
        "photographs alone (--params=modality=rgb)",
        "foam/train/good/xyz/001.tiff": "a scan without its photograph: restore the photograph under the same name, or "
        "read scans alone (--params=modality=3d)",
    }
    assert len(index(foam, modality="3d").samples) == 9
    assert len(index(foam, modality="rgb").samples) == 9


def test_no_photograph_of_a_scans_name_is_reported(index, tmp_path, parts):
    folder = plain(tmp_path / "raw", parts)
    for scan in sorted(folder.rglob("*.tiff")):
        scan.rename(scan.with_name(f"s{scan.name}"))
    with pytest.raises(EndlineError, match=r"None of the 6 photographs has the name of one of the 6 scans: name them"):
        index(folder)


def test_scans_that_cannot_be_used_are_left_out_with_a_reason(index, foam, parts):
    place, depth = foam / "foam/train/good/xyz", parts.depth(1)
    one = np.full_like(depth, np.nan)
    one[3, 4] = 600
    broken = depth.copy()
    broken[5:9, 5:9] = np.nan
    broken[40, 40:44] = np.inf
    parts.save_scan(place / "000.tiff", parts.xyz(depth * np.nan))
    parts.save_scan(place / "001.tiff", parts.xyz(one))
    parts.save_scan(place / "002.tiff", parts.xyz(np.full_like(depth, 600)))
    parts.save_scan(place / "003.tiff", parts.xyz(broken))
    content = (place / "004.tiff").read_bytes()
    (place / "004.tiff").write_bytes(content[: len(content) // 2])
    found = index(foam)
    said = {path.rsplit("/", 1)[1]: reason for path, reason in reasons(found).items()}
    assert said == {
        "000.tiff": "none of its 4096 pixels has a depth, all are 0 or NaN: scan the part again",
        "001.tiff": "1 of its 4096 pixels has a depth, too few to see the part: scan the part again, with more light "
        "or less gloss",
        "002.tiff": "all its pixels have the same depth, 600 mm: check the sensor and scan the part again",
        "004.tiff": "the scan is damaged or cut short and cannot be decoded: copy it again from its source",
    }
    row = found.samples.set_index("path").loc["foam/train/good/rgb/003.png"]  # NaN and infinite count as missing
    assert row["missing"] == pytest.approx(20 / 4096)


@pytest.mark.parametrize(("factor", "said"), [(0.001, "0.001 times those of"), (100, "100 times those of")])
def test_a_scan_in_another_unit_is_refused(index, foam, parts, factor, said):
    scan = parts.xyz(parts.depth(1)) * factor
    parts.save_scan(foam / "foam/test/good/xyz/000.tiff", scan)
    (reason,) = reasons(index(foam)).values()
    assert reason.startswith(f"its depths are {said}")
    assert reason.endswith(
        " against 605 mm: export it in the unit of the others (one may be in metres, another in millimetres)"
    )


def test_an_inverted_scan_is_refused(index, foam, parts):
    parts.save_scan(foam / "foam/test/good/xyz/000.tiff", parts.xyz(1200 - parts.depth(1)))
    (said,) = reasons(index(foam)).values()
    assert said.startswith("its part lies 30 mm behind its support, and those of the others 30 mm before it: its depth")
    assert said.endswith("export the distance from the sensor, as of the others")


def test_a_set_of_heights_is_read_as_heights(index, tmp_path, parts):
    folder = plain(tmp_path / "raw", parts)
    for number, scan in enumerate(sorted(folder.rglob("*.tiff"))):
        parts.save_scan(scan, parts.xyz(700 - parts.depth(number + 1)))
    found = index(folder)
    assert found.facts["reading"]["heights"]
    assert (found.samples["before"] > 29).all()


def test_a_photograph_of_another_part_is_refused_by_its_sides(index, foam, parts):
    parts.save_photograph(foam / "foam/train/good/rgb/000.png", parts.photograph(1)[:48])
    assert reasons(index(foam)) == {
        "foam/train/good/rgb/000.png": "the photograph has 64 x 48 pixels and its scan 64 x 64: their sides are as "
        "1.33 and 1.00 to 1: take the scan of this part, and crop both to the same field"
    }


def test_other_sizes_of_the_same_shape_are_laid_over_each_other(index, foam, parts):
    parts.save_photograph(foam / "foam/train/good/rgb/000.png", parts.photograph(1, 128))
    assert index(foam).rejected.empty


def test_copies_and_second_files_are_left_out(index, tmp_path, parts):
    folder = plain(tmp_path / "raw", parts)
    for suffix in (".png", ".tiff"):
        shutil.copy(folder / f"normal/0{suffix}", folder / f"normal/copy{suffix}")
    parts.save_photograph(folder / "normal/1.jpg", parts.photograph(1))
    found = index(folder)
    assert "the same image as normal/0.png" in reasons(found)["normal/copy.png"]
    assert "a second file of the same name as normal/1.jpg" in reasons(found)["normal/1.png"]


def test_a_folder_of_something_else_is_reported(index, tmp_path, parts):
    with pytest.raises(EndlineError, match="There is no folder"):
        index(tmp_path / "nowhere")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.stl").touch()
    with pytest.raises(
        EndlineError, match=r"holds no photograph and no scan, but 1 file that is not read here \(.stl\)"
    ):
        index(tmp_path / "raw")
    parts.save_scan(tmp_path / "raw/odd/0.tiff", parts.xyz(parts.depth(1)))
    with pytest.raises(EndlineError, match=r"has no folder 'normal', and not the layout of MVTec 3D-AD"):
        index(tmp_path / "raw")


def test_without_a_good_part_nothing_is_learned(index, foam):
    shutil.rmtree(foam / "foam/train/good")
    (foam / "foam/train/good").mkdir()
    with pytest.raises(EndlineError, match=r"train/good holds no photograph or scan that can be used"):
        index(foam)


def test_values_that_stand_for_not_measured_are_told_once(index, parts, tmp_path, caplog):
    for seed in range(4):
        xyz = parts.xyz(parts.depth(seed))
        xyz[10:14, 10:14, 2] = -9999 if seed else 0
        parts.save_scan(tmp_path / f"raw/normal/{seed}.tiff", xyz)
    samples = index(tmp_path / "raw").samples
    assert samples["missing"].tolist() == [16 / 4096] * 4
    said = "In normal/1.tiff and 2 more scans the value -9999, which many pixels share far from all the rest, counts as"
    assert caplog.text.count("counts as not measured") == caplog.text.count(said) == 1
    assert samples["nearest"].min() > -5
