import pytest
import torch

from endline.backbones.networks import Backbone, load_backbone
from endline.backbones.pyramids import pooled_pyramid, pyramid
from endline.backbones.views import pooled_views, rotate, rotated_views
from endline.errors import EndlineError


def image(height: int, width: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_right_angles_turn_a_square_counter_clockwise(quarters):
    square = image(32, 32)
    torch.testing.assert_close(rotate(square, 90 * quarters), square.rot90(quarters, (2, 3)), rtol=0, atol=1e-4)


def test_half_a_turn_of_any_size_is_both_flips():
    torch.testing.assert_close(rotate(image(32, 64), 180), image(32, 64).flip(2, 3), rtol=0, atol=1e-4)


def test_a_quarter_turn_of_a_wide_image_keeps_its_middle_and_leaves_the_sides_black():
    wide = image(32, 64)
    turned = rotate(wide, 90)
    torch.testing.assert_close(turned[:, :, :, 16:48], wide[:, :, :, 16:48].rot90(1, (2, 3)), rtol=0, atol=1e-4)
    assert not turned[:, :, :, :15].any()
    assert not turned[:, :, :, 49:].any()


def test_what_comes_in_from_outside_is_black():
    turned = rotate(torch.ones(1, 1, 64, 64), 45)
    assert not turned[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]].any()
    torch.testing.assert_close(turned[0, 0, 20:44, 20:44], torch.ones(24, 24))


def test_there_and_back_leaves_the_middle_of_a_smooth_image():
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 96), indexing="ij")
    smooth = (rows + 2 * columns)[None, None]
    back = rotate(rotate(smooth, 30), -30)
    torch.testing.assert_close(back[..., 24:40, 36:60], smooth[..., 24:40, 36:60], rtol=0, atol=1e-3)


def test_views_are_equal_steps_of_a_turn_and_start_with_the_image():
    views = list(rotated_views(image(32, 32), 8))
    assert len(views) == 8
    assert torch.equal(views[0], image(32, 32))
    assert torch.equal(views[3], rotate(image(32, 32), 135))


def test_pooled_views_are_the_pooled_pyramids_of_the_views():
    backbone, images = load_backbone("efficientnet_lite0"), image(128, 128).float()
    pooled = pooled_views(images, backbone, "cross_scale", 3)
    assert pooled.shape == (2, 3, 960)
    expected = pooled_pyramid(rotate(images, 240), backbone, "cross_scale")
    torch.testing.assert_close(pooled[:, 2], expected, rtol=1e-4, atol=1e-5)


def test_a_pyramid_at_hand_is_not_made_again(monkeypatch):
    backbone, images = load_backbone("efficientnet_lite0"), image(128, 128).float()
    expected, first = pooled_views(images, backbone, "single", 3), pyramid(images, backbone, "single")
    passes, forward = [], Backbone.__call__
    monkeypatch.setattr(Backbone, "__call__", lambda *inputs: passes.append(1) or forward(*inputs))
    assert torch.equal(pooled_views(images, backbone, "single", 3, first), expected)
    assert len(passes) == 2


def test_a_size_that_does_not_halve_evenly_is_reported():
    with pytest.raises(EndlineError, match=r"An image of 64 x 128 does not halve evenly"):
        pooled_views(image(64, 128).float(), load_backbone("efficientnet_lite0"), "cross_scale", 2)


def test_views_are_turned_where_the_images_are():
    turned = rotate(torch.empty(1, 3, 64, 64, device="meta"), 45)
    assert (turned.device.type, tuple(turned.shape)) == ("meta", (1, 3, 64, 64))
