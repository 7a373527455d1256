"""The position of a feature as a code of sines and cosines."""

import math

import torch
from torch import Tensor

from endline.errors import EndlineError


def position_code(channels: int, height: int, width: int) -> Tensor:
    """Code of every position, (channels, height, width), in [-1, 1]; no two positions share one.

    The first half of the channels gives x (the column), the second y (the row): each a sine and a cosine at
    `channels / 4` frequencies that fall from 1 to nearly 1e-4 radians a position (Vaswani et al. 2017, section 3.5).

    Args:
        channels: a multiple of 4; published 32 (AST) and 128 (CFLOW); 0 = an empty code.
        height: of the map.
        width: of the map.

    Raises:
        EndlineError: for another number of channels.

    Example:
        >>> position_code(32, height=24, width=16).shape
        torch.Size([32, 24, 16])
    """
    if channels < 0 or channels % 4:
        raise EndlineError(f"A position code cannot have {channels} channels: choose a multiple of 4.")
    count = channels // 4
    rates = torch.exp(-math.log(1e4) * torch.arange(count, dtype=torch.float64) / max(count, 1))

    def waves(length: int) -> Tensor:  # (2 * count, length)
        phases = rates[:, None] * torch.arange(length, dtype=torch.float64)
        return torch.cat([phases.sin(), phases.cos()])

    columns = waves(width)[:, None, :].expand(-1, height, -1)
    rows = waves(height)[:, :, None].expand(-1, -1, width)
    return torch.cat([columns, rows]).float()
