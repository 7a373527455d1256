"""Anomaly maps in units of what normal samples have at the same place."""

import torch
from torch import Tensor, nn
from torch.nn import functional

PRIOR = 0.5  # samples that the deviation of all positions counts as, at each of them
SMOOTH = (0.25, 0.5, 0.25)  # along each side: neighbours tell of a position what a few samples cannot


class PositionLevels(nn.Module):
    """Level and spread of anomaly maps at each position of normal samples that the detector did not learn from.

    Where a part ends, or has a ridge, distances are large in good parts too; there the whole map's largest values would
    lie, whatever is broken elsewhere. A position's level is the mean over the samples and its neighbours, its spread
    the deviation from it, towards that of all positions where samples are few. Both are of the foreground alone.

    Args:
        height, width: of the maps.

    Example:
        >>> levels = PositionLevels(1, 2)
        >>> maps = torch.tensor([[[1.0, 5.0]], [[3.0, 7.0]]])
        >>> levels.fit(maps, torch.ones_like(maps) > 0)
        >>> levels(torch.tensor([[[2.0, 9.0]]])).shape
        torch.Size([1, 1, 2])
    """

    level: Tensor
    spread: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("level", torch.zeros(height, width))
        self.register_buffer("spread", torch.ones(height, width))

    def fit(self, maps: Tensor, inside: Tensor) -> None:
        """Take level and spread from maps (n, H, W) at their foreground (n, H, W), n at least 1."""
        maps, weight = maps.double(), inside.double()
        count, whole = weight.sum(0), weight.sum()
        mean = (maps * weight).sum() / whole
        seen = _smooth(count)
        level = (_smooth((maps * weight).sum(0)) + 1e-3 * mean) / (seen + 1e-3)
        squares = (maps - level).square() * weight
        variance = squares.sum() / whole
        spread = ((_smooth(squares.sum(0)) + PRIOR * variance) / (seen + PRIOR)).sqrt()
        self.level.copy_(level)
        self.spread.copy_(spread.clamp(min=1e-6))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (batch, H, W) less the level, over the spread."""
        return (maps - self.level) / self.spread


def _smooth(values: Tensor) -> Tensor:
    """Binomial mean (H, W) over 3 x 3, of which the border sees what there is."""
    line = torch.tensor(SMOOTH, dtype=values.dtype, device=values.device)
    kernel = (line[:, None] * line)[None, None]
    ones = functional.conv2d(torch.ones_like(values)[None, None], kernel, padding=1)
    return (functional.conv2d(values[None, None], kernel, padding=1) / ones)[0, 0]
