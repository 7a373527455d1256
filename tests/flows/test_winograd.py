"""Winograd's convolution against torch's own."""

import pytest
import torch
from torch.nn import functional

from endline.flows.cross_scale import CrossScaleSubnet
from endline.flows.winograd import WideConv2d, _Winograd


def pair(size: tuple[int, int], side: int = 3, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, *size, generator=generator, dtype=dtype).requires_grad_()
    return x, torch.randn(4, 5, side, side, generator=generator, dtype=dtype).requires_grad_()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(24, 24), (6, 6), (7, 5), (2, 9), (1, 1)])
@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("zeros", [True, False])
def test_values_and_gradients_are_those_of_torch(zeros, side, size, layout):
    border = side // 2 if zeros else 0  # without, a border of values stands around
    x, kernel = pair((size[0] + side // 2 * 2 - 2 * border, size[1] + side // 2 * 2 - 2 * border), side)
    x, kernel = x.contiguous(memory_format=layout), kernel.contiguous(memory_format=layout)
    ours, theirs = _Winograd.apply(x, kernel, border), functional.conv2d(x, kernel, padding=border)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(theirs)
    for mine, their in zip(
        torch.autograd.grad(ours, (x, kernel), weights), torch.autograd.grad(theirs, (x, kernel), weights), strict=True
    ):
        torch.testing.assert_close(mine, their)


@pytest.mark.parametrize("side", [3, 5])
def test_float32_is_off_by_rounding_alone(side):
    x, kernel = pair((24, 24), side, torch.float32)
    exact = functional.conv2d(x.double(), kernel.double(), padding=side // 2)
    assert (_Winograd.apply(x, kernel, side // 2) - exact).abs().max() < 2e-5 * exact.abs().max()


def test_a_second_derivative_is_refused():
    x, kernel = pair((4, 4))
    (slope,) = torch.autograd.grad(_Winograd.apply(x, kernel, 1).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


@pytest.mark.parametrize(
    ("channels", "settings", "expected"),
    [
        ((256, 256), {"padding": 1}, True),
        ((128, 1024), {"padding": 1}, True),
        ((64, 1024), {"padding": 1}, False),  # too narrow on one side
        ((128, 256), {"padding": 1}, False),  # too few pairs
        ((256, 256), {"padding": 0}, False),
        ((256, 256), {"padding": 1, "stride": 2}, False),
        ((256, 256), {"padding": 1, "padding_mode": "replicate"}, True),
        ((256, 256), {"padding": 1, "padding_mode": "circular"}, False),
        ((256, 256), {"padding": 2, "dilation": 2}, False),
        ((256, 256), {"padding": 1, "groups": 2}, False),
    ],
)
def test_it_is_taken_where_it_is_wide_and_plain(channels, settings, expected):
    conv = WideConv2d(*channels, 3, **settings)
    x = torch.randn(1, channels[0], 6, 6)
    theirs = torch.nn.Conv2d.forward(conv, x)
    torch.testing.assert_close(conv(x), theirs, rtol=0, atol=1e-4)
    assert conv.takes_winograd(x) == expected


def test_it_is_taken_in_full_precision_on_a_cpu_alone():
    conv = WideConv2d(256, 256, 3, padding=1)
    x = torch.randn(1, 256, 6, 6)
    assert conv.takes_winograd(x.double())
    assert not conv.takes_winograd(x.bfloat16())
    assert not conv.takes_winograd(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not conv.takes_winograd(x)
        conv(x).float().sum().backward()  # torch's own takes bf16 backward
    assert conv.to("meta")(x.to("meta")).shape == x.shape


def test_kernels_of_another_size_are_torchs():
    assert WideConv2d(256, 256, 5, padding=2).is_wide
    assert not WideConv2d(256, 256, 7, padding=3).is_wide
    assert not WideConv2d(256, 256, 1).is_wide
    assert not WideConv2d(256, 256, (3, 1), padding=(1, 0)).is_wide


def test_the_published_cross_scale_subnet_gives_what_it_gave(monkeypatch):
    torch.manual_seed(0)
    subnet = CrossScaleSubnet([152, 152], [304, 304], 512, (3, 3))
    maps = (torch.randn(1, 152, 8, 8), torch.randn(1, 152, 4, 4))
    fast = subnet(maps)
    monkeypatch.setattr(WideConv2d, "is_wide", False)
    for mine, their in zip(fast, subnet(maps), strict=True):
        torch.testing.assert_close(mine, their, rtol=0, atol=1e-5)
