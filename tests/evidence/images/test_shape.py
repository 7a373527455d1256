"""Photographs keep their shape where they have one; one of another shape is named."""

import logging

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from endline.backbones.pyramids import INPUT_TYPES
from endline.errors import EndlineError
from endline.evidence.image_parts import ArraySettings
from endline.evidence.images.features import ImagePreparation
from endline.evidence.images.index import index_images
from endline.evidence.images.shape import Size, fitted_size, warn_of_shapes
from endline.evidence.images.surface_image import prepare
from endline.evidence.station import Arrays

PARAMETERS = {"height": 64, "width": 64, "backbone": "efficientnet_lite0", "weights": None, "input_type": "auto"}
PARAMETERS |= {"views": 1, "bits": "auto", "max_megapixels": 100, "light": "auto", "alignment": "as_is"}


def table(sizes: list[tuple[int, int]], split: str = "train") -> pd.DataFrame:
    height, width = zip(*sizes, strict=True)
    paths = [f"{number}.png" for number in range(len(sizes))]
    return pd.DataFrame({"path": paths, "split": split, "height": height, "width": width})


@pytest.mark.parametrize("sides", [(1240, 500), (500, 1240), (480, 640), (1080, 1920), (3000, 2000), (100, 1000)])
@pytest.mark.parametrize("multiple", sorted({kind.multiple for kind in INPUT_TYPES.values()}))
def test_the_shape_is_kept_in_about_as_many_pixels(sides: tuple[int, int], multiple: int) -> None:
    size = fitted_size(table([sides] * 3), (384, 384), "auto", multiple)
    assert size.height % multiple == size.width % multiple == 0
    assert size.ratio == pytest.approx(sides[0] / sides[1])
    given, kept = abs(np.log(sides[0] / sides[1])), abs(np.log(size.height / size.width / (sides[0] / sides[1])))
    assert kept < given
    if multiple == 32:
        assert kept < np.log(1.3)
        assert 0.75 < size.height * size.width / 384**2 < 1.34


@pytest.mark.parametrize("sides", [(400, 400), (400, 380), (300, 325)])
def test_the_given_size_is_kept_where_it_has_the_photographs_shape(sides: tuple[int, int]) -> None:
    assert fitted_size(table([sides]), (320, 320), "auto", 128) == Size(320, 320, sides[0] / sides[1])


def test_photographs_of_several_shapes_are_stretched_unless_it_is_asked() -> None:
    mixed = table([(100, 300), (120, 300), (200, 300), (300, 300), (300, 200)])
    assert fitted_size(mixed, (96, 96), "auto", 32) == Size(96, 96)
    assert fitted_size(mixed, (96, 96), "kept", 32) == Size(64, 96, 2 / 3)
    long = table([(100, 300)] * 19 + [(300, 100)])
    assert fitted_size(long, (96, 96), "auto", 32).width == 192
    assert fitted_size(long, (96, 96), "stretched", 32) == Size(96, 96)


def test_tested_photographs_decide_nothing() -> None:
    both = pd.concat([table([(100, 300)] * 2), table([(300, 300)] * 20, "test")])
    assert fitted_size(both, (96, 96), "auto", 32).ratio == pytest.approx(1 / 3)
    assert fitted_size(table([(100, 300)], "test"), (96, 96), "auto", 32) == Size(96, 96)


def test_another_choice_is_refused() -> None:
    with pytest.raises(EndlineError, match="no shape 'square': choose one of auto, kept, stretched"):
        fitted_size(table([(1, 1)]), (96, 96), "square", 32)


def test_a_photograph_of_another_shape_is_named(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_shapes(table([(100, 300), (104, 300)]), 1 / 3)
    warn_of_shapes(table([(300, 300)]), None)
    assert not caplog.messages
    warn_of_shapes(table([(100, 300), (300, 300), (300, 100)]), 1 / 3)
    assert caplog.messages == [
        "1.png is 300 x 300 pixels, and 1 more have another shape too; those that train are 0.33 times as high as "
        "wide, and it is stretched to that: photograph parts as those that train were."
    ]


def test_a_later_verdict_takes_the_same_shape(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    for name in ("normal/0", "normal/1", "normal/2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 160), "u1")).save(tmp_path / f"{name}.png")
    samples = index_images(tmp_path, group=None, simulated=False).samples.assign(split="train")
    parameters = PARAMETERS | {"shape": "auto"}
    preparation = prepare(samples, tmp_path, {}, parameters, Arrays(required=("image",)))
    assert (preparation.height, preparation.width, preparation.ratio) == (32, 128, 0.25)
    again = ImagePreparation.from_plain(preparation.plain())
    assert again == preparation
    new = tmp_path / "new.png"
    Image.fromarray(rng.integers(0, 255, (160, 40), "u1")).save(new)
    with caplog.at_level(logging.WARNING, "endline"):
        _, arrays = again.inspect(new)
    assert arrays.shapes["image"] == (3, 32, 128)
    assert "new.png is 160 x 40 pixels; those that train are 0.25 times as high as wide" in caplog.text


def test_models_of_before_look_at_no_shape() -> None:
    plain = ImagePreparation(64, 64, ArraySettings(arrays=("image",))).plain()
    del plain["ratio"]
    assert ImagePreparation.from_plain(plain).ratio is None


@pytest.mark.parametrize(("choice", "sides"), [("auto", (192, 768)), ("kept", (192, 768)), ("stretched", (384, 384))])
def test_an_aligned_part_counts_by_its_own_shape(choice, sides):
    samples = pd.DataFrame({"split": ["train"] * 3, "height": [800] * 3, "width": [800] * 3})
    assert fitted_size(samples, (384, 384), choice, 32, shown=0.25).sides == sides
