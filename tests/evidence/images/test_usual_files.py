"""New photographs whose files are unlike those that train are told, and models of before judge as they did."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from endline.array_store import ArrayStore
from endline.evidence.images.features import ImagePreparation
from endline.evidence.images.index import index_images
from endline.evidence.images.surface_image import prepare
from endline.evidence.station import Arrays
from endline.field_types import check_fields

PARAMETERS = {"height": 64, "width": 96, "backbone": "efficientnet_lite0", "weights": None, "input_type": "auto"}
PARAMETERS |= {"views": 1, "bits": "auto", "max_megapixels": 100, "light": "auto", "alignment": "as_is"}
IMAGES = Arrays(required=("image",))


def picture(seed: int, grey: bool = False, size: tuple[int, int] = (120, 80)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (80, 120, 3), dtype="u1")
    image = Image.fromarray(pixels).resize(size)
    return ImageOps.grayscale(image) if grey else image


def prepared(folder: Path, *, grey: bool = False, ending: str = "png") -> ImagePreparation:
    (folder / "normal").mkdir(parents=True)
    for seed in range(3):
        picture(seed, grey).save(folder / f"normal/{seed}.{ending}")
    samples = index_images(folder, group=None, simulated=False).samples.assign(split="train")
    return prepare(samples, folder, {}, PARAMETERS | {"shape": "stretched"}, IMAGES)


@pytest.mark.parametrize(
    ("name", "how", "training", "said"),
    [
        ("new.png", {}, {}, None),
        ("new.png", {"grey": True}, {}, "is grey, and those that train have colours"),
        ("new.png", {}, {"grey": True}, "has colours, and those that train are grey"),
        ("new.png", {"grey": True}, {"grey": True}, None),
        ("new.jpg", {}, {}, "is a JPEG file, and none of those that train is"),
        ("new.jpg", {}, {"ending": "jpg"}, None),
        ("new.png", {}, {"ending": "jpg"}, None),
        ("new.png", {"size": (60, 40)}, {}, "has 60 x 40 pixels, 25 % of what those that train have"),
        (
            "new.png",
            {"size": (90, 60)},
            {},
            "has 90 x 60 pixels, fewer than the 96 x 64 that it is shown with, unlike those that train",
        ),
        ("new.png", {"size": (108, 72)}, {}, None),
    ],
)
def test_a_new_photograph_unlike_those_that_train_is_told(tmp_path, caplog, name, how, training, said):
    preparation = prepared(tmp_path / "raw", **training)
    check_fields(preparation)
    assert ImagePreparation.from_plain(preparation.plain()) == preparation
    picture(9, **how).save(tmp_path / name)
    caplog.clear()
    row, _ = preparation.inspect(tmp_path / name)
    assert [record.message.split(":")[0] for record in caplog.records] == ([f"{name} {said}"] if said else [])
    assert len(preparation.remarks(row.to_dict("records")[0])) == len(caplog.records)


def test_models_of_before_say_nothing_and_keep_their_keys(tmp_path, caplog):
    preparation = prepared(tmp_path / "raw")
    plain = preparation.plain()
    del plain["files"]
    before = ImagePreparation.from_plain(plain)
    assert before.files is None
    samples, store = index_images(tmp_path / "raw", group=None, simulated=False).samples, ArrayStore(tmp_path / "store")
    keys = [each.recipe(samples, tmp_path / "raw", store).keys for each in (before, preparation)]
    assert keys[0] == keys[1]
    picture(9, grey=True).save(tmp_path / "new.jpg")
    caplog.clear()
    before.inspect(tmp_path / "new.jpg")
    assert not caplog.records


def test_a_few_grey_ones_or_jpeg_files_among_those_that_train_are_told(tmp_path, caplog):
    (tmp_path / "normal").mkdir()
    for seed, (name, grey) in enumerate([("0.png", False), ("1.png", False), ("2.jpg", False), ("3.png", True)]):
        picture(seed, grey).save(tmp_path / "normal" / name)
    samples = index_images(tmp_path, group=None, simulated=False).samples.assign(split="train")
    caplog.clear()
    prepare(samples, tmp_path, {}, PARAMETERS | {"shape": "stretched"}, IMAGES)
    assert "Those that train were not made alike: 3 x in colour, 1 x grey." in caplog.text
    assert "3 x without loss, 1 x as JPEG, with loss." in caplog.text
