"""How far a vector lies from training vectors, in units of their own distances to each other."""

from typing import Protocol

import torch
from torch import Tensor, nn

from endline.detectors.local_density import (
    check_names,
    density_and_distance,
    normalised_distance,
    normalised_nearest,
)
from endline.errors import EndlineError


class NeighbourSettings(Protocol):
    """What a detector with a `NeighbourScore` has among its settings.

    Attributes:
        floor: least deviation by which a number is divided, as a share of the mean one: numbers that hardly vary in
            training must not outweigh all others.
        neighbours: nearest training vectors whose normalised distances are averaged.
        density_neighbours: neighbours of a training vector that tell how dense it lies.
        normalisation: of distances by the density: `ratio`, `difference`, `none`.

    Example:
        >>> from endline.detectors.sound.ranked_neighbour import RankedNeighbourConfig
        >>> settings: NeighbourSettings = RankedNeighbourConfig()
    """

    @property
    def floor(self) -> float:
        """See above."""
        ...

    @property
    def neighbours(self) -> int:
        """See above."""
        ...

    @property
    def density_neighbours(self) -> int:
        """See above."""
        ...

    @property
    def normalisation(self) -> str:
        """See above."""
        ...


def check_neighbours(owner: str, settings: NeighbourSettings) -> None:
    """Refuse settings by which no distance can be told, naming their `owner`.

    Raises:
        EndlineError: for an unknown normalisation, or no neighbours.

    Example:
        >>> from endline.detectors.sound.ranked_neighbour import RankedNeighbourConfig
        >>> check_neighbours("ranked_neighbour", RankedNeighbourConfig(density_neighbours=0))
        Traceback (most recent call last):
        endline.errors.EndlineError: ranked_neighbour has density_neighbours=0: choose at least 1.
    """
    check_names(owner, "squared_euclidean", settings.normalisation)
    for name in ("neighbours", "density_neighbours"):
        if getattr(settings, name) < 1:
            raise EndlineError(f"{owner} has {name}={getattr(settings, name)}: choose at least 1.")


class NeighbourScore(nn.Module):
    """Training vectors in units of each number's spread, how dense they lie, and their own distances to each other.

    Args:
        samples, numbers: training vectors, and how many numbers each has.
        whitened: numbers that vary together in training are taken apart, so that what they share counts once.

    Example:
        >>> from endline.detectors.sound.ranked_neighbour import RankedNeighbourConfig
        >>> known = NeighbourScore(samples=30, numbers=4)
        >>> known.learn(torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), RankedNeighbourConfig())
        >>> near, far = known(torch.tensor([[0.0] * 4, [9.0] * 4]), RankedNeighbourConfig())
        >>> bool(far > near)
        True
    """

    vectors: Tensor
    spread: Tensor
    whitening: Tensor | None
    density: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, samples: int, numbers: int, *, whitened: bool = False) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(samples, numbers))
        self.register_buffer("spread", torch.ones(numbers))
        self.register_buffer("whitening", torch.eye(numbers) if whitened else None)
        self.register_buffer("density", torch.ones(samples))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def learn(
        self, vectors: Tensor, settings: NeighbourSettings, spread: Tensor | None = None, *, ridge: float = 0.0
    ) -> None:
        """Keep the training vectors (samples, numbers).

        Args:
            vectors: (samples, numbers).
            settings: how they are compared.
            spread: (numbers,), what each number is divided by; None: its deviation, with the settings' floor.
            ridge: where they are whitened, what is added to their covariance, in units of its mean variance: the more,
                the less is taken apart.
        """
        if spread is None:
            own = vectors.std(0, correction=0)
            level = settings.floor * own.mean().clamp(min=1e-6)
            spread = (own.square() + level.square()).sqrt()
        self.spread = spread
        if self.whitening is not None:
            self.whitening = _whitening(vectors / spread, ridge)
        self.vectors = self._scaled(vectors)
        s = settings
        self.density, away = density_and_distance(self.vectors, s.density_neighbours, s.neighbours, s.normalisation)
        own = _compared(away, s)
        self.mean, self.deviation = own.mean(), own.std(correction=0).clamp(min=1e-3)

    def forward(self, vectors: Tensor, settings: NeighbourSettings) -> Tensor:
        """Scores (batch,) of vectors (batch, numbers): deviations above the mean of the training vectors' own."""
        s = settings
        new = self._scaled(vectors)
        away = normalised_distance(new, self.vectors, self.density, s.neighbours, normalisation=s.normalisation)
        return (_compared(away, s) - self.mean) / self.deviation

    def difference(self, vector: Tensor, settings: NeighbourSettings) -> Tensor:
        """What each number of a vector (numbers,) is above that of the nearest training vector, in units of its spread.

        Where they are whitened, without what goes with others: no rotation is in it, so each number stays itself.

        Example:
            >>> from endline.detectors.sound.ranked_neighbour import RankedNeighbourConfig
            >>> NeighbourScore(samples=2, numbers=2).difference(torch.tensor([3.0, 0.0]), RankedNeighbourConfig())
            tensor([3., 0.])
        """
        new = self._scaled(vector)
        normalisation = settings.normalisation
        _, rows = normalised_nearest(new[None], self.vectors, self.density, 1, normalisation=normalisation)
        return new - self.vectors[rows[0, 0]]

    def _scaled(self, vectors: Tensor) -> Tensor:
        """Vectors as they are compared, (..., numbers)."""
        scaled = vectors / self.spread
        return scaled if self.whitening is None else scaled @ self.whitening


def _whitening(vectors: Tensor, ridge: float) -> Tensor:
    """Symmetric matrix (numbers, numbers) that whitens vectors (samples, numbers), near 1 where `ridge` is large."""
    variances, directions = torch.linalg.eigh(torch.cov(vectors.T.double(), correction=0))
    mean = variances.mean().clamp(min=1e-12)
    gains = ((1 + ridge) * mean / (variances.clamp(min=0) + ridge * mean)).sqrt()
    whitening: Tensor = (directions * gains) @ directions.T
    return whitening.to(vectors.dtype)


def _compared(distance: Tensor, settings: NeighbourSettings) -> Tensor:
    """Distances as they are standardised: ratios by their logarithm, for they are skew."""
    return distance.clamp(min=1e-6).log() if settings.normalisation == "ratio" else distance
