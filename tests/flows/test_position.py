"""The position code: sines and cosines of column and row."""

import math

import pytest
import torch

from endline.errors import EndlineError
from endline.flows.position import position_code


def test_four_channels_are_sine_and_cosine_of_column_and_row():
    code = position_code(4, 3, 5)
    assert code.shape == (4, 3, 5)
    expected = [math.sin(4), math.cos(4), math.sin(2), math.cos(2)]
    assert code[:, 2, 4].tolist() == pytest.approx(expected, abs=1e-6)


def test_frequencies_fall_geometrically():
    code = position_code(16, 1, 2)  # four frequencies: 1, 1/10, 1/100, 1/1000
    assert code[:4, 0, 1].tolist() == pytest.approx([math.sin(10.0**-power) for power in range(4)], abs=1e-6)


@pytest.mark.parametrize("channels", [4, 32, 128])
def test_half_of_the_channels_tells_the_column_and_half_the_row(channels):
    code = position_code(channels, 6, 7)
    assert torch.equal(code[: channels // 2], code[: channels // 2, :1].expand(-1, 6, -1))
    assert torch.equal(code[channels // 2 :], code[channels // 2 :, :, :1].expand(-1, -1, 7))


def test_no_two_positions_share_a_code():
    vectors = position_code(32, 48, 48).flatten(1).T.double()
    assert torch.pdist(vectors).min() > 0.1
    assert vectors.abs().max() <= 1


@pytest.mark.parametrize("channels", [-4, 2, 30])
def test_other_numbers_of_channels_are_told(channels):
    with pytest.raises(EndlineError) as caught:
        position_code(channels, 4, 4)
    assert str(caught.value) == f"A position code cannot have {channels} channels: choose a multiple of 4."


def test_no_channels_are_an_empty_code():
    assert position_code(0, 3, 4).shape == (0, 3, 4)
