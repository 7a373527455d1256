"""The parts that arrays of images are joined of: each made once, shared by whoever reads it."""

import numpy as np
import pytest
import torch
from PIL import Image

from endline.array_store import ArrayStore
from endline.backbones.networks import Backbone, load_backbone
from endline.backbones.pyramids import PyramidSettings, pooled_maps, pyramid
from endline.backbones.views import pooled_view
from endline.errors import EndlineError
from endline.evidence.image_parts import ArraySettings, ImageParts, wanted_arrays
from endline.evidence.images.features import ImagePreparation
from endline.evidence.images.index import index_images
from endline.evidence.station import Arrays


@pytest.fixture(scope="module")
def lite0():
    return load_backbone("efficientnet_lite0")


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def passes(monkeypatch):
    """Number of images in each pass of the backbone."""
    calls: list[int] = []
    call = Backbone.__call__
    monkeypatch.setattr(Backbone, "__call__", lambda self, x: calls.append(len(x)) or call(self, x))
    return calls


@pytest.fixture
def photographs(tmp_path):
    """Sample table and folder of five photographs."""
    (tmp_path / "raw/normal").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(tmp_path / f"raw/normal/{number}.png")
    return index_images(tmp_path / "raw", group=None, simulated=False).samples, tmp_path / "raw"


def preparation(input_type: str, *arrays: str, views: int = 2) -> ImagePreparation:
    return ImagePreparation(128, 128, ArraySettings(PyramidSettings(input_type=input_type), arrays, views))


@pytest.mark.parametrize("input_type", ["single", "hybrid", "multifeature", "hybrid_cross_scale"])
def test_joined_parts_are_the_pyramid(lite0, images, input_type):
    parts = ImageParts(ArraySettings(PyramidSettings(input_type=input_type), ("scale",)), lite0, "k")
    made = parts.make(images, parts.keys)
    joined = {name: torch.cat([made[part] for part in names], 1) for name, names in parts.arrays.items()}
    expected = pyramid(images, lite0, input_type)
    assert list(joined) == list(expected)
    for name, maps in expected.items():
        torch.testing.assert_close(joined[name], maps)


def test_only_what_is_asked_for_is_made(lite0, images, passes):
    parts = ImageParts(ArraySettings(PyramidSettings(input_type="single"), ("views", "image"), 2), lite0, "k")
    assert list(parts.arrays) == ["views", "image"]
    made = parts.make(images, ["image"])
    assert list(made) == ["image"]
    assert passes == []


def test_views_are_pooled_pyramids(lite0, images):
    parts = ImageParts(ArraySettings(PyramidSettings(input_type="single"), ("views",), 2), lite0, "k")
    made = parts.make(images, parts.keys)
    rounded = {name: maps.half().float() for name, maps in pyramid(images, lite0, "single").items()}
    torch.testing.assert_close(made["view_0"][:, 0], pooled_maps(rounded))
    torch.testing.assert_close(made["view_180"][:, 0], pooled_view(images, lite0, "single", 180))


def test_the_first_view_is_the_same_from_stored_maps(photographs, tmp_path, passes):
    samples, folder = photographs
    fresh, shared = ArrayStore(tmp_path / "fresh"), ArrayStore(tmp_path / "shared")
    views = preparation("hybrid", "views")
    alone = fresh.make(views.recipe(samples, folder, fresh)).read()["views"]
    shared.make(preparation("hybrid", "scale").recipe(samples, folder, shared))
    passes.clear()
    again = shared.make(views.recipe(samples, folder, shared)).read()["views"]
    assert torch.equal(alone, again)
    assert sum(passes) == 2 * len(samples)  # the turned view alone, in two sizes


def test_input_types_share_their_maps(photographs, tmp_path, passes):
    """A sweep over detectors passes each image through the backbone once for each size."""
    samples, folder = photographs
    store = ArrayStore(tmp_path / "store")
    for input_type in ("hybrid_cross_scale", "cross_scale", "hybrid", "multiscale", "single"):
        store.make(preparation(input_type, "scale").recipe(samples, folder, store))
    assert sum(passes) == 3 * len(samples)  # in three sizes


def test_a_detector_of_images_passes_nothing_through_the_backbone(photographs, tmp_path, passes):
    samples, folder = photographs
    store = ArrayStore(tmp_path / "store")
    features = store.make(preparation("single", "image").recipe(samples, folder, store))
    assert features.shapes == {"image": (3, 128, 128), "control": (4,), "summary": (3,)}
    seen = features.read()
    grey = seen["image"].mean(1)
    np.testing.assert_allclose(
        seen["summary"][:, 0], grey.mean((1, 2)), atol=1e-3
    )  # the image is kept in half precision
    np.testing.assert_allclose(seen["summary"][:, 1], grey.std((1, 2)), atol=1e-3)
    assert features.read([0])["control"].tolist() == [[40.0, 50.0, 3.0, 0.0]]  # size, colours, no JPEG
    assert passes == []


def test_a_detector_decides_arrays_and_pyramid():
    parameters = {"backbone": "efficientnet_lite1", "weights": None, "input_type": "auto", "views": 3}
    made = wanted_arrays(parameters, Arrays(("views",), ("image", "mask"), "single"))
    assert made == ArraySettings(PyramidSettings("efficientnet_lite1", None, "single"), ("views", "image"), 3)
    assert wanted_arrays({**parameters, "input_type": "hybrid"}, Arrays(("scale",))).pyramid.input_type == "hybrid"


def test_a_view_less_is_refused():
    with pytest.raises(EndlineError, match="views=0 must be at least 1"):
        ArraySettings(views=0)
