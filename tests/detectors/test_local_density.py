"""Local density normalisation against plain loops, and where training samples are equal, few or of two conditions."""

import math

import numpy as np
import pytest
import torch

from endline.detectors import local_density
from endline.detectors.local_density import (
    FLOOR,
    check_names,
    density,
    density_and_distance,
    normalised_distance,
    normalised_nearest,
)
from endline.errors import EndlineError


def vectors(count: int, seed: int, size: int = 4) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng([seed, count]).standard_normal((count, size)))


def one_distance(a: list[float], b: list[float], distance: str) -> float:
    if distance == "squared_euclidean":
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def plain_density(known: list[list[float]], k: int, distance: str) -> list[float]:
    means = []
    for i, vector in enumerate(known):
        others = sorted(one_distance(vector, other, distance) for j, other in enumerate(known) if j != i)
        means.append(sum(others[:k]) / len(others[:k]))
    return [max(mean, FLOOR * sum(means) / len(means)) for mean in means]


@pytest.mark.parametrize("distance", ["squared_euclidean", "cosine"])
@pytest.mark.parametrize("normalisation", ["ratio", "difference", "none"])
@pytest.mark.parametrize(("k", "neighbours"), [(1, 1), (3, 2), (50, 50)])
def test_as_a_plain_loop(distance, normalisation, k, neighbours, monkeypatch):
    monkeypatch.setattr(local_density, "ROWS", 5)  # several pieces
    new, known = vectors(6, 0), vectors(13, 1)
    own = plain_density(known.tolist(), k, distance)
    found = density(known, k, distance)
    np.testing.assert_allclose(found, own, rtol=1e-12)
    expected = []
    for vector in new.tolist():
        away = [one_distance(vector, other, distance) for other in known.tolist()]
        normalised = {
            "ratio": [a / d for a, d in zip(away, own, strict=True)],
            "difference": [a - d for a, d in zip(away, own, strict=True)],
            "none": away,
        }[normalisation]
        smallest = sorted(normalised)[:neighbours]
        expected.append(sum(smallest) / len(smallest))
    score = normalised_distance(new, known, found, neighbours, distance=distance, normalisation=normalisation)
    assert score.dtype == torch.float64
    np.testing.assert_allclose(score, expected, rtol=1e-11)


@pytest.mark.parametrize("normalisation", ["ratio", "difference", "none"])
@pytest.mark.parametrize("kept", [0, 2**24])
def test_training_samples_are_compared_with_each_other_as_a_new_one_with_the_rest(normalisation, kept, monkeypatch):
    monkeypatch.setattr(local_density, "ROWS", 5)
    monkeypatch.setattr(local_density, "KEPT", kept)
    computed = []
    original = local_density.distances
    monkeypatch.setattr(local_density, "distances", lambda *given: computed.append(1) or original(*given))
    known = vectors(13, 1)
    own, away = density_and_distance(known, 3, 2, normalisation)
    assert len(computed) == (3 if kept else 6)  # pieces
    torch.testing.assert_close(own, density(known, 3))
    for row in range(13):
        rest = torch.arange(13) != row
        score = normalised_distance(known[row : row + 1], known[rest], own[rest], 2, normalisation=normalisation)
        torch.testing.assert_close(away[row : row + 1], score)


def test_equal_training_samples_stay_finite_and_an_equal_new_one_has_no_distance():
    known = torch.cat([vectors(1, 0).repeat(5, 1), vectors(3, 1)])
    found = density(known, 2)
    assert (found > 0).all()
    assert found[:5].tolist() == pytest.approx([FLOOR * float(plain_mean(known))] * 5)
    score = normalised_distance(torch.cat([known[:1], known[:1] + 1e3]), known, found)
    assert score.isfinite().all()
    assert score[0] == 0


def plain_mean(known: torch.Tensor) -> torch.Tensor:
    """Mean density before the floor."""
    away = torch.cdist(known, known).square().fill_diagonal_(torch.inf)
    return away.topk(2, largest=False).values.mean(1).mean()


def test_where_all_training_samples_are_equal_the_plain_distance_counts():
    known = torch.ones(4, 3)
    assert density(known, 2).tolist() == [1.0] * 4
    assert normalised_distance(torch.full((1, 3), 3.0), known, density(known, 2)).tolist() == [12.0]


def test_a_sparse_condition_weighs_as_much_as_a_dense_one():
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(200, 2, generator=generator, dtype=torch.float64)
    sparse = 10 * torch.randn(10, 2, generator=generator, dtype=torch.float64) + 100
    known = torch.cat([dense, sparse])
    new = torch.cat([torch.randn(500, 2, generator=generator), 10 * torch.randn(500, 2, generator=generator) + 100])
    plain, ratio = (
        normalised_distance(new.double(), known, density(known, 1), normalisation=each).view(2, -1).median(1).values
        for each in ("none", "ratio")
    )
    assert plain[1] / plain[0] > 100
    assert 0.2 < ratio[1] / ratio[0] < 5


def test_rows_are_those_of_the_smallest_normalised_distances():
    known, new = vectors(9, 0), vectors(4, 1)
    found = density(known, 2)
    nearest, rows = normalised_nearest(new, known, found, 3)
    whole = torch.cdist(new, known).square() / found
    torch.testing.assert_close(nearest, whole.gather(1, rows))
    assert torch.equal(rows, whole.argsort(1)[:, :3])


def test_cosine_ignores_length():
    new, known = vectors(3, 0), vectors(5, 1)
    first, second = (
        normalised_distance(scale * new, known, density(known, 1, "cosine"), distance="cosine") for scale in (1, 7)
    )
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("l2", "ratio"), "it has no distance 'l2': choose one of squared_euclidean, cosine."),
        (("cosine", "log"), "it has no normalisation 'log': choose one of ratio, difference, none."),
    ],
)
def test_unknown_names_are_told(names, sentence):
    with pytest.raises(EndlineError) as caught:
        check_names("it", *names)
    assert str(caught.value) == sentence
