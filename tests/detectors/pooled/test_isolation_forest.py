"""Isolation forest: by hand, and against scikit-learn."""

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as Reference

from endline.detectors.pooled.isolation_forest import IsolationForest, IsolationForestConfig, average_path_length
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet


def features(vectors) -> FeatureSet:
    return FeatureSet({"scale_0": np.asarray(vectors, "f4").reshape(len(vectors), -1, 1, 1)})


def fitted(vectors, seed: int = 0, **settings) -> IsolationForest:
    detector = IsolationForest(IsolationForestConfig(**settings))
    detector.fit(features(vectors), seed=seed, progress=Progress())
    return detector


def test_two_samples_by_hand():
    """One split sets them apart: a path of length 1, as in a random search among two."""
    score = fitted([3, 5], trees=10).score(features([3, 5, 100]).read()).score
    np.testing.assert_allclose(score, 0.5)


@pytest.mark.parametrize(("samples", "length"), [(1, 0.0), (2, 1.0), (3, 2 * (np.log(2) + np.euler_gamma) - 4 / 3)])
def test_average_path_length(samples, length):
    assert average_path_length(samples) == pytest.approx(length)


@pytest.mark.parametrize(("trees", "subsample"), [(1, 256), (30, 256), (30, 16), (30, 2)])
def test_equals_scikit_learn(trees, subsample):
    rng = np.random.default_rng(0)
    train, test = (rng.standard_normal((count, 9)).astype("f4").astype("f8") for count in (40, 15))
    mean, deviation = train.mean(0), train.std(0)
    reference = Reference(n_estimators=trees, max_samples=min(subsample, 40), random_state=3)
    reference.fit(((train - mean) / deviation).astype("f4"))
    expected = -reference.score_samples(((test - mean) / deviation).astype("f4"))
    assert np.ptp(expected) > 0.01 or subsample == 2
    score = fitted(train, seed=3, trees=trees, subsample=subsample).score(features(test).read()).score
    np.testing.assert_allclose(score, expected, atol=1e-6)


def test_the_seed_grows_the_trees():
    vectors = np.random.default_rng(0).standard_normal((40, 9))
    test = features(vectors + 1).read()
    assert (
        not fitted(vectors, seed=0, trees=5).score(test).score.equal(fitted(vectors, seed=1, trees=5).score(test).score)
    )


def test_outliers_score_higher_than_the_training_samples():
    rng = np.random.default_rng(0)
    detector = fitted(rng.standard_normal((200, 6)))
    outliers = 8 * rng.choice([-1, 1], (20, 6))
    normal = detector.score(features(rng.standard_normal((200, 6))).read()).score
    assert detector.score(features(outliers).read()).score.min() > normal.max()


@pytest.mark.parametrize(("trees", "subsample"), [(0, 256), (100, 1)])
def test_settings_out_of_range_are_told(trees, subsample):
    with pytest.raises(EndlineError) as caught:
        IsolationForestConfig(trees, subsample)
    assert str(caught.value) == (
        f"isolation_forest has trees={trees} and subsample={subsample}: "
        "choose at least 1 tree and a subsample of at least 2."
    )
