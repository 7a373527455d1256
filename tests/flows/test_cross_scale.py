"""What the cross-scale subnet does otherwise for many channels."""

import pytest
import torch
from torch import nn

from endline.flows import cross_scale


@pytest.mark.parametrize(("kernel", "size"), [((3, 3), (8, 6)), ((5, 5), (7, 5)), ((5, 1), (6, 1))])
def test_many_channels_are_mixed_before_they_are_raised_to_the_same_result(kernel, size, monkeypatch):
    up = nn.Conv2d(6, 4, kernel, padding=(kernel[0] // 2, kernel[1] // 2)).double()
    x = torch.randn(2, 6, -(-size[0] // 2), -(-size[1] // 2), dtype=torch.float64, requires_grad=True)
    found = []
    for wide in (7, 6):
        monkeypatch.setattr(cross_scale, "WIDE", wide)
        y = cross_scale.raised_convolution(up, x, torch.Size(size))
        found.append((y, *torch.autograd.grad(y.square().sum(), [x, *up.parameters()])))
    for few, many in zip(*found, strict=True):
        torch.testing.assert_close(few, many)
