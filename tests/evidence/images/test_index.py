"""The index of an image folder: three layouts, masks, and every bad file a row with reason and remedy."""

import hashlib
import logging
import os
import shutil
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from endline.array_store import ArrayStore
from endline.errors import EndlineError
from endline.evaluation.controls import CONTROL, control_auroc
from endline.evidence.images.features import ImagePreparation
from endline.evidence.images.index import index_images
from endline.evidence.images.layouts import chosen_group
from endline.samples import check_samples
from endline.splits import SplitRule, assign_split, divided

DATA = Path(os.environ.get("ENDLINE_DATA") or Path(__file__).parents[3] / "../shared/data")
NUMBERS = count()  # no two photographs of these tests are alike


def photograph(path: Path, size: tuple[int, int] = (12, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(next(NUMBERS)).integers(0, 256, (*size, 3), dtype="u1")
    Image.fromarray(pixels).save(path)
    return path


def mask(path: Path, size: tuple[int, int] = (12, 16), value: int = 255) -> Path:
    """A mask whose upper half has a value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, "u1")
    pixels[: size[0] // 2] = value
    Image.fromarray(pixels).save(path)
    return path


def category(folder: Path, *, trained: int = 5) -> Path:
    """A category of MVTec AD: so many and two good ones, three scratches, of which the last has no mask, one hole."""
    for number in range(trained):
        photograph(folder / f"train/good/{number:03d}.png")
    for kind, tested in (("good", 2), ("scratch", 3), ("hole", 1)):
        for number in range(tested):
            photograph(folder / f"test/{kind}/{number:03d}.png", size=(10, 20))
            if kind != "good" and number < 2:
                mask(folder / f"ground_truth/{kind}/{number:03d}_mask.png", size=(10, 20))
    return folder


def plain(folder: Path) -> Path:
    for number in range(4):
        photograph(folder / f"normal/{number}.jpg")
    photograph(folder / "abnormal/0.jpg")
    photograph(folder / "abnormal/1.jpg")
    mask(folder / "masks/abnormal/1.png", size=(24, 32))
    return folder


def tiles(folder: Path) -> Path:
    for kind, several in (("Free", 4), ("Blowhole", 2), ("Crack", 1)):
        for number in range(several):
            photograph(folder / f"MT_{kind}/Imgs/exp{number}.jpg")
            mask(folder / f"MT_{kind}/Imgs/exp{number}.png", value=0 if kind == "Free" else 255)
    return folder


def index(folder: Path, group: str | None = None, **options):
    return index_images(folder, group=group, simulated=False, **options)


def refused(folder: Path, group: str | None = None, **options) -> str:
    with pytest.raises(EndlineError) as caught:
        index(folder, group, **options)
    return str(caught.value)


def rejections(folder: Path) -> list[list[str]]:
    return index(folder).rejected.to_numpy().tolist()


def column(samples, name: str) -> dict[str, object]:
    """Values of a column by path, None where there is none."""
    return {path: value for path, value in samples.set_index("path")[name].astype(object).items() if value == value}


def test_a_category_of_mvtec(tmp_path):
    found = index(category(tmp_path / "screw"))
    samples = found.samples
    assert found.published_split
    assert found.rejected.empty
    assert samples["sample_id"].tolist() == samples["path"].tolist()
    assert set(samples["group"]) == {"screw"}
    assert samples["path"][samples["split"] == "train"].tolist() == [f"train/good/{n:03d}.png" for n in range(5)]
    tested = samples[samples["split"] == "test"].set_index("path")
    assert tested["kind"].to_dict() == {
        "test/good/000.png": "normal",
        "test/good/001.png": "normal",
        "test/hole/000.png": "hole",
        "test/scratch/000.png": "scratch",
        "test/scratch/001.png": "scratch",
        "test/scratch/002.png": "scratch",
    }
    assert tested["label"].tolist() == [0, 0, 1, 1, 1, 1]
    assert tested["mask_path"].dropna().to_dict() == {
        "test/hole/000.png": "ground_truth/hole/000_mask.png",
        "test/scratch/000.png": "ground_truth/scratch/000_mask.png",
        "test/scratch/001.png": "ground_truth/scratch/001_mask.png",
    }
    assert samples[["domain", "part"]].isna().all(axis=None)
    assert not samples["simulated"].any()
    assert samples["unit"].tolist() == samples["path"].tolist()
    check_samples(samples)


def test_size_and_digest_are_those_of_the_file(tmp_path):
    folder = category(tmp_path / "screw")
    exif = Image.Exif()
    exif[0x112] = 6
    Image.open(folder / "train/good/000.png").save(folder / "train/good/000.png", exif=exif)
    rows = index(folder).samples.set_index("path")
    assert rows.loc["train/good/000.png", ["height", "width"]].tolist() == [16, 12]  # upright
    assert rows.loc["test/hole/000.png", ["height", "width"]].tolist() == [10, 20]
    for path, row in rows.iterrows():
        assert row["digest"] == hashlib.sha256((folder / path).read_bytes()).hexdigest()


def test_simulated_photographs_are_marked(tmp_path):
    found = index_images(category(tmp_path / "screw"), group=None, simulated=True)
    assert found.samples["simulated"].all()


@pytest.mark.parametrize("group", [None, "screw"])
def test_the_only_category_need_not_be_named(tmp_path, group):
    category(tmp_path / "screw")
    (tmp_path / "license.txt").write_text("x")
    (tmp_path / "papers").mkdir()
    samples = index(tmp_path, group).samples
    assert set(samples["group"]) == {"screw"}
    assert samples["path"].str.startswith("screw/").all()
    assert samples["mask_path"].dropna().str.startswith("screw/ground_truth/").all()
    assert len(index(tmp_path / "screw", group).samples) == len(samples)


def test_a_category_is_chosen_by_its_name(tmp_path):
    for name in ("cable", "screw"):
        category(tmp_path / name)
    samples = index(tmp_path, "screw").samples
    assert set(samples["group"]) == {"screw"}
    assert samples["path"].str.startswith("screw/").all()
    assert samples["domain"].isna().all()


def test_all_categories_at_once_are_told_apart_by_the_domain(tmp_path):
    for name in ("cable", "screw"):
        category(tmp_path / name)
    samples = index(tmp_path, "all").samples
    assert set(samples["group"]) == {"all"}
    assert len(samples) == 22
    assert (samples["domain"] == samples["path"].str.split("/").str[0]).all()
    check_samples(samples)


def test_an_unknown_category_is_told_with_the_choices(tmp_path):
    for name in ("cable", "screw"):
        category(tmp_path / name)
    choices = "choose one of cable, screw, or all (--params=group=cable)."
    assert refused(tmp_path, "bolt") == f"{tmp_path} holds no category 'bolt': {choices}"
    assert refused(tmp_path) == f"{tmp_path} holds 2 categories: {choices}"
    folder = tmp_path / "cable"
    assert refused(folder, "screw") == (
        f"{folder} holds no category 'screw': choose one of cable, or all (--params=group=cable)."
    )


@pytest.mark.parametrize(("group", "name"), [(7, "7"), (" screw ", "screw"), (None, None)])
def test_a_group_may_be_a_number(group, name):
    assert chosen_group(group) == name


@pytest.mark.parametrize("group", ["", " "])
def test_an_empty_group_is_a_sentence(group):
    with pytest.raises(EndlineError) as caught:
        chosen_group(group)
    assert str(caught.value) == "group= is empty: name a category (--params=group=<name>), or leave it out."


def test_a_path_with_two_strokes_is_the_same_path(tmp_path):
    photograph(plain(tmp_path / "cubes") / "abnormal/a b/ dent#1;/0.png")
    found = index(Path(f"{tmp_path}//cubes/./"))
    assert set(found.samples["group"]) == {"cubes"}
    assert column(found.samples, "kind")["abnormal/a b/ dent#1;/0.png"] == "a b"


@pytest.mark.parametrize("linked", ["screw", "screw/train", "screw/train/good", "screw/test", "screw/test/scratch"])
def test_folders_that_are_links_are_followed(tmp_path, linked):
    category(tmp_path / "elsewhere/screw")
    (tmp_path / "raw").mkdir()
    if linked != "screw":
        shutil.copytree(tmp_path / "elsewhere/screw", tmp_path / "raw/screw")
        shutil.rmtree(tmp_path / "raw" / linked)
    (tmp_path / "raw" / linked).symlink_to(tmp_path / "elsewhere" / linked)
    samples = index(tmp_path / "raw").samples
    expected = index(tmp_path / "elsewhere").samples
    assert samples[["path", "kind", "split", "mask_path"]].equals(expected[["path", "kind", "split", "mask_path"]])
    assert len(samples) == 11


@pytest.mark.parametrize("bad", [False, True])
def test_a_category_without_normal_training_images_is_told(tmp_path, bad):
    folder = category(tmp_path / "screw", trained=0)
    category(tmp_path / "cable")
    if bad:
        (folder / "train/good").mkdir(parents=True)
        (folder / "train/good/000.png").touch()
    sentence = (
        f"{folder / 'train/good'} holds no image that can be used, and endline learns from good parts only: "
        "put photographs of good parts there."
    )
    left_out = "1 file was left out; {}train/good/000.png: the file is empty (0 bytes) (take the photograph again). "
    assert refused(folder) == (left_out.format("") if bad else "") + sentence
    assert refused(tmp_path, "screw") == (left_out.format("screw/") if bad else "") + sentence
    assert refused(tmp_path, "all") == (left_out.format("screw/") if bad else "") + sentence


def test_magnetic_tiles(tmp_path):
    samples = index(tiles(tmp_path)).samples
    assert set(samples["group"]) == {"magnetic_tile"}
    assert samples["kind"].value_counts().to_dict() == {"normal": 4, "blowhole": 2, "crack": 1}
    assert samples["label"].tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert column(samples, "mask_path") == {
        f"MT_{name}.jpg": f"MT_{name}.png" for name in ("Blowhole/Imgs/exp0", "Blowhole/Imgs/exp1", "Crack/Imgs/exp0")
    }
    assert set(index(tmp_path, "line_3").samples["group"]) == {"line_3"}
    assert set(index(tmp_path, "all").samples["group"]) == {"magnetic_tile"}
    assert index(tmp_path, "all").samples["domain"].isna().all()


def test_tiles_without_free_ones_are_told(tmp_path):
    tiles(tmp_path)
    (tmp_path / "MT_Free").rename(tmp_path.parent / "elsewhere")
    assert refused(tmp_path).startswith(f"{tmp_path / 'MT_Free/Imgs'} holds no image that can be used, and endline")


def test_a_plain_folder(tmp_path):
    samples = index(plain(tmp_path / "cubes")).samples
    assert set(samples["group"]) == {"cubes"}
    assert samples["kind"].tolist() == ["abnormal"] * 2 + ["normal"] * 4
    assert column(samples, "mask_path") == {"abnormal/1.jpg": "masks/abnormal/1.png"}
    assert samples["domain"].isna().all()
    assert set(index(tmp_path / "cubes", "line_3").samples["group"]) == {"line_3"}


@pytest.mark.parametrize("word", ["normal", "good", "OK"])
def test_normal_images_alone_are_a_normal_case(tmp_path, word):
    for number in range(4):
        photograph(tmp_path / f"{word}/{number}.png")
    found = index(tmp_path)
    assert found.samples["label"].tolist() == [0] * 4
    assert set(found.samples["kind"]) == {"normal"}
    check_samples(assign_split(found.samples, SplitRule(), seed=0))


def test_other_folders_and_sub_folders_of_abnormal_are_kinds(tmp_path):
    plain(tmp_path)
    for name in ("abnormal/dent/a", "abnormal/dent/deep/b", "scratch/c", "scratch/deep/d", "normal/scratch/e"):
        photograph(tmp_path / f"{name}.png")
    mask(tmp_path / "masks/abnormal/dent/a.png")
    samples = index(tmp_path).samples
    kinds = column(samples, "kind")
    assert {path: kinds[path] for path in kinds if path.endswith(".png")} == {
        "abnormal/dent/a.png": "dent",
        "abnormal/dent/deep/b.png": "dent",
        "normal/scratch/e.png": "normal",
        "scratch/c.png": "scratch",
        "scratch/deep/d.png": "scratch",
    }
    assert column(samples, "mask_path")["abnormal/dent/a.png"] == "masks/abnormal/dent/a.png"


def test_nothing_below_abnormal_is_normal(tmp_path):
    photograph(plain(tmp_path) / "abnormal/good/0.png")
    row = index(tmp_path).samples.set_index("path").loc["abnormal/good/0.png"]
    assert (row["label"], row["kind"]) == (1, "abnormal")


def test_photographs_beside_the_folders_are_kept_unknown(tmp_path, caplog):
    photograph(plain(tmp_path) / "new.png")
    mask(tmp_path / "masks/new.png")
    with caplog.at_level(logging.WARNING, "endline"):
        samples = index(tmp_path).samples
    unknown = samples[samples["label"].isna()]
    assert unknown["path"].tolist() == ["new.png"]
    assert unknown[["kind", "mask_path"]].isna().all(axis=None)
    assert f"1 images have no label in {tmp_path}: they are scored, but count in no figure." in caplog.messages


@pytest.mark.parametrize("name", ["a.PNG", "a.jpeg", "a.tif", "a.bmp", "a.webp", "a.ppm"])
def test_every_ending_counts(tmp_path, name):
    photograph(plain(tmp_path) / "normal" / name)
    assert f"normal/{name}" in index(tmp_path).samples["path"].tolist()


def test_hidden_files_folders_and_other_files_are_no_images(tmp_path):
    number = len(index(plain(tmp_path)).samples)
    (tmp_path / "normal/._0.jpg").write_bytes(b"written by a Mac")
    (tmp_path / "normal/notes.txt").write_text("x")
    (tmp_path / "normal/simulation.json").write_text("{}")
    photograph(tmp_path / ".thumbnails/0.png")
    assert len(index(tmp_path).samples) == number
    assert index(tmp_path).rejected.empty


def test_what_else_lies_in_the_folder_is_a_row(tmp_path):
    plain(tmp_path)
    (tmp_path / "normal/folder.png").mkdir()
    (tmp_path / "normal/lost.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "normal/pipe.png")
    for name in ("normal/a.gif", "normal/b.bmp2", "labels.csv", "__MACOSX/0.png", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = index(tmp_path)
    unread = "export it as PNG, JPEG, TIFF, BMP, WebP or PGM, or take it away"
    assert found.rejected.to_numpy().tolist() == [
        ["normal/folder.png", "a folder, named like a file of data", "rename it"],
        ["normal/lost.png", "a link to something that is not there", "restore what it leads to, or delete the link"],
        ["normal/pipe.png", "neither a file nor a folder, but a pipe, socket or device", "take it away"],
        [
            "labels.csv",
            "no table of labels is read here",
            "put the files into one folder a kind, or delete the table",
        ],
        ["normal/a.gif", "the ending '.gif' is not one that is read here", unread],
        ["normal/b.bmp2", "the ending '.bmp2' is not one that is read here", unread],
    ]


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        (category, "validation/good/000.png"),
        (category, "train/scratch/000.png"),
        (category, "000.png"),
        (tiles, "MT_Crack/exp0.png"),
        (tiles, "new.jpg"),
    ],
)
def test_images_outside_the_folders_of_a_layout_are_rows(tmp_path, layout, name):
    photograph(layout(tmp_path / "parts") / name)
    assert rejections(tmp_path / "parts") == [
        [name, "it lies outside the folders that are read", "move it into one of them, or take it away"]
    ]


def test_good_ones_of_the_validation_are_tested_where_the_test_has_none(tmp_path):
    folder = category(tmp_path / "juice")
    shutil.rmtree(folder / "test/good")
    photograph(folder / "validation/good/000.png")
    found = index(folder)
    tested = found.samples[(found.samples["split"] == "test") & (found.samples["label"] == 0)]
    assert tested["path"].tolist() == ["validation/good/000.png"]
    assert found.rejected.empty


def test_other_categories_are_no_rows(tmp_path):
    for name in ("cable", "screw"):
        category(tmp_path / name)
    photograph(tmp_path / "cable/validation/0.png")
    assert index(tmp_path, "screw").rejected.empty
    assert index(tmp_path, "all").rejected["path"].tolist() == ["cable/validation/0.png"]


def test_photographs_in_linked_folders_are_read(tmp_path):
    folder, elsewhere = plain(tmp_path / "raw"), tmp_path / "elsewhere"
    for number in range(2):
        photograph(elsewhere / f"{number}.png")
    (folder / "scratch").symlink_to(elsewhere)
    (folder / "normal/more").symlink_to(photograph(tmp_path / "more/9.png").parent)
    found = index(folder)
    kinds = column(found.samples, "kind")
    assert [kinds["scratch/0.png"], kinds["scratch/1.png"], kinds["normal/more/9.png"]] == ["scratch"] * 2 + ["normal"]
    assert found.rejected.empty


def test_a_name_that_is_no_utf8_is_a_row_that_parquet_holds(tmp_path):
    photograph(plain(tmp_path / "raw") / "normal" / os.fsdecode(b"M\xfcll.png"))
    found = index(tmp_path / "raw")
    assert found.rejected.to_numpy().tolist() == [["normal/M\\xfcll.png", "its name is no UTF-8", "rename it"]]
    found.samples.to_parquet(tmp_path / "samples.parquet")


@pytest.mark.parametrize("word", ["healthy", "i.O.", "Gut", "pass", "in_ordnung"])
def test_folders_of_good_parts_in_other_words(tmp_path, word):
    (plain(tmp_path) / "normal").rename(tmp_path / word)
    assert index(tmp_path).samples["label"].tolist().count(0) == 4


def test_good_ones_of_a_test_folder_in_other_words(tmp_path):
    folder = category(tmp_path / "screw")
    (folder / "test/good").rename(folder / "test/ok")
    assert index(folder).samples["label"].tolist().count(0) == 5 + 2


@pytest.mark.parametrize("name", ["normal_test", "test", "nromal", "line_3/good"])
@pytest.mark.parametrize("layout", [plain, category])
def test_doubtful_folders_are_told_and_can_be_mapped(tmp_path, name, layout):
    folder = layout(tmp_path / "raw")
    at = f"test/{name}" if layout is category else name
    photograph(folder / at / "0.png")
    said = refused(folder)
    assert said.startswith(
        f"{folder}, by the names of its folders, labels with words that may mean a fault or not: '{name}' (1). Say what"
    )
    kinds = index(folder, labels={name: "normal"}).samples.set_index("path")["kind"]
    assert kinds[f"{at}/0.png"] == "normal"
    kinds = index(folder, labels={name: "scratch"}).samples.set_index("path")["kind"]
    assert kinds[f"{at}/0.png"] == "scratch"


def test_folders_of_unknown_parts_are_no_faults(tmp_path):
    photograph(plain(tmp_path) / "unlabelled/0.png")
    row = index(tmp_path).samples.set_index("path").loc["unlabelled/0.png"]
    assert row[["label", "kind"]].isna().all()


def test_a_folder_of_masks_may_be_written_large(tmp_path):
    (plain(tmp_path) / "masks").rename(tmp_path / "Masks")
    found = index(tmp_path)
    assert column(found.samples, "mask_path") == {"abnormal/1.jpg": "Masks/abnormal/1.png"}
    assert sorted(set(found.samples["kind"])) == ["abnormal", "normal"]


def test_a_number_sign_in_a_name_keeps_photographs_apart(tmp_path):
    for number in range(4):
        photograph(tmp_path / f"normal/part#{number}.png")
    samples = assign_split(index(tmp_path).samples, SplitRule(train=3), seed=0)
    assert samples["unit"].nunique() == 4
    assert (samples["split"] == "train").sum() == 3


def test_images_of_other_formats_alone_are_named(tmp_path):
    (tmp_path / "a.gif").touch()
    assert refused(tmp_path).startswith(
        f"{tmp_path} holds no image, but 1 file that is not read here (.gif): put photo"
    )


BAD = {
    "empty": (b"", "the file is empty (0 bytes)", "take the photograph again"),
    "text": (
        b"this is a letter\n" * 20,
        "no image file that can be read",
        "export it as PNG, JPEG, TIFF, BMP, WebP or PGM",
    ),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("layout", [plain, category])
def test_a_bad_file_is_a_row_and_a_warning(tmp_path, caplog, bad, layout):
    folder = layout(tmp_path / "parts")
    name = next(path for path in index(folder).samples["path"] if path.endswith(("good/003.png", "normal/3.jpg")))
    content, reason, remedy = BAD[bad]
    (folder / name).write_bytes(content)
    with caplog.at_level(logging.WARNING, "endline"):
        found = index(folder)
    assert found.rejected.to_numpy().tolist() == [[name, reason, remedy]]
    assert found.rejected.columns.tolist() == ["path", "reason", "remedy"]
    assert name not in found.samples["path"].tolist()
    assert caplog.messages == [f"Left out {name}: {reason}; {remedy}."]


def test_corrupt_and_too_small_files_are_found_by_reading_them(tmp_path):
    plain(tmp_path)
    content = (tmp_path / "normal/0.jpg").read_bytes()
    (tmp_path / "normal/0.jpg").write_bytes(content[: len(content) // 2])
    photograph(tmp_path / "normal/1.jpg", size=(1, 1))
    assert rejections(tmp_path) == [
        [
            "normal/0.jpg",
            "the image is damaged or cut short and cannot be decoded",
            "copy it again from its source",
        ],
        [
            "normal/1.jpg",
            "1 x 1 pixels are too few, at least 8 x 8 are needed",
            "take the photograph at a higher resolution",
        ],
    ]


def test_transparency_that_is_ignored_is_said(tmp_path, caplog):
    plain(tmp_path)
    Image.open(tmp_path / "normal/0.jpg").convert("RGBA").save(tmp_path / "normal/opaque.png")
    (tmp_path / "normal/0.jpg").unlink()
    layer = np.random.default_rng(3).integers(0, 256, (12, 16, 4), dtype="u1")
    layer[..., 3] = 0
    Image.fromarray(layer).save(tmp_path / "normal/hidden.png")
    with caplog.at_level(logging.WARNING, "endline"):
        index(tmp_path)
    assert caplog.messages == [
        "Transparency is ignored, every pixel has its colour as stored: 1 images (normal/hidden.png) have transparent "
        "ones."
    ]


def test_a_photograph_beyond_the_limit_is_a_row_with_the_remedy(tmp_path):
    photograph(plain(tmp_path) / "normal/large.png", size=(1100, 1000))
    found = index(tmp_path, megapixels=1)
    assert found.rejected.to_numpy().tolist() == [
        [
            "normal/large.png",
            "the image has 1.1 megapixels, more than the limit of 1",
            "crop it, scale it down, or raise the limit (--params=max_megapixels=2)",
        ]
    ]
    assert index(tmp_path, megapixels=2).rejected.empty


def test_half_a_jpeg_is_a_row_too(tmp_path):
    large = photograph(plain(tmp_path) / "normal/large.jpg", size=(200, 300))
    content = large.read_bytes()
    large.write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    assert rejections(tmp_path)[0][:2] == [
        "normal/large.jpg",
        "the image is damaged or cut short and cannot be decoded",
    ]


def test_an_unreadable_file_is_a_row_too(tmp_path, monkeypatch):
    def denied(self, *arguments):
        if self.name == "0.jpg" and self.parent.name == "normal":
            raise PermissionError(13, "Permission denied")
        return original(self, *arguments)

    original = Path.open
    plain(tmp_path)
    monkeypatch.setattr(Path, "open", denied)
    assert rejections(tmp_path) == [
        ["normal/0.jpg", "it cannot be read (Permission denied)", "check the file's rights and the disk"]
    ]


def test_a_photograph_that_is_both_normal_and_faulty_is_left_out_wholly(tmp_path):
    plain(tmp_path)
    (tmp_path / "normal/copy.jpg").write_bytes((tmp_path / "abnormal/0.jpg").read_bytes())
    contradiction = "the same image as {}, and one is {}, the other {}"
    remedy = "keep the one with the right label"
    found = index(tmp_path)
    assert found.rejected.to_numpy().tolist() == [
        ["abnormal/0.jpg", contradiction.format("normal/copy.jpg", "faulty", "normal"), remedy],
        ["normal/copy.jpg", contradiction.format("abnormal/0.jpg", "normal", "faulty"), remedy],
    ]
    assert not {"abnormal/0.jpg", "normal/copy.jpg"} & set(found.samples["path"])


def test_the_same_pixels_in_another_file_are_the_same_photograph(tmp_path):
    photograph(plain(tmp_path) / "normal/a.png")
    for name in ("normal/b.bmp", "abnormal/c.tif"):
        Image.open(tmp_path / "normal/a.png").save(tmp_path / name)
    found = index(tmp_path)
    assert found.rejected["path"].tolist() == ["abnormal/c.tif", "normal/a.png", "normal/b.bmp"]
    assert found.rejected["reason"].str.contains("and one is ").all()
    (tmp_path / "abnormal/c.tif").unlink()
    assert rejections(tmp_path) == [
        ["normal/b.bmp", "the same image as normal/a.png", "keep one of them, with the right label"]
    ]


def test_grey_and_its_three_equal_channels_are_the_same_photograph(tmp_path):
    grey = np.random.default_rng(5).integers(0, 256, (12, 16), dtype="u1")
    plain(tmp_path)
    Image.fromarray(grey).save(tmp_path / "normal/a.png")
    Image.fromarray(grey).convert("RGB").save(tmp_path / "normal/b.png")
    assert [path for path, _, _ in rejections(tmp_path)] == ["normal/b.png"]


def test_of_copies_the_one_with_a_label_and_the_one_that_trains_stay(tmp_path):
    plain(tmp_path)
    (tmp_path / "a.jpg").write_bytes((tmp_path / "normal/0.jpg").read_bytes())
    assert [path for path, _, _ in rejections(tmp_path)] == ["a.jpg"]


def test_a_good_photograph_that_is_tested_as_faulty_trains_no_more(tmp_path):
    folder = category(tmp_path / "screw")
    (folder / "test/hole/000.png").write_bytes((folder / "train/good/001.png").read_bytes())
    mask(folder / "ground_truth/hole/000_mask.png")
    found = index(folder)
    assert found.rejected["path"].tolist()[:2] == ["train/good/001.png", "test/hole/000.png"]
    assert (found.samples["split"] == "train").sum() == 4


def test_a_training_set_of_one_image_in_copies_is_one_image(tmp_path):
    folder = category(tmp_path / "screw", trained=1)
    for number in range(1, 5):
        (folder / f"train/good/{number:03d}.png").write_bytes((folder / "train/good/000.png").read_bytes())
    found = index(folder)
    assert (found.samples["split"] == "train").sum() == 1
    assert set(found.rejected["reason"]) == {"the same image as train/good/000.png"}
    assert len(found.rejected) == 4


def test_a_test_image_that_trains_too_is_kept_for_training_alone(tmp_path):
    folder = category(tmp_path / "screw")
    (folder / "test/good/000.png").write_bytes((folder / "train/good/000.png").read_bytes())
    assert rejections(folder) == [
        ["test/good/000.png", "the same image as train/good/000.png", "keep one of them, with the right label"]
    ]


def test_a_photograph_may_be_that_of_another_category(tmp_path):
    for name in ("cable", "screw"):
        category(tmp_path / name)
    for path in ("test/good/000.png", "train/good/000.png"):
        (tmp_path / "screw" / path).write_bytes((tmp_path / "cable" / path).read_bytes())
    assert index(tmp_path, "all").rejected.empty


ORPHAN = [
    "a mask without an image",
    "restore its image, delete the mask, or rename its folder if it holds photographs",
]


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        (category, "ground_truth/hole/007_mask.png"),
        (category, "ground_truth/dent/000_mask.png"),
        (plain, "masks/abnormal/7.png"),
        (tiles, "MT_Crack/Imgs/exp7.png"),
    ],
)
def test_a_mask_without_an_image_is_told(tmp_path, layout, name):
    mask(layout(tmp_path / "parts") / name)
    assert rejections(tmp_path / "parts") == [[name, *ORPHAN]]


def scratched(folder: Path) -> Path:
    for name in ("normal/0", "normal/1", "normal/2", "scratch/0", "scratch/1", "dent/1", "dent/7"):
        photograph(folder / f"{name}.png")
    return folder


@pytest.mark.parametrize(
    "top", ["masks", "mask", "Masks", "MASK", "ground_truth", "Ground Truth", "groundtruth", "gt", "segmentation"]
)
@pytest.mark.parametrize("suffix", ["", "_mask", "_Mask", "-mask"])
def test_masks_are_found_by_any_name_of_their_folder(tmp_path, top, suffix):
    for name in ("scratch/0", "scratch/1", "dent/1"):
        mask(scratched(tmp_path) / f"{top}/{name}{suffix}.bmp")
    found = index(tmp_path)
    assert found.rejected.empty
    assert (found.samples["label"] == 1).sum() == 4
    assert column(found.samples, "mask_path") == {
        f"{name}.png": f"{top}/{name}{suffix}.bmp" for name in ("scratch/0", "scratch/1", "dent/1")
    }


@pytest.mark.parametrize("name", ["scratch/masks/0.png", "scratch/0_mask.png", "mask/0.png", "mask/0_mask.png"])
def test_masks_inside_the_folder_of_a_kind_beside_their_images_or_in_one_flat_folder(tmp_path, name):
    mask(scratched(tmp_path) / name)
    found = index(tmp_path)
    assert found.rejected.empty
    assert column(found.samples, "mask_path") == {"scratch/0.png": name}
    assert len(found.samples) == 7


@pytest.mark.parametrize(
    "name",
    [
        *(
            f"scratch/0{end}.png"
            for end in ("_label", "_labels", "_seg", "_annotation", "_masks", "_GT", ".mask", "-seg")
        ),
        *(f"scratch/{start}_0.png" for start in ("gt", "mask", "label")),
        *("labels/scratch/0.png", "Label/scratch/0_label.png", "scratch_mask/0.png", "scratch_gt/0.png"),
    ],
)
def test_masks_of_other_names_are_found_where_their_image_is_there(tmp_path, name, caplog):
    caplog.set_level(logging.INFO, "endline")
    mask(scratched(tmp_path) / name)
    found = index(tmp_path)
    assert found.rejected.empty
    assert len(found.samples) == 7
    assert column(found.samples, "mask_path") == {"scratch/0.png": name}
    assert f"Masks by their names, and no photographs: 1 files, {name} first." in caplog.messages


@pytest.mark.parametrize(
    "name", ["labels/0", "label/9", "seg/scratch/9", "scratch/9_label", "bent_label/0", "dent/gt_9"]
)
def test_a_kind_or_an_image_named_as_a_mask_is_not_lost_without_its_image(tmp_path, name):
    photograph(scratched(tmp_path) / f"{name}.png")
    found = index(tmp_path)
    assert found.rejected.empty
    assert f"{name}.png" in found.samples["path"].tolist()
    assert len(found.samples) == 8


def test_a_mask_that_could_be_of_two_images_or_is_a_second_one_is_told(tmp_path):
    scratched(tmp_path)
    for name in ("mask/1.png", "mask/dent/7.png", "mask/7_mask.png"):
        mask(tmp_path / name)
    found = index(tmp_path)
    assert sorted(found.rejected.to_numpy().tolist()) == [
        [
            "mask/1.png",
            "a mask of dent/1.png or of scratch/1.png: both have its name",
            "put it into a folder named as that of its image",
        ],
        ["mask/7_mask.png", "dent/7.png has a mask already, mask/dent/7.png", "keep one of them"],
    ]
    assert column(found.samples, "mask_path") == {"dent/7.png": "mask/dent/7.png"}


def test_photographs_in_a_folder_named_mask_are_told_and_not_laid_over_good_ones(tmp_path):
    """A kind of defect may be called so; no photograph may vanish for it without a word."""
    for number in range(3):
        photograph(tmp_path / f"normal/{number}.png")
        photograph(tmp_path / f"mask/{number}.png")
    assert rejections(tmp_path) == [[f"mask/{number}.png", *ORPHAN] for number in range(3)]


@pytest.mark.parametrize("name", ["masks/hole/000.png", "Ground_Truth/hole/000_mask.tif", "test/hole/000_mask.png"])
def test_masks_of_a_category_of_mvtec_by_other_names(tmp_path, name):
    folder = category(tmp_path / "screw")
    (folder / "ground_truth/hole/000_mask.png").unlink()
    mask(folder / name, size=(10, 20))
    found = index(folder)
    assert found.rejected.empty
    assert column(found.samples, "mask_path")["test/hole/000.png"] == name
    assert len(found.samples) == 11


def test_masks_of_good_images_are_no_orphans(tmp_path):
    mask(category(tmp_path / "screw") / "ground_truth/good/000_mask.png", value=0)
    mask(plain(tmp_path / "cubes") / "masks/normal/0.png", value=0)
    for name in ("screw", "cubes"):
        found = index(tmp_path / name)
        assert found.rejected.empty
        assert found.samples.loc[found.samples["label"] == 0, "mask_path"].isna().all()


def test_a_mask_that_cannot_be_used_is_told_and_its_image_kept(tmp_path):
    folder = category(tmp_path / "screw")
    (folder / "ground_truth/hole/000_mask.png").write_bytes(b"a letter")
    mask(folder / "ground_truth/scratch/001_mask.png", value=0)
    found = index(folder)
    assert found.rejected.to_numpy().tolist() == [
        [
            "ground_truth/hole/000_mask.png",
            "no image file that can be read",
            "export it as PNG, JPEG, TIFF, BMP, WebP or PGM",
        ],
        ["ground_truth/scratch/001_mask.png", "the mask marks no defect", "mark the defect or delete the mask"],
    ]
    assert (found.samples["label"] == 1).sum() == 4
    assert column(found.samples, "mask_path") == {"test/scratch/000.png": "ground_truth/scratch/000_mask.png"}


def test_a_mask_of_another_shape_or_of_nearly_all_is_told_and_its_image_kept(tmp_path):
    for number in range(4):
        photograph(tmp_path / f"normal/{number}.png")
        photograph(tmp_path / f"dent/{number}.png")
    mask(tmp_path / "masks/dent/0.png", size=(12, 5))
    mask(tmp_path / "masks/dent/1.png", size=(16, 12))
    mask(tmp_path / "masks/dent/3.png", size=(24, 32))
    full = np.full((12, 16), 255, "u1")
    full[3:5, 4:6] = 0
    Image.fromarray(full).save(tmp_path / "masks/dent/2.png")
    found = index(tmp_path)
    assert found.rejected[["path", "reason"]].to_numpy().tolist() == [
        ["masks/dent/0.png", "the mask has 5 x 12 pixels and its image 16 x 12, of another shape"],
        ["masks/dent/1.png", "the mask has 12 x 16 pixels and its image 16 x 12, of another shape"],
        ["masks/dent/2.png", "the mask marks 98 % of the image, and no defect"],
    ]
    assert len(found.samples) == 8
    assert column(found.samples, "mask_path") == {"dent/3.png": "masks/dent/3.png"}


def test_a_mask_may_lie_as_its_photograph_is_stored(tmp_path):
    photograph(tmp_path / "normal/0.png")
    for name in ("stored", "upright"):
        exif = Image.Exif()
        exif[0x112] = 6
        picture = Image.open(photograph(tmp_path / f"dent/{name}.jpg"))
        picture.save(tmp_path / f"dent/{name}.jpg", exif=exif)
    mask(tmp_path / "masks/dent/stored.png", size=(12, 16))
    mask(tmp_path / "masks/dent/upright.png", size=(16, 12))
    found = index(tmp_path)
    assert found.rejected.empty
    assert len(column(found.samples, "mask_path")) == 2


def test_of_training_images_alone_a_share_is_tested(tmp_path, caplog):
    caplog.set_level(logging.INFO, "endline")
    for number in range(10):
        photograph(tmp_path / f"screw/train/good/{number}.png")
    rule = {**vars(SplitRule(train=0.8)), "shots": None}
    samples = divided(index(tmp_path / "screw"), rule, 0, "take more")
    assert samples["split"].value_counts().to_dict() == {"train": 8, "test": 2}
    assert any("names none that is tested: the normal ones are divided by" in message for message in caplog.messages)
    caplog.clear()
    found = index(category(tmp_path / "hook"))
    assert divided(found, rule, 0, "take more")["split"].tolist() == found.samples["split"].tolist()
    assert not any("divided" in message for message in caplog.messages)


def test_a_missing_folder_is_told(tmp_path):
    folder = tmp_path / "absent"
    assert refused(folder) == f"There is no folder {folder}: give the folder of the images (--params=raw=<folder>)."


@pytest.mark.parametrize("inside", [(), ("normal",), ("abnormal",), ("screw/train/good",), ("MT_Free/Imgs",)])
def test_a_folder_without_an_image_is_told(tmp_path, inside):
    for name in inside:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("x")
    assert refused(tmp_path) == (
        f"{tmp_path} holds no image: put photographs of good parts into {tmp_path / 'normal'} (png, jpg, tif, ...)."
    )


@pytest.mark.parametrize("name", ["0.png", "scratch/0.png", "screw/good/0.png"])
def test_a_folder_of_no_known_layout_is_told(tmp_path, name):
    photograph(tmp_path / name)
    assert refused(tmp_path) == (
        f"{tmp_path} has no folder 'normal', and not the layout of MVTec AD (<category>/train/good) or MTD "
        f"(MT_Free/Imgs): put photographs of good parts into {tmp_path / 'normal'}."
    )


def test_no_usable_image_is_told_with_the_most_frequent_reason(tmp_path):
    mask(tmp_path / "masks/lost.png")
    (tmp_path / "normal").mkdir()
    for number in range(3):
        (tmp_path / f"normal/{number}.png").touch()
    assert refused(tmp_path) == (
        f"None of the 3 images in {tmp_path} can be used; 3 such as normal/0.png: the file is empty (0 bytes) "
        "(take the photograph again)."
    )


@pytest.mark.skipif(
    not (DATA / "magnetic_tile").is_dir(), reason="no MTD: name the folder above magnetic_tile in ENDLINE_DATA"
)
def test_the_real_magnetic_tiles():
    found = index(DATA / "magnetic_tile")
    samples = found.samples
    assert samples["kind"].value_counts().to_dict() == {
        "normal": 952,
        "blowhole": 115,
        "uneven": 103,
        "break": 85,
        "crack": 57,
        "fray": 32,
    }
    # Every defect has a mask file, but four of them are black from edge to edge.
    masked = samples.loc[samples["label"] == 1, "mask_path"].notna()
    assert masked.sum() == 388
    assert set(found.rejected["reason"]) == {"the mask marks no defect"}
    assert len(found.rejected) == 392 - 388
    assert found.rejected["path"].str.startswith("MT_Uneven/").all()
    assert samples.loc[samples["label"] == 0, "mask_path"].isna().all()
    split = assign_split(samples, SplitRule(train=761), seed=0)
    assert split["split"].value_counts().to_dict() == {"train": 761, "test": 191 + 392}
    # The protocol mtd761: the first 761 of the Free images in file-name order, shuffled.
    names = sorted(path.name for path in (DATA / "magnetic_tile/MT_Free/Imgs").glob("*.jpg"))
    np.random.default_rng(0).shuffle(names)
    assert set(split.loc[split["split"] == "train", "path"]) == {f"MT_Free/Imgs/{name}" for name in names[:761]}


@pytest.mark.skipif(
    not (DATA / "dobot_cubes").is_dir(), reason="no cubes: name the folder above dobot_cubes in ENDLINE_DATA"
)
def test_the_real_cubes():
    found = index(DATA / "dobot_cubes")
    assert found.samples["kind"].value_counts().to_dict() == {"normal": 116, "abnormal": 72}
    assert found.rejected.empty
    assert (found.samples[["height", "width"]] == [480, 640]).all(axis=None)


def test_the_control_hears_of_compression_and_colours_though_sizes_are_equal(tmp_path):
    for number in range(12):
        faulty = number >= 8
        path = tmp_path / ("dent" if faulty else "normal") / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (64, 64), dtype="u1")
        Image.fromarray(noise).save(path, quality=80 if faulty else 95)
    samples = index_images(tmp_path, group=None, simulated=False).samples
    assert samples.groupby("label")["quantisation"].nunique().tolist() == [1, 1]
    assert samples["colours"].tolist() == [1] * 12
    samples["split"] = ["train" if number in range(4, 9) else "test" for number in range(12)]  # the dents come first
    recipe = ImagePreparation(height=64, width=64).recipe(samples, tmp_path, ArrayStore(tmp_path / "store"))
    numbers = np.concatenate([batch[CONTROL] for batch in recipe.batches([CONTROL])])
    area = control_auroc(samples, pd.DataFrame(numbers, index=samples["sample_id"]))
    assert area is not None
    assert area.auroc == 1.0
