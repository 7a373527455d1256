"""The nineteen anomaly scores of AEGAN-AD: errors of a reconstruction, and places of an embedding."""

from collections.abc import Callable, Mapping

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.statistics import local_reachability_density, nearest, shrunk_gaussian, squared_mahalanobis

ERRORS = ("spectrogram_l2", "spectrogram_l1", "latent_l2", "latent_l1", "latent_cosine")
AGGREGATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda errors: errors.sum(1),
    "min": lambda errors: errors.amin(1),
    "max": lambda errors: errors.amax(1),
}
EMBEDDINGS = ("embedding_mahalanobis", "embedding_knn", "embedding_lof", "embedding_cosine")
# Jiang 2023, section 2.2, and the authors' program where the text leaves open which distance goes with which
# algorithm: no cosine between spectrograms, Mahalanobis to the mean alone, neighbours by cosine alone.
VARIANTS = (*(f"{error}_{way}" for error in ERRORS for way in AGGREGATIONS), *EMBEDDINGS)


def window_errors(real: Tensor, rebuilt: Tensor, latent: Tensor, latent_rebuilt: Tensor) -> dict[str, Tensor]:
    """The errors of `ERRORS` of windows, (n,) each; L2 is squared, as in the authors' program.

    Args:
        real: windows (n, ...).
        rebuilt: their reconstructions.
        latent: what the generator's encoder makes of the windows, (n, d).
        latent_rebuilt: what it makes of the reconstructions.

    Example:
        >>> ones, zeros = torch.ones(1, 4), torch.zeros(1, 4)
        >>> {name: error.item() for name, error in window_errors(ones, zeros, 2 * ones, ones).items()}
        {'spectrogram_l2': 4.0, 'spectrogram_l1': 4.0, 'latent_l2': 4.0, 'latent_l1': 4.0, 'latent_cosine': 0.0}
    """
    picture, vector = (real - rebuilt).flatten(1), latent - latent_rebuilt
    errors = (picture.square(), picture.abs(), vector.square(), vector.abs())
    return dict(zip(ERRORS, (*(each.sum(1) for each in errors), cosine_distance(latent, latent_rebuilt)), strict=True))


def aggregated(errors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scores (batch,) of clips from the errors (batch, windows) of their windows, each in every way.

    Example:
        >>> {name: score.tolist() for name, score in aggregated({"latent_l1": torch.tensor([[1.0, 3.0]])}).items()}
        {'latent_l1_sum': [4.0], 'latent_l1_min': [1.0], 'latent_l1_max': [3.0]}
    """
    return {f"{name}_{way}": join(values) for name, values in errors.items() for way, join in AGGREGATIONS.items()}


def cosine_distance(vectors: Tensor, others: Tensor) -> Tensor:
    """One less the cosine of the angle, (n,), of vectors (n, d) and others (n, d) or (d,).

    Example:
        >>> cosine_distance(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0.0, 1.0])).tolist()
        [1.0, 0.0]
    """
    return (_unit(vectors) - _unit(others)).square().sum(-1) / 2  # of near vectors it keeps more digits than 1 - cos


class EmbeddingScores(nn.Module):
    """How far the embeddings of clips lie from those of the training clips, in float64.

    `embedding_mahalanobis` and `embedding_cosine` are distances to the mean; `embedding_knn` is the mean cosine
    distance to the nearest training clips, `embedding_lof` the local outlier factor by that distance.

    Args:
        samples: training clips.
        length: of an embedding.
        neighbours: of `embedding_knn`; all others where there are fewer.
        lof_neighbours: of `embedding_lof`.
        shrinkage: share of the mean variance in the covariance, see `shrunk_gaussian`.

    Example:
        >>> scores = EmbeddingScores(samples=20, length=3, neighbours=2, lof_neighbours=4, shrinkage=0.01)
        >>> known = scores.fit(torch.rand(20, 3, generator=torch.Generator().manual_seed(0)))
        >>> near, far = scores(torch.tensor([[0.5, 0.5, 0.5], [-1.0, 0.0, 0.0]]))["embedding_knn"]
        >>> bool(far > near)
        True
    """

    mean: Tensor
    precision: Tensor
    vectors: Tensor
    reach: Tensor
    density: Tensor

    def __init__(self, samples: int, length: int, neighbours: int, lof_neighbours: int, shrinkage: float) -> None:
        super().__init__()
        self.neighbours, self.lof_neighbours = (min(each, samples - 1) for each in (neighbours, lof_neighbours))
        self.shrinkage = shrinkage
        sizes = {"mean": (length,), "precision": (length, length), "vectors": (samples, length)}
        for name, size in {**sizes, "reach": (samples,), "density": (samples,)}.items():
            self.register_buffer(name, torch.zeros(size, dtype=torch.float64))

    def fit(self, embeddings: Tensor) -> dict[str, Tensor]:
        """Learn the embeddings (samples, length) of the training clips; returns the scores of each by the others."""
        x = embeddings.double()
        mean, precision = shrunk_gaussian(x, self.shrinkage)
        unit = _unit(x)
        most = max(self.neighbours, self.lof_neighbours)
        found = NearestNeighbors(n_neighbors=most).fit(unit.cpu().numpy()).kneighbors()
        distances, rows = (torch.from_numpy(part).to(x.device) for part in found)
        distances, rows = distances.square() / 2, rows[:, : self.lof_neighbours]
        reach = distances[:, self.lof_neighbours - 1]
        density = local_reachability_density(distances[:, : self.lof_neighbours], reach[rows])
        for name, value in {
            "mean": mean, "precision": precision, "vectors": unit, "reach": reach, "density": density
        }.items():  # fmt: skip
            self.get_buffer(name).copy_(value)
        others = (len(x) * mean - x) / (len(x) - 1)
        values = (
            left_out_mahalanobis(x, self.shrinkage),
            distances[:, : self.neighbours].mean(1),
            density[rows].mean(1) / density,
            cosine_distance(x, others),
        )
        return dict(zip(EMBEDDINGS, values, strict=True))

    def forward(self, embeddings: Tensor) -> dict[str, Tensor]:
        """The scores of `EMBEDDINGS`, (batch,) each, of embeddings (batch, length) of clips."""
        x = embeddings.double()
        squares = squared_mahalanobis(x - self.mean, self.precision).sum(1).clamp(min=0)
        distances, rows = nearest(_unit(x), self.vectors, max(self.neighbours, self.lof_neighbours))
        distances, rows = distances.square() / 2, rows[:, : self.lof_neighbours]
        density = local_reachability_density(distances[:, : self.lof_neighbours], self.reach[rows])
        values = (
            squares.sqrt(),
            distances[:, : self.neighbours].mean(1),
            self.density[rows].mean(1) / density,
            cosine_distance(x, self.mean),
        )
        return dict(zip(EMBEDDINGS, values, strict=True))


def left_out_mahalanobis(x: Tensor, shrinkage: float) -> Tensor:
    """Mahalanobis distance (n,) of each of vectors (n, d) to the mean and covariance of all others, float64.

    Each covariance is that of all but for one vector's square, so that one inverse serves all (Sherman and Morrison
    1950); the mean variance in the shrinkage is that of all.

    Example:
        >>> x = torch.tensor([[-1.0], [1.0], [3.0]]).double()  # the other two: mean 2, variance 1
        >>> round(left_out_mahalanobis(x, 0.0)[0].item(), 2)
        3.0
    """
    count, away = len(x), x - x.mean(0)
    covariance = away.T @ away / count
    least = max(shrinkage, 1e-6) * covariance.diagonal().mean().clamp(min=1e-12)
    identity = torch.eye(len(covariance), dtype=x.dtype, device=x.device)
    kept = (1 - shrinkage) * count / (count - 1)
    precision = torch.linalg.inv(kept * covariance + least * identity)
    squares = squared_mahalanobis(away, precision).sum(1)
    left = (1 - kept / (count - 1) * squares).clamp(min=1e-12)
    return count / (count - 1) * (squares.clamp(min=0) / left).sqrt()


class RankAverage(nn.Module):
    """Mean over all scores of a clip's rank among the training clips, in (0, 1]; a little more beyond all of them.

    Args:
        samples: training clips.

    Example:
        >>> ranks = RankAverage(samples=4)
        >>> ranks.fit({name: torch.arange(4.0) for name in VARIANTS})
        >>> [round(value, 3) for value in ranks({name: torch.tensor([1.0, 3.0, 9.0]) for name in VARIANTS}).tolist()]
        [0.5, 1.0, 1.275]
    """

    known: Tensor

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.register_buffer("known", torch.zeros(len(VARIANTS), samples, dtype=torch.float64))

    def fit(self, scores: Mapping[str, Tensor]) -> None:
        """Learn the scores (samples,) of the training clips by the names of `VARIANTS`."""
        self.known.copy_(torch.stack([scores[name].double() for name in VARIANTS]).sort(1).values)

    def forward(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Mean rank (batch,) of scores (batch,) by the names of `VARIANTS`."""
        values = torch.stack([scores[name].double() for name in VARIANTS])
        samples, largest = self.known.shape[1], self.known[:, -1:]
        ranks = torch.searchsorted(self.known, values.contiguous(), right=True).double() / samples
        # Beyond the largest all ranks are one: what is farther away must still come later, by less than a rank or so.
        spread = (largest - self.known[:, :1]).clamp(min=1e-12)
        beyond = ((values - largest).clamp(min=0) / spread).log1p() / samples
        return (ranks + beyond).mean(0)


def _unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=-1)
