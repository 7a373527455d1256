"""One scale for all photographs of more than 8 bits, fitted on those that train, in the run and in a later verdict."""

import logging

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from endline.array_store import ArrayStore
from endline.errors import EndlineError
from endline.evidence.image_parts import ArraySettings
from endline.evidence.images.depth import checked_bits, fitted_bits, warn_of_depths
from endline.evidence.images.features import ImagePreparation
from endline.evidence.images.index import index_images
from endline.evidence.images.surface_image import prepare
from endline.evidence.station import Arrays

PARAMETERS = {"height": 128, "width": 192, "backbone": "efficientnet_lite0", "weights": None, "input_type": "auto"}
PARAMETERS |= {
    "views": 1,
    "bits": "auto",
    "max_megapixels": 100,
    "light": "auto",
    "alignment": "as_is",
    "shape": "stretched",
}
IMAGES = Arrays(required=("image",))


@pytest.fixture
def folder(tmp_path):
    """Five normal photographs of 12 bits in files of 16, the last one ten times darker; a faulty one that is darker."""
    rng = np.random.default_rng(0)
    for name, brightest in [(f"normal/{number}", 4096) for number in range(4)] + [("normal/4", 410), ("dent/0", 205)]:
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, brightest, (32, 48)).astype("u2")).save(path)
    return tmp_path


def prepared(folder, **parameters):
    samples = index_images(folder, group=None, simulated=False).samples
    samples["split"] = np.where(samples["label"] == 0, "train", "test")
    return samples, prepare(samples, folder, {}, PARAMETERS | parameters, IMAGES)


def test_the_scale_is_that_of_what_trains_and_a_darker_photograph_stays_darker(folder):
    samples, preparation = prepared(folder)
    assert preparation.bits == 12
    means = preparation.images([folder / path for path in samples["path"]]).mean((1, 2, 3)).numpy()
    by_path = dict(zip(samples["path"], means, strict=True))
    assert by_path["normal/0.png"] == pytest.approx(0.5, abs=0.03)
    assert by_path["normal/4.png"] == pytest.approx(0.05, abs=0.005)
    assert by_path["dent/0.png"] == pytest.approx(0.025, abs=0.003)


def test_a_later_verdict_reads_on_the_same_scale(folder):
    samples, preparation = prepared(folder)
    again = ImagePreparation.from_plain(preparation.plain())
    assert again == preparation
    row = samples.set_index("path").loc["normal/4.png"]
    rows, arrays = again.inspect(folder / "normal/4.png")
    assert rows.loc[0, "peak"] == row["peak"]
    assert float(arrays.read()["image"].float().mean()) == pytest.approx(0.05, abs=0.005)


def test_a_tested_photograph_changes_no_scale_and_what_it_has_beyond_is_said(folder, caplog):
    Image.fromarray(np.full((32, 48), 40_000, np.uint16)).save(folder / "dent/1.png")
    with caplog.at_level(logging.WARNING, "endline"):
        _, preparation = prepared(folder)
        preparation.inspect(folder / "dent/1.png")
    assert preparation.bits == 12
    assert (preparation.images([folder / "dent/1.png"]) == 1).all()
    told = "{} has values above 4095, the largest of the 12 bits by which photographs are read, and white there: "
    told += "set the bits of the camera (--params=bits=16)."
    assert caplog.messages == [
        told.format("dent/1.png"),
        "Photographs of more than 8 bits are read from 0 to 4095, the 12 bits that those that train use: "
        "set --params=bits=16 if they are that dark.",
        told.format("1.png"),
    ]


def test_the_scale_may_be_set(folder, caplog):
    _, preparation = prepared(folder, bits=16)
    assert preparation.bits == 16
    assert float(preparation.images([folder / "normal/0.png"]).mean()) == pytest.approx(0.5 / 16, abs=0.003)
    assert caplog.messages == []
    for bits in (9, "many", True, None):
        with pytest.raises(EndlineError, match="must be auto, or one of 8, 10, 12, 14, 16"):
            checked_bits(bits)


def test_other_scales_are_other_arrays(folder, tmp_path):
    samples, preparation = prepared(folder)
    _, full = prepared(folder, bits=16)
    keys = [each.recipe(samples, folder, ArrayStore(tmp_path / "store")).keys["image"] for each in (preparation, full)]
    assert keys[0] != keys[1]


def test_deep_photographs_where_none_trained_are_said(caplog):
    samples = pd.DataFrame({"path": ["a", "b"], "split": ["train", "test"], "peak": [None, 4000]})
    assert fitted_bits(samples) is None
    warn_of_depths(samples, None)
    assert caplog.messages == [
        "b has more than 8 bits, unlike all that trained, and is read from 0 to 65535: set the bits of the camera "
        "(--params=bits=12) if it has fewer."
    ]
    assert ImagePreparation(arrays=ArraySettings()).scale == 16


def test_photographs_of_8_bits_have_no_scale_to_choose(caplog):
    samples = pd.DataFrame({"path": ["a", "b"], "split": ["train", "test"], "peak": [None, None]})
    assert fitted_bits(samples) is None
    warn_of_depths(samples, None)
    assert caplog.messages == []


def test_a_verdict_on_one_file_refuses_what_the_index_leaves_out(tmp_path):
    preparation = ImagePreparation(megapixels=0.05)
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype="u1")
    Image.fromarray(pixels[:150]).save(tmp_path / "half.jpg")
    content = (tmp_path / "half.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    Image.fromarray(pixels).save(tmp_path / "large.png")
    for name, said in [
        ("half.jpg", "the image is damaged or cut short and cannot be decoded: copy it again from its source."),
        ("large.png", "the image has 0.06 megapixels, more than the limit of 0.05: crop it, scale it down, or raise"),
    ]:
        with pytest.raises(EndlineError) as caught:
            preparation.inspect(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: {said}")
