"""Spots of a part that a sensor did not measure, where it measured those of normal parts."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.feature_set import FeatureSet

GAP = "gap"  # the array that holds them
BATCH = 64
MARGIN, LEAST = 1.5, 0.5  # times what normal parts exceed each other by, which is taken as so many pixels at least


class Gaps(nn.Module):
    """The largest gap of normal samples around each position, and by how much one sample exceeds all others.

    A deep hole lies in the shadow of its rim: it is not measured, and what is filled from its neighbours looks whole to
    whoever reads depths. Yet edges of good parts are not measured either, so a gap is compared with those that normal
    parts have there.

    Args:
        height, width: of the arrays.

    Example:
        >>> import numpy as np
        >>> gaps = Gaps(4, 4)
        >>> normal = np.zeros((3, 1, 4, 4), "f4")
        >>> normal[:, 0, 0, 0] = 3.0, 3.5, 4.0
        >>> gaps.fit(FeatureSet({"gap": normal}))
        >>> new = torch.zeros(2, 1, 4, 4)
        >>> new[0, 0, 0, 0] = new[1, 0, 2, 2] = 4.0
        >>> gaps(new).flatten(1).amax(1)
        tensor([0.0000, 3.2500])
    """

    most: Tensor
    margin: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("most", torch.zeros(height, width))
        self.register_buffer("margin", torch.zeros(()))

    def fit(self, features: FeatureSet) -> None:
        """Take what is usual from the array `gap` (1, height, width) of normal samples, which is read twice."""
        features = features.only((GAP,))
        largest = torch.zeros(2, *self.most.shape, device=self.most.device)  # and the second largest
        for batch in features.batches(BATCH):
            largest = torch.cat([largest, _around(batch[GAP])]).topk(2, dim=0).values
        first, second = largest
        self.most.copy_(first)
        self.margin.fill_(LEAST)
        for batch in features.batches(BATCH):
            others = torch.where(_around(batch[GAP]) == first, second, first)
            self.margin.copy_((batch[GAP][:, 0] - others).amax().maximum(self.margin))
        self.margin.mul_(MARGIN)

    def forward(self, gaps: Tensor) -> Tensor:
        """By how many pixels gaps (batch, 1, height, width) exceed what is usual there: (batch, height, width)."""
        return (gaps[:, 0] - self.most - self.margin).clamp(min=0)


def _around(gaps: Tensor) -> Tensor:
    """The largest gap of a position and its neighbours: parts do not lie to a pixel where others lay."""
    return functional.max_pool2d(gaps, 3, 1, 1)[:, 0]
