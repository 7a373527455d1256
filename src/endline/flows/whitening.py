"""Whitening of channels in front of a flow, fitted in closed form on normal vectors."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Whitening(nn.Module):
    """Principal components of the channels, each scaled to unit variance over the training positions.

    Args:
        channels: channels that come in.
        components: principal components that stay, 1 <= components <= channels.
    """

    mean: Tensor
    projection: Tensor

    def __init__(self, channels: int, components: int) -> None:
        super().__init__()
        if not 1 <= components <= channels:
            raise ValueError(f"components must lie between 1 and {channels}, got {components}")
        self.components = components
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("projection", torch.zeros(components, channels))

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], floor: float = 1e-5) -> None:
        """Fit on all vectors of batches (n, channels, ...), seen once, batch by batch.

        Args:
            batches: the training maps or vectors.
            floor: share of the largest variance below which a component's variance is not believed, so that
                constant channels stay finite.
        """
        count, total, products = 0, torch.zeros_like(self.mean).double(), torch.zeros(1)
        for batch in batches:
            vectors = batch.transpose(0, 1).flatten(1).double()
            if count == 0:  # sums are taken around a first guess of the mean, for precision
                guess = vectors.mean(1)
                products = torch.zeros(len(guess), len(guess), dtype=torch.float64)
            vectors = vectors - guess[:, None]
            total += vectors.sum(1)
            products += vectors @ vectors.T
            count += vectors.shape[1]
        shift = total / count
        covariance = products / count - torch.outer(shift, shift)
        values, vectors = torch.linalg.eigh(covariance)
        values, vectors = values.flip(0)[: self.components], vectors.flip(1)[:, : self.components]
        smallest = max(float(values[0]) * floor, 1e-12)
        self.mean.copy_(guess + shift)
        self.projection.copy_((vectors / values.clamp(min=smallest).sqrt()).T)

    def forward(self, x: Tensor) -> Tensor:
        """Whitened maps (n, components, ...) of maps (n, channels, ...)."""
        bias = self.projection @ self.mean
        y = torch.einsum("kc,nc...->nk...", self.projection, x)
        return y - bias.view(1, -1, *[1] * (x.ndim - 2))
