"""Whitening in front of a flow, fitted in closed form on normal vectors.

It computes in full precision whatever the precision of the run: where the variance is small, the digits that TF32 or
bf16 drop are multiplied by hundreds.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from endline.compute import Compute


class Whitening(nn.Module):
    """Principal components of the channels, each scaled to unit variance over the training positions.

    Args:
        channels: channels that come in.
        components: principal components that stay, 1 <= components <= channels.

    Example:
        >>> maps = torch.randn(20, 6, 8, 8)
        >>> whitening = Whitening(channels=6, components=4)
        >>> whitening.fit([maps])
        >>> whitening(maps).shape
        torch.Size([20, 4, 8, 8])
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
        """Fit on all vectors of batches (n, channels, ...), seen once, batch by batch, in float64 on their device.

        Args:
            batches: the training maps or vectors.
            floor: share of the largest variance below which a component's variance is not believed, so that
                constant channels stay finite.
        """
        count = 0
        for batch in batches:
            vectors = batch.transpose(0, 1).flatten(1).double()
            if count == 0:  # sums are taken around a first guess of the mean, for precision
                guess = vectors.mean(1)
                total, products = torch.zeros_like(guess), guess.new_zeros(len(guess), len(guess))
            vectors = vectors - guess[:, None]
            total += vectors.sum(1)
            products += vectors @ vectors.T
            count += vectors.shape[1]
        shift = total / count
        covariance = products / count - torch.outer(shift, shift)
        values, vectors = torch.linalg.eigh(covariance)
        values, vectors = values.flip(0)[: self.components], vectors.flip(1)[:, : self.components]
        smallest = (values[0] * floor).clamp(min=1e-12)
        self.mean.copy_(guess + shift)
        self.projection.copy_((vectors / values.clamp(min=smallest).sqrt()).T)

    def forward(self, x: Tensor) -> Tensor:
        """Whitened maps (n, components, ...) of maps (n, channels, ...)."""
        with Compute(str(x.device)).active():
            bias = self.projection @ self.mean
            y = torch.einsum("kc,nc...->nk...", self.projection, x)
        return y - bias.view(1, -1, *[1] * (x.ndim - 2))


class ShrunkWhitening(nn.Module):
    """Whitening of whole vectors from fewer samples than dimensions; it keeps the order of the coordinates.

    The covariance is shrunk towards a multiple of the identity by the share of Ledoit and Wolf ("A well-conditioned
    estimator for large-dimensional covariance matrices", 2004), and x becomes `covariance^(-1/2) (x - mean)`: its
    squared norm is the Mahalanobis distance. Only the directions of the samples are stored, all others share one
    variance, so that nothing of size dimensions x dimensions is ever made.

    Args:
        dimensions: length of a vector.
        samples: number of training vectors.
        components: directions of the samples with a variance of their own, largest first; 0 = all.

    Example:
        >>> vectors = torch.randn(20, 768)
        >>> whitening = ShrunkWhitening(dimensions=768, samples=20)
        >>> whitening.fit(vectors)
        >>> mahalanobis = whitening(vectors).square().sum(1)
    """

    mean: Tensor
    directions: Tensor
    gains: Tensor
    rest: Tensor

    def __init__(self, dimensions: int, samples: int, components: int = 0) -> None:
        super().__init__()
        count = min(samples, dimensions, components or samples)
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("directions", torch.zeros(count, dimensions))
        self.register_buffer("gains", torch.zeros(count))
        self.register_buffer("rest", torch.ones(()))

    @torch.no_grad()
    def fit(self, vectors: Tensor) -> None:
        """Fit on vectors (samples, dimensions), in float64 on their device."""
        count, dimensions = vectors.shape
        mean = vectors.double().mean(0)
        away = vectors.double() - mean
        gram = away @ away.T
        variance = float(gram.trace()) / (count * dimensions)
        share = ledoit_wolf_share(gram, dimensions)
        values, vectors = torch.linalg.eigh(gram)
        kept = len(self.gains)
        values, vectors = values.flip(0)[:kept].clamp(min=0), vectors.flip(1)[:, :kept]
        # Equal samples have no variance at all: a tiny one keeps the scores finite.
        rest = max(share * variance, 1e-6 * variance, 1e-12)
        spread = (1 - share) * values / count + rest
        lengths = values.sqrt().clamp(min=1e-12)
        real = (values > values[0] * 1e-9).to(values.dtype)  # the mean costs one direction
        self.mean.copy_(mean)
        self.directions.copy_((away.T @ (vectors / lengths * real)).T)
        self.gains.copy_(spread.rsqrt() - rest**-0.5)
        self.rest.fill_(rest**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Whitened vectors (n, dimensions) of vectors (n, dimensions)."""
        away = x - self.mean
        with Compute(str(x.device)).active():
            return self.rest * away + ((away @ self.directions.T) * self.gains) @ self.directions


def ledoit_wolf_share(gram: Tensor, dimensions: int) -> float:
    """Share in [0, 1] of the identity in the Ledoit-Wolf covariance, from the Gram matrix of centred vectors.

    Args:
        gram: (samples, samples) inner products of the centred vectors.
        dimensions: their length.
    """
    count = len(gram)
    squares = float(gram.square().sum()) / count**2
    spread = squares - float(gram.trace()) ** 2 / count**2 / dimensions
    error = (float(gram.diagonal().square().sum()) / count - squares) / count
    return 1.0 if spread <= 0 else min(1.0, max(0.0, error / spread))
