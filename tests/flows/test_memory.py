"""The C library's memory is prepared once, and for wide layers on a CPU alone."""

import pytest
from torch import nn

from endline.flows import memory
from endline.flows.long_convolution import LongConv1d
from endline.flows.memory import prepare_memory
from endline.flows.winograd import WideConv2d


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(256, 256, 3, padding=1), 0),
        (WideConv2d(256, 256, 3, padding=1), 1),
        (WideConv2d(256, 256, 3, padding=1, device="meta"), 0),
        (WideConv2d(8, 8, 3, padding=1), 0),
        (LongConv1d(65, 260, 13), 1),
        (LongConv1d(3, 4, 13), 0),
    ],
)
def test_wide_layers_on_a_cpu_keep_freed_memory(layer, expected, monkeypatch):
    calls: list[int] = []
    monkeypatch.setattr(memory, "keep_freed_memory", lambda: calls.append(1))
    prepare_memory(nn.Sequential(layer, layer))
    assert len(calls) == expected
