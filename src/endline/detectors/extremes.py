"""What an array reaches at each place in normal samples, and by how much another one exceeds that."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.feature_set import FeatureSet

BATCH = 64
MARGIN, LEAST = 1.5, 0.5  # times what a normal sample exceeds all others by, which is taken as so much at least


class Extremes(nn.Module):
    """The largest values of normal samples around each position, and by how much one of them exceeds all others.

    A deep hole lies in the shadow of its rim: it is not measured, and what is filled from its neighbours looks whole to
    whoever reads depths. Yet edges of good parts are not measured either, so a gap is compared with those that normal
    parts have there. A part with a piece broken off looks like a shorter one to whoever looks at its surface, so how
    far each place lies inside of the outline, and outside, is compared too.

    Args:
        channels, height, width: of the array.

    Example:
        >>> import numpy as np
        >>> extremes = Extremes(1, 4, 4)
        >>> normal = np.zeros((3, 1, 4, 4), "f4")
        >>> normal[:, 0, 0, 0] = 3.0, 3.5, 4.0
        >>> extremes.fit(FeatureSet({"gap": normal}), "gap")
        >>> new = torch.zeros(2, 1, 4, 4)
        >>> new[0, 0, 0, 0] = new[1, 0, 2, 2] = 4.0
        >>> extremes(new).flatten(1).amax(1)
        tensor([0.0000, 3.2500])
    """

    most: Tensor
    margin: Tensor

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("most", torch.zeros(channels, height, width))
        self.register_buffer("margin", torch.zeros(channels, 1, 1))

    def fit(self, features: FeatureSet, name: str) -> None:
        """Take what is usual from an array (channels, height, width) of normal samples, which is read twice.

        Args:
            features: at least two samples.
            name: of the array.
        """
        features = features.only((name,))
        largest = torch.full((2, *self.most.shape), -torch.inf, device=self.most.device)  # and the second largest
        for batch in features.batches(BATCH):
            largest = torch.cat([largest, _around(batch[name])]).topk(2, dim=0).values
        first, second = largest
        self.most.copy_(first)
        self.margin.fill_(LEAST)
        for batch in features.batches(BATCH):
            others = torch.where(_around(batch[name]) == first, second, first)
            self.margin.copy_((batch[name] - others).amax((0, 2, 3)).reshape(-1, 1, 1).maximum(self.margin))
        self.margin.mul_(MARGIN)

    def forward(self, values: Tensor) -> Tensor:
        """By how much values (batch, channels, height, width) exceed what is usual there: (batch, height, width)."""
        return (values - self.most - self.margin).clamp(min=0).amax(1)


def _around(values: Tensor) -> Tensor:
    """The largest value of a position and its neighbours: parts do not lie to a pixel where others lay."""
    return functional.max_pool2d(values, 3, 1, 1)
