"""Light of photographs: one brightness and contrast for features, and the photograph as it is for all else."""

import numpy as np
import pytest
import torch
from PIL import Image

from endline.array_store import ArrayStore
from endline.errors import EndlineError
from endline.evaluation.baselines import SUMMARY
from endline.evidence.images.features import ImagePreparation, standardised
from endline.evidence.images.index import index_images
from endline.evidence.images.surface_image import prepare
from endline.evidence.station import Arrays


@pytest.fixture
def exposures(tmp_path):
    """Sample table and folder of one picture in three exposures."""
    picture = np.random.default_rng(0).uniform(0.2, 0.5, (64, 64, 3))
    (tmp_path / "normal").mkdir()
    for number, gain in enumerate((0.5, 1.0, 1.9)):
        Image.fromarray(np.rint(255 * gain * picture).astype(np.uint8)).save(tmp_path / f"normal/{number}.png")
    return index_images(tmp_path, group=None, simulated=False).samples, tmp_path


def test_exposures_of_a_picture_become_one(exposures, tmp_path):
    samples, folder = exposures
    made = {}
    for light in ("as_is", "standardised"):
        store = ArrayStore(tmp_path / "store")  # one for both: their keys differ
        made[light] = store.make(ImagePreparation(64, 64, light=light).recipe(samples, folder, store)).read()
    apart = {light: float((of["scale_1"][0] - of["scale_1"][2]).abs().mean()) for light, of in made.items()}
    assert apart["standardised"] < 0.1 * apart["as_is"]
    torch.testing.assert_close(made["standardised"][SUMMARY], made["as_is"][SUMMARY])
    assert made["as_is"][SUMMARY][0, 0] < 0.5 * made["as_is"][SUMMARY][2, 0]


def test_inspection_sees_the_same_light(exposures, tmp_path):
    samples, folder = exposures
    preparation, store = ImagePreparation(64, 64, light="standardised"), ArrayStore(tmp_path / "store")
    made = store.make(preparation.recipe(samples, folder, store)).read([1])["scale_0"]
    _, features = preparation.inspect(folder / "normal/1.png")
    torch.testing.assert_close(features.read()["scale_0"], made, atol=2e-2, rtol=1e-2)  # stored as float16
    assert ImagePreparation.from_plain(preparation.plain()) == preparation


def test_a_blank_photograph_stays_blank():
    blank = torch.full((1, 3, 8, 8), 0.3)
    noise = blank + 0.001 * torch.randn(blank.shape, generator=torch.manual_seed(0))
    torch.testing.assert_close(standardised(blank), torch.full_like(blank, 0.45))
    assert standardised(noise).std() < 0.05


def test_another_light_is_refused():
    with pytest.raises(EndlineError, match="There is no light 'dark': choose one of as_is, standardised"):
        ImagePreparation(light="dark")


@pytest.mark.parametrize(("given", "light"), [("auto", "standardised"), ("as_is", "as_is")])
def test_the_light_is_that_of_the_detector_where_none_is_named(exposures, given, light):
    samples, folder = exposures
    parameters = {"bits": "auto", "max_megapixels": 100, "height": 64, "width": 64, "light": given, "views": 1}
    parameters |= {"alignment": "as_is", "shape": "stretched"}
    parameters |= {"backbone": "efficientnet_lite0", "weights": None, "input_type": "auto"}
    wanted = Arrays(("scale",), input_type="single", light="standardised")
    assert prepare(samples, folder, {}, parameters, wanted).light == light
