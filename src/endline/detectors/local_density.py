"""Distances to training samples that weigh alike where these lie densely and where they are few.

Wilkinghoff et al., "Local Density-Based Anomaly Score Normalization for Domain Generalization", 2025: a new sample's
distance to a training sample counts in units of that training sample's own distance to its neighbours. A thousand
clips of one working condition and ten of another then share one threshold, and nobody has to say which condition a
new clip is of.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from endline.detectors.statistics import distances_between
from endline.errors import EndlineError

DISTANCES = ("squared_euclidean", "cosine")
NORMALISATIONS = ("ratio", "difference", "none")
FLOOR = 1e-3  # least density, as a share of the mean one: equal training samples are no reason to divide by zero
ROWS = 256  # training samples whose distances to all others are in memory at once
KEPT = 2**24  # distances of training samples to each other that are kept rather than computed twice, 64 MiB


def check_names(owner: str, distance: str, normalisation: str) -> None:
    """Refuse a distance or a normalisation that does not exist.

    Raises:
        EndlineError: with the known ones, naming the `owner` of the setting.

    Example:
        >>> check_names("ranked_neighbour", "cosine", "ratio")
    """
    for setting, value, known in (
        ("distance", distance, DISTANCES),
        ("normalisation", normalisation, NORMALISATIONS),
    ):
        if value not in known:
            raise EndlineError(f"{owner} has no {setting} '{value}': choose one of {', '.join(known)}.")


def distances(new: Tensor, known: Tensor, distance: str = "squared_euclidean") -> Tensor:
    """Distances (b, n) of new vectors (b, d) to known ones (n, d), exact for equal vectors too.

    Args:
        new: (b, d).
        known: (n, d).
        distance: `squared_euclidean`, or `cosine`: 1 less the cosine of the angle, in [0, 2].

    Example:
        >>> distances(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0], [1.0, 0.0]]), "cosine").round(decimals=3)
        tensor([[1., 0.]])
    """
    if distance == "cosine":  # half the squared distance of unit vectors
        return distances_between(functional.normalize(new), functional.normalize(known)).square() / 2
    return distances_between(new, known).square()


def density(known: Tensor, k: int, distance: str = "squared_euclidean") -> Tensor:
    """Mean distance (n,) of each training vector to its k nearest other ones, above 0.

    It is never less than `FLOOR` of the mean of them all; where all vectors are equal it is 1.

    Args:
        known: training vectors (n, d), at least 2.
        k: neighbours; all others where there are fewer.
        distance: as in `distances`.

    Example:
        >>> density(torch.tensor([[0.0], [1.0], [3.0]]), k=1)
        tensor([1., 1., 4.])
    """
    return _density(_own_distances(known, distance), min(k, len(known) - 1))


def density_and_distance(known: Tensor, k: int, neighbours: int, normalisation: str) -> tuple[Tensor, Tensor]:
    """`density` of training vectors, and the normalised distance of each to its nearest other ones, (n,) each.

    The squared distances to each other are computed once, piece by piece; of more than `KEPT` of them a piece is not
    kept but computed again, so that memory stays bounded.

    Args:
        known: training vectors (n, d), at least 2.
        k: neighbours that tell the density.
        neighbours: whose normalised distances are averaged.
        normalisation: as in `normalised_nearest`.

    Example:
        >>> own, away = density_and_distance(torch.tensor([[0.0], [1.0], [3.0]]), 1, 1, "ratio")
        >>> own.tolist(), away.tolist()
        ([1.0, 1.0, 4.0], [1.0, 1.0, 4.0])
    """
    kept = list(_own_distances(known)) if len(known) ** 2 <= KEPT else None
    own = _density(kept or _own_distances(known), min(k, len(known) - 1))
    count = min(neighbours, len(known) - 1)
    away = [
        normalised(piece, own, normalisation).topk(count, largest=False).values.mean(1)
        for piece in kept or _own_distances(known)
    ]
    return own, torch.cat(away)


def _own_distances(known: Tensor, distance: str = "squared_euclidean") -> Iterator[Tensor]:
    """Distances (rows, n) of vectors (n, d) to each other, `ROWS` at a time; infinite to themselves."""
    for start in range(0, len(known), ROWS):
        away = distances(known[start : start + ROWS], known, distance)
        own = torch.arange(len(away), device=known.device)
        away[own, start + own] = torch.inf
        yield away


def _density(pieces: Iterable[Tensor], k: int) -> Tensor:
    mean = torch.cat([away.topk(k, largest=False).values.mean(1) for away in pieces])
    level = mean.mean()
    return torch.where(level > 0, mean.clamp(min=FLOOR * level), 1.0)


def normalised_nearest(
    new: Tensor,
    known: Tensor,
    density: Tensor,
    neighbours: int,
    *,
    distance: str = "squared_euclidean",
    normalisation: str = "ratio",
) -> tuple[Tensor, Tensor]:
    """The m smallest normalised distances of new vectors, ascending, and their training vectors' rows, (b, m) each.

    Args:
        new: (b, d).
        known: training vectors (n, d).
        density: of each training vector, (n,), as from `density` with the same distance.
        neighbours: m; all training vectors where there are fewer.
        distance: as in `distances`.
        normalisation: `ratio` divides a distance by the training vector's density, `difference` subtracts it, `none`
            leaves it.

    Example:
        >>> known = torch.tensor([[0.0], [1.0], [3.0]])
        >>> nearest, rows = normalised_nearest(torch.tensor([[2.0]]), known, density(known, 1), 2)
        >>> nearest.tolist(), rows.tolist()
        ([[0.25, 1.0]], [[2, 1]])
    """
    away = normalised(distances(new, known, distance), density, normalisation)
    nearest, rows = away.topk(min(neighbours, len(known)), largest=False)
    return nearest, rows


def normalised(away: Tensor, density: Tensor, normalisation: str) -> Tensor:
    """Distances (b, n) to training vectors in units of their density (n,); `normalisation` as in `normalised_nearest`.

    Example:
        >>> normalised(torch.tensor([[4.0, 6.0]]), torch.tensor([2.0, 3.0]), "difference")
        tensor([[2., 3.]])
    """
    if normalisation == "ratio":
        return away / density
    return away - density if normalisation == "difference" else away


def normalised_distance(
    new: Tensor,
    known: Tensor,
    density: Tensor,
    neighbours: int = 1,
    *,
    distance: str = "squared_euclidean",
    normalisation: str = "ratio",
) -> Tensor:
    """Mean of the `neighbours` smallest normalised distances of new vectors, (b,); arguments as `normalised_nearest`.

    Example:
        >>> known = torch.tensor([[0.0], [1.0], [3.0]])
        >>> normalised_distance(torch.tensor([[2.0]]), known, density(known, 1))
        tensor([0.2500])
    """
    nearest, _ = normalised_nearest(new, known, density, neighbours, distance=distance, normalisation=normalisation)
    return nearest.mean(1)
