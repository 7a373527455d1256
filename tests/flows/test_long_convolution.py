"""The convolution in the frequency domain is the plain one: values and gradients."""

import pytest
import torch
from torch.nn import functional

from endline.flows import long_convolution
from endline.flows.long_convolution import LongConv1d, steps_of


def plain(layer: LongConv1d, x: torch.Tensor) -> torch.Tensor:
    reach = layer.kernel_size[0] // 2 * layer.dilation[0]
    padded = functional.pad(x, (reach, reach), mode="replicate")
    return functional.conv1d(padded, layer.weight, layer.bias, dilation=layer.dilation)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 13, 31])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 2, 55, 56, 57, 200])
def test_it_equals_the_plain_convolution(kernel, dilation, steps):
    torch.manual_seed(0)
    layer = LongConv1d(3, 4, kernel, dilation).double()
    x = torch.randn(2, 3, steps, dtype=torch.float64, requires_grad=True)
    found, expected = layer(x), plain(layer, x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    weights = torch.randn_like(found)
    inputs = (x, layer.weight, layer.bias)
    slopes = torch.autograd.grad((found * weights).sum(), inputs)
    for one, other in zip(slopes, torch.autograd.grad((expected * weights).sum(), inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_single_precision_is_as_exact_as_the_plain_one():
    torch.manual_seed(0)
    layer = LongConv1d(65, 260, 13, 2)
    x = torch.randn(2, 65, 300)
    wanted = functional.conv1d(
        functional.pad(x.double(), (12, 12), mode="replicate"),
        layer.weight.double(), layer.bias.double(), dilation=2,
    )  # fmt: skip
    assert (layer(x) - wanted).abs().max() < 5e-6 * wanted.abs().max()
    with torch.no_grad():
        assert (layer.eval()(x[:1]) - wanted[:1]).abs().max() < 5e-6 * wanted.abs().max()


def test_no_gradient_is_made_for_an_input_that_needs_none():
    layer = LongConv1d(2, 2, 13)
    layer(torch.randn(1, 2, 40)).sum().backward()
    assert layer.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_in_evaluation_the_spectra_of_the_kernels_are_made_once(monkeypatch):
    used, products = [], long_convolution._three_products
    monkeypatch.setattr(
        long_convolution, "_three_products", lambda x, k, *rest: used.append(k) or products(x, k, *rest)
    )
    layer, x = LongConv1d(2, 3, 5).eval(), torch.randn(1, 2, 40)
    torch.testing.assert_close(layer(x), layer(x), rtol=0, atol=0)
    layer.train().eval()(x)
    first, second, anew = used
    assert second is first
    assert anew is not first


@torch.no_grad()
@pytest.mark.parametrize("kernel", [1, 3, 13, 31])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 2, 55, 56, 57, 200])
def test_a_single_sample_without_gradient_equals_the_plain_convolution(kernel, dilation, steps):
    torch.manual_seed(0)
    layer = LongConv1d(3, 4, kernel, dilation).double().eval()
    x = torch.randn(1, 3, steps, dtype=torch.float64)
    torch.testing.assert_close(layer(x), plain(layer, x), rtol=0, atol=1e-12)
    rectified = steps_of(layer.tiles(x, rectify=True), 1, dilation, steps)
    torch.testing.assert_close(rectified, plain(layer, x).relu(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("change", ["in place", "loaded", "trained", "double", "replaced"])
def test_kept_spectra_follow_the_weight(change):
    torch.manual_seed(0)
    layer, x = LongConv1d(2, 3, 5).eval(), torch.randn(1, 2, 40)
    with torch.no_grad():
        layer(x)
    if change == "in place":
        with torch.no_grad():
            layer.weight.mul_(2)
    elif change == "loaded":
        layer.load_state_dict(LongConv1d(2, 3, 5).state_dict())
    elif change == "trained":
        optimizer = torch.optim.Adam(layer.train().parameters(), 0.1, fused=True)
        layer(x).sum().backward()
        optimizer.step()
        layer.eval()
    elif change == "double":
        layer, x = layer.double(), x.double()
    else:
        layer.weight.data = torch.randn(3, 2, 5)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), plain(layer, x), rtol=0, atol=1e-5)
