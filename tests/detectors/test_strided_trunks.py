"""Strided trunks: sizes for several pictures, norms, what a norm has seen."""

import pytest
import torch
from torch import nn

from endline.detectors.strided_trunks import Autoencoder, Discriminator, Encoder, Trunk
from endline.errors import EndlineError


@pytest.mark.parametrize(
    ("height", "width", "layers", "left"),
    [
        (128, 128, 5, (4, 4)),
        (64, 128, 4, (4, 8)),
        (128, 64, 4, (8, 4)),
        (32, 32, 3, (4, 4)),
        (96, 128, 4, (6, 8)),
        (160, 128, 5, (5, 4)),
        (256, 288, 5, (8, 9)),
    ],
)
def test_the_layers_follow_from_the_picture(height, width, layers, left):
    trunk = Trunk(height, width, hidden=1)
    assert (trunk.layers, trunk.left) == (layers, left)
    x = torch.zeros(2, 1, height, width)
    assert trunk.down()(x).shape == (2, 2 ** (layers - 1), *left)
    assert Encoder(trunk)(x).shape == (2, trunk.latent)
    assert Autoencoder(trunk)(x).shape == x.shape
    realness, embedding = Discriminator(trunk)(x)
    assert realness.shape == (2,)
    assert embedding.shape == (2, 2 ** (layers - 1))


def test_published_sizes():
    trunk = Trunk(128, 128, hidden=32)
    shapes = [tuple(layer.weight.shape) for layer in Encoder(trunk).modules() if isinstance(layer, nn.Conv2d)]
    assert shapes == [
        (32, 1, 4, 4),
        (64, 32, 4, 4),
        (128, 64, 4, 4),
        (256, 128, 4, 4),
        (512, 256, 4, 4),
        (256, 512, 4, 4),
    ]
    assert Discriminator(trunk).depthwise.weight.shape == (512, 1, 4, 4)


@pytest.mark.parametrize(("height", "width"), [(40, 128), (128, 100), (16, 128), (128, 16), (0, 32)])
def test_a_picture_that_cannot_be_halved_is_told(height, width):
    with pytest.raises(EndlineError, match=rf"of {height} x {width} cannot be halved.* choose multiples of 32"):
        Trunk(height, width, hidden=1)


def test_an_unknown_norm_is_told_with_the_known_ones():
    with pytest.raises(EndlineError, match="no norm 'instance': choose one of layer, batch"):
        Trunk(32, 32, 1, "instance")


def test_the_norm_is_the_generators_and_never_the_discriminators():
    trunk = Trunk(32, 32, 2, "batch")

    def norms(network):
        return {type(each) for each in network.modules() if isinstance(each, nn.LayerNorm | nn.BatchNorm2d)}

    assert norms(Autoencoder(trunk)) == {nn.BatchNorm2d}
    assert norms(Discriminator(trunk)) == {nn.LayerNorm}


def test_norm_statistics_are_those_of_what_each_norm_is_given():
    torch.manual_seed(0)
    discriminator, x = Discriminator(Trunk(32, 32, hidden=2)), torch.randn(3, 1, 32, 32)
    got = discriminator.norm_statistics(x)
    first = discriminator.down[0][0](x).flatten(1)
    embedding = discriminator.embedding(x)
    assert got.shape == (3, 8)
    torch.testing.assert_close(got[:, 0], first.mean(1))
    torch.testing.assert_close(got[:, 4], first.std(1, correction=0))
    torch.testing.assert_close(got[:, 3], embedding.mean(1))
    torch.testing.assert_close(got[:, 7], embedding.std(1, correction=0))
    assert not any(layer._forward_pre_hooks for layer in discriminator.modules())
