import pytest
import torch

from endline.backbones.networks import Backbone, load_backbone
from endline.backbones.pyramids import (
    PyramidSettings,
    fit_size,
    join_scales,
    pooled_pyramid,
    pyramid,
    pyramid_maps,
    scale_parts,
)
from endline.errors import EndlineError


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
        ("hybrid_cross_scale", [(112, 16, 24), (432, 8, 12), (432, 4, 6), (320, 2, 3)]),
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


def test_gradients_flow_back_through_the_pooled_pyramid_that_wants_them(lite0, images):
    leaf = images.clone().requires_grad_()
    pooled = pooled_pyramid(leaf, lite0, "cross_scale", differentiable=True)
    torch.testing.assert_close(pooled.detach(), pooled_pyramid(images, lite0, "cross_scale"), atol=1e-4, rtol=1e-4)
    pooled[0].square().sum().backward()
    assert leaf.grad[0].any()
    assert not leaf.grad[1].any()
    assert not pooled_pyramid(leaf, lite0, "cross_scale").requires_grad


@pytest.mark.parametrize(
    ("size", "wanted", "result"),
    [
        ((256, 256), 128, (128, 128)),
        ((384, 256), 128, (192, 128)),
        ((256, 384), 100, (96, 160)),  # 100 x 150 to the nearest multiples of 32
        ((64, 128), 96, (64, 128)),  # never larger
        ((512, 64), 32, (256, 32)),
        ((320, 256), 8, (32, 32)),
    ],
)
def test_images_are_made_smaller_to_a_size(size, wanted, result):
    image = torch.linspace(0, 1, size[1]).expand(1, 3, *size)
    smaller = fit_size(image, wanted)
    assert smaller.shape == (1, 3, *result)
    torch.testing.assert_close(smaller.mean(), torch.tensor(0.5), atol=1e-3, rtol=0)


def test_a_missing_stride_is_reported(lite0, images):
    class Coarse:
        name, strides = "coarse", {32: 8}

    with pytest.raises(EndlineError, match=r"backbone coarse has no map of stride 16, which input_type=hybrid takes"):
        pyramid(images, Coarse(), "hybrid")


def test_an_unknown_input_type_names_the_known(lite0, images):
    with pytest.raises(
        EndlineError,
        match=r"'pyramid': choose one of multiscale, multifeature, hybrid, cross_scale, hybrid_cross_scale, single\.",
    ):
        pyramid(images, lite0, "pyramid")


@pytest.mark.parametrize(("input_type", "size"), [("hybrid", (64, 100)), ("multiscale", (64, 128))])
def test_a_size_that_does_not_halve_evenly_is_reported(input_type, size):
    backbone = load_backbone("efficientnet_lite0")
    with pytest.raises(EndlineError, match=rf"{size[0]} x {size[1]} does not halve evenly: .*multiples of (64|128)"):
        pyramid(torch.zeros(1, 1, *size), backbone, input_type)


def test_maps_are_shared_by_input_types_and_made_once_a_size(lite0, images, monkeypatch):
    wanted = {key for name in ("hybrid", "cross_scale") for keys in scale_parts(name) for key in keys}
    passes, forward = [], Backbone.__call__
    monkeypatch.setattr(Backbone, "__call__", lambda *inputs: passes.append(1) or forward(*inputs))
    maps = pyramid_maps(images, lite0, wanted)
    assert len(passes) == 3  # the image at its size, half and a quarter
    for name in ("hybrid", "cross_scale"):
        joined, expected = join_scales(maps, name), pyramid(images, lite0, name)
        assert list(joined) == list(expected)
        assert all(torch.equal(joined[scale], expected[scale]) for scale in expected)


def test_an_unknown_input_type_is_refused_with_the_settings():
    with pytest.raises(EndlineError, match="Unknown input type 'pyramid': choose one of multiscale"):
        PyramidSettings(input_type="pyramid")
