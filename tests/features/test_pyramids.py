import pytest
import torch

from endline.errors import EndlineError
from endline.features.backbones import load_backbone
from endline.features.pyramids import pooled_pyramid, pyramid


@pytest.fixture(scope="module")
def lite0():
    return load_backbone("efficientnet_lite0")


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 1, 256, 384, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("input_type", "shapes"),
    [
        ("multiscale", [(112, 16, 24), (112, 8, 12), (112, 4, 6)]),
        ("multifeature", [(40, 32, 48), (112, 16, 24), (320, 8, 12)]),
        ("hybrid", [(112, 16, 24), (320 + 112, 8, 12), (320, 4, 6)]),
        ("cross_scale", [(320, 8, 12), (320, 4, 6), (320, 2, 3)]),
        ("single", [(320, 8, 12)]),
    ],
)
def test_maps_have_the_papers_sizes(lite0, images, input_type, shapes):
    maps = pyramid(images, lite0, input_type)
    assert list(maps) == [f"scale_{scale}" for scale in range(len(shapes))]
    assert [tuple(fmap.shape) for fmap in maps.values()] == [(2, *shape) for shape in shapes]


def test_the_hybrid_type_joins_the_full_and_the_half_image(lite0, images):
    maps = pyramid(images, lite0, "hybrid")
    full = lite0(images)
    half = pyramid(images, lite0, "multiscale")["scale_1"]
    torch.testing.assert_close(maps["scale_0"], full[16])
    torch.testing.assert_close(maps["scale_1"], torch.cat([full[32], half], dim=1))


def test_pooled_maps_stand_finest_first(lite0, images):
    maps = pyramid(images, lite0, "hybrid")
    pooled = pooled_pyramid(images, lite0, "hybrid")
    assert pooled.shape == (2, 112 + 432 + 320)
    torch.testing.assert_close(pooled[:, 112:544], maps["scale_1"].mean((2, 3)))


def test_a_missing_stride_is_told(lite0, images):
    class Coarse:
        name, strides = "coarse", {32: 8}

    with pytest.raises(EndlineError, match=r"backbone coarse has no map of stride 16, which input_type=hybrid takes"):
        pyramid(images, Coarse(), "hybrid")


def test_an_unknown_input_type_names_the_known(lite0, images):
    with pytest.raises(
        EndlineError, match=r"'pyramid': choose one of multiscale, multifeature, hybrid, cross_scale, single\."
    ):
        pyramid(images, lite0, "pyramid")


@pytest.mark.parametrize(("input_type", "size"), [("hybrid", (64, 100)), ("multiscale", (64, 128))])
def test_a_size_that_does_not_halve_evenly_is_told(input_type, size):
    backbone = load_backbone("efficientnet_lite0")
    with pytest.raises(EndlineError, match=rf"{size[0]} x {size[1]} does not halve evenly: .*multiples of (64|128)"):
        pyramid(torch.zeros(1, 1, *size), backbone, input_type)
