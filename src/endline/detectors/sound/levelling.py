"""Clips of sound around the mean of each band, in units of one deviation that all bands share."""

import torch
from torch import Tensor, nn

from endline.feature_set import FeatureSet

BATCH = 16
CONSTANT = 1e-6  # float32 numbers that vary by less than this share of their size vary by rounding alone


class Levelling(nn.Module):
    """Clips less the training mean of each band, over the deviation of all bands together.

    One deviation for all, so that an error keeps the weight that it has in decibels: a deviation of each band's own
    would raise what hardly varies. Unfitted, it is the identity.

    Args:
        bands: their number.

    Example:
        >>> import numpy as np
        >>> level = Levelling(2)
        >>> level.fit(FeatureSet({"log_mel": np.array([[[-21.0, -19.0], [-2.0, 2.0]]], "f4")}), "log_mel")
        >>> level.mean.flatten().tolist(), round(1 / float(level.gain) ** 2, 4)
        ([-20.0, 0.0], 2.5)
    """

    mean: Tensor
    gain: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(bands, 1))
        self.register_buffer("gain", torch.ones(()))

    @torch.no_grad()
    def fit(self, features: FeatureSet, name: str) -> None:
        """Take mean and deviation from an array (bands, T) of all samples, in one pass in float64."""
        frames, total = 0, torch.zeros_like(self.mean).double()
        squares = torch.zeros_like(total)
        for batch in features.only((name,)).batches(BATCH):
            clips = batch[name].transpose(0, 1).flatten(1).double()
            frames += clips.shape[1]
            total += clips.sum(1, keepdim=True)
            squares += clips.square().sum(1, keepdim=True)
        mean = total / frames
        deviation = (squares / frames - mean.square()).clamp(min=0).mean().sqrt()
        self.mean.copy_(mean)
        self.gain.copy_(torch.where(deviation > CONSTANT * mean.abs().amax().clamp(min=1e-6), 1 / deviation, 1.0))

    def forward(self, clips: Tensor) -> Tensor:
        """Levelled clips (n, bands, T)."""
        return (clips - self.mean) * self.gain
