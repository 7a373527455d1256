"""The plain subnet: what its layers see."""

import torch
from torch import nn
from torch.nn import functional

from endline.flows.subnets import ConvSubnet


def test_a_condition_enters_as_if_it_were_joined_to_the_channels():
    torch.manual_seed(0)
    subnet = ConvSubnet([3], [4], [6], 3, condition=2, padding="replicate").double()
    x, code = torch.randn(2, 3, 5, 4).double(), torch.randn(1, 2, 5, 4).double()
    joined = functional.pad(torch.cat([x, code.expand(2, -1, -1, -1)], 1), (1, 1, 1, 1), mode="replicate")
    weight = torch.cat([subnet.enter[0].weight, subnet.condition[0].weight], 1)
    hidden = functional.conv2d(joined, weight, subnet.enter[0].bias).relu()
    hidden = functional.pad(hidden, (1, 1, 1, 1), mode="replicate")
    expected = functional.conv2d(hidden, subnet.leave[0].weight, subnet.leave[0].bias)
    torch.testing.assert_close(subnet((x,), (code,))[0], expected)


def test_replicated_borders_leave_a_constant_map_constant():
    torch.manual_seed(0)
    x = torch.ones(1, 3, 4, 4)
    (replicated,) = ConvSubnet([3], [2], [5], 5, padding="replicate")((x,))
    torch.testing.assert_close(replicated, replicated[:, :, :1, :1].expand_as(replicated))
    (zeros,) = ConvSubnet([3], [2], [5], 5)((x,))
    assert zeros.std((2, 3)).min() > 1e-3


def test_scales_do_not_exchange():
    torch.manual_seed(0)
    subnet = ConvSubnet([2, 2], [2, 2], [4, 4], 3)
    a, b = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 2, 2)
    assert torch.equal(subnet((a, b))[0], subnet((a, b + 1))[0])
    assert not torch.equal(subnet((a, b))[1], subnet((a, b + 1))[1])


def test_kernels_of_one_are_linear_layers_on_single_vectors():
    torch.manual_seed(0)
    subnet = ConvSubnet([3], [4], [6], 1)
    layers = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4))
    layers.load_state_dict(
        {
            "0.weight": subnet.enter[0].weight[:, :, 0, 0],
            "0.bias": subnet.enter[0].bias,
            "2.weight": subnet.leave[0].weight[:, :, 0, 0],
            "2.bias": subnet.leave[0].bias,
        }
    )
    vectors = torch.randn(7, 3)
    (found,) = subnet((vectors.T[None, :, :, None],))
    torch.testing.assert_close(found[0, :, :, 0].T, layers(vectors))
