"""The nineteen scores: against plain numpy and scikit-learn, and the rank average."""

import numpy as np
import pytest
import torch
from sklearn.metrics import DistanceMetric
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from endline.detectors.sound.gan_scores import (
    EMBEDDINGS,
    VARIANTS,
    EmbeddingScores,
    RankAverage,
    aggregated,
    cosine_distance,
    left_out_mahalanobis,
    window_errors,
)

RNG = np.random.default_rng(0)
KNOWN, NEW = RNG.standard_normal((40, 6)) + 1, RNG.standard_normal((9, 6)) * 2 + 1


@pytest.fixture
def fitted():
    scores = EmbeddingScores(40, 6, neighbours=2, lof_neighbours=4, shrinkage=0.0)
    return scores, scores.fit(torch.from_numpy(KNOWN))


def test_there_are_nineteen():
    assert len(VARIANTS) == len(set(VARIANTS)) == 19
    assert sum(name.startswith("embedding") for name in VARIANTS) == 4


def test_errors_are_those_of_numpy():
    real, rebuilt, z, again = (RNG.standard_normal(shape) for shape in [(3, 1, 4, 5)] * 2 + [(3, 7)] * 2)
    got = window_errors(*(torch.from_numpy(each) for each in (real, rebuilt, z, again)))
    away = (real - rebuilt).reshape(3, -1)
    cosine = 1 - (z * again).sum(1) / np.linalg.norm(z, axis=1) / np.linalg.norm(again, axis=1)
    expected = {
        "spectrogram_l2": (away**2).sum(1),
        "spectrogram_l1": np.abs(away).sum(1),
        "latent_l2": ((z - again) ** 2).sum(1),
        "latent_l1": np.abs(z - again).sum(1),
        "latent_cosine": cosine,
    }
    assert list(got) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name].numpy(), value, rtol=1e-10)


def test_aggregations_are_those_of_numpy():
    errors = {name: RNG.random((4, 5)) for name in ("spectrogram_l2", "latent_cosine")}
    got = aggregated({name: torch.from_numpy(value) for name, value in errors.items()})
    assert len(got) == 6
    for name, value in errors.items():
        for way, join in {"sum": np.sum, "min": np.min, "max": np.max}.items():
            np.testing.assert_allclose(got[f"{name}_{way}"].numpy(), join(value, axis=1))


def test_cosine_distance_of_zero_vectors_is_finite():
    assert cosine_distance(torch.zeros(1, 3), torch.ones(3)).isfinite().all()


def test_embedding_scores_are_scikit_learns(fitted):
    scores, _ = fitted
    got = {name: value.numpy() for name, value in scores(torch.from_numpy(NEW)).items()}
    covariance = np.cov(KNOWN, rowvar=False, bias=True)
    covariance += 1e-6 * np.trace(covariance) / 6 * np.eye(6)
    distance = DistanceMetric.get_metric("mahalanobis", V=covariance)
    near = NearestNeighbors(n_neighbors=2, metric="cosine").fit(KNOWN)
    lof = LocalOutlierFactor(n_neighbors=4, metric="cosine", novelty=True).fit(KNOWN)
    mean = KNOWN.mean(0)
    expected = {
        "embedding_mahalanobis": distance.pairwise(NEW, mean[None])[:, 0],
        "embedding_knn": near.kneighbors(NEW)[0].mean(1),
        "embedding_lof": -lof.score_samples(NEW),
        "embedding_cosine": 1 - NEW @ mean / np.linalg.norm(NEW, axis=1) / np.linalg.norm(mean),
    }
    assert list(got) == list(EMBEDDINGS)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, err_msg=name)


def test_training_clips_are_judged_by_the_others(fitted):
    _, known = fitted
    lof = LocalOutlierFactor(n_neighbors=4, metric="cosine").fit(KNOWN)
    np.testing.assert_allclose(known["embedding_lof"].numpy(), -lof.negative_outlier_factor_, rtol=1e-6)
    for left in (0, 17):
        others = torch.from_numpy(np.delete(KNOWN, left, axis=0))
        alone = EmbeddingScores(39, 6, neighbours=2, lof_neighbours=4, shrinkage=0.0)
        alone.fit(others)
        expected = alone(torch.from_numpy(KNOWN[left : left + 1]))
        for name in ("embedding_knn", "embedding_cosine"):
            assert known[name][left].item() == pytest.approx(expected[name].item(), rel=1e-9)
        assert known["embedding_mahalanobis"][left].item() == pytest.approx(
            expected["embedding_mahalanobis"].item(), rel=1e-4
        )


@pytest.mark.parametrize("shrinkage", [1e-3, 0.3, 1.0])
@pytest.mark.parametrize("count", [2, 5, 30])
def test_left_out_mahalanobis_is_the_definition(count, shrinkage):
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(count)).double()
    got = left_out_mahalanobis(x, shrinkage)
    least = max(shrinkage, 1e-6) * x.var(0, correction=0).mean() * torch.eye(4)
    for left in range(count):
        others = x[torch.arange(count) != left]
        covariance = (1 - shrinkage) * torch.cov(others.T, correction=0).view(4, 4) + least
        away = x[left] - others.mean(0)
        expected = (away @ torch.linalg.solve(covariance, away)).sqrt()
        torch.testing.assert_close(got[left], expected, rtol=1e-4, atol=1e-9)


def test_fewer_training_clips_than_neighbours():
    scores = EmbeddingScores(2, 3, neighbours=5, lof_neighbours=20, shrinkage=0.1)
    scores.fit(torch.eye(2, 3))
    assert all(value.isfinite().all() for value in scores(torch.ones(4, 3)).values())


def test_equal_embeddings_have_finite_scores():
    scores = EmbeddingScores(6, 3, neighbours=2, lof_neighbours=4, shrinkage=0.0)
    known = scores.fit(torch.ones(6, 3))
    assert all(value.isfinite().all() for value in [*known.values(), *scores(torch.zeros(2, 3)).values()])


def test_the_rank_average_is_the_mean_of_the_ranks():
    known = {name: torch.from_numpy(RNG.random(30)) for name in VARIANTS}
    new = {name: torch.from_numpy(RNG.random(8) * 0.9) for name in VARIANTS}
    new = {name: torch.minimum(value, known[name].max()) for name, value in new.items()}
    ranks = RankAverage(30)
    ranks.fit(known)
    expected = np.mean([(known[name].numpy() <= new[name].numpy()[:, None]).mean(1) for name in VARIANTS], axis=0)
    np.testing.assert_allclose(ranks(new).numpy(), expected, rtol=1e-12)


def test_beyond_all_training_clips_the_rank_average_still_rises():
    ranks = RankAverage(3)
    ranks.fit({name: torch.tensor([1.0, 2.0, 3.0]) for name in VARIANTS})
    values = ranks({name: torch.tensor([2.9, 3.0, 3.1, 100.0, 1e9]) for name in VARIANTS})
    assert (values.diff() > 0).all()
    assert values.isfinite().all()


def test_the_rank_average_is_of_any_monotone_scale():
    known = {name: torch.from_numpy(RNG.random(20)) for name in VARIANTS}
    new = {name: torch.from_numpy(RNG.random(5)).clamp(max=known[name].max()) for name in VARIANTS}
    plain, cubed = RankAverage(20), RankAverage(20)
    plain.fit(known)
    cubed.fit({name: value**3 for name, value in known.items()})
    torch.testing.assert_close(plain(new), cubed({name: value**3 for name, value in new.items()}))
