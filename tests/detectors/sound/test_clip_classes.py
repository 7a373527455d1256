"""Classes of training clips: told, or by k-means."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.cluster import KMeans

from endline.detectors.sound.clip_classes import clusters, pseudo_classes, told_classes
from endline.feature_set import FeatureSet


def test_every_combination_is_a_class_and_what_is_missing_is_one_too():
    rows = pd.DataFrame(
        {
            "section": ["00", "00", "01", "01", None],
            "attributes": ["a", "b", "a", "a", "a"],
            "domain": ["source", "source", "source", "target", "source"],
        }
    )
    assert told_classes(rows, ["section", "attributes", "domain"]).tolist() == [0, 1, 2, 3, 4]
    assert told_classes(rows, ["section", "attributes"]).tolist() == [0, 1, 2, 2, 3]
    assert told_classes(rows, ["domain", "speed"]).tolist() == [0, 0, 0, 1, 0]


@pytest.mark.parametrize("columns", [[], ["speed"]])
def test_without_a_column_there_is_one_class(columns):
    assert told_classes(pd.DataFrame({"section": ["00", "01"]}), columns).tolist() == [0, 0]


def groups(count: int = 60) -> tuple[FeatureSet, np.ndarray]:
    """Clips of three levels of one band, of which one flutters."""
    rng = np.random.default_rng(0)
    kind = np.arange(count) % 3
    x = rng.standard_normal((count, 5, 20)) * 0.1
    x[:, 1] += np.array([0, 4, 0])[kind][:, None]
    x[:, 2] *= np.array([1, 1, 40])[kind][:, None]
    return FeatureSet({"log_mel": x.astype("f4")}, key="groups"), kind


def test_pseudo_classes_follow_level_and_flutter():
    features, kind = groups()
    found = pseudo_classes(features, 3, seed=0)
    assert len({*zip(kind, found, strict=True)}) == 3 == len(set(found))


def test_the_seed_decides_and_nobody_elses_draws():
    features, _ = groups()
    np.random.seed(1)  # noqa: NPY002  the legacy state is what is watched
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = pseudo_classes(features, 7, seed=4)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(pseudo_classes(features, 7, seed=4), first)
    assert not np.array_equal(pseudo_classes(features, 7, seed=5), first)


def test_equal_clips_are_one_class():
    same = FeatureSet({"log_mel": np.ones((6, 4, 5), "f4")}, key="same")
    assert pseudo_classes(same, 4, seed=0).tolist() == [0] * 6


def test_centres_are_the_means_of_their_vectors_and_those_of_scikit_learn():
    vectors = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 3)))
    centres, own = clusters(vectors, 5, seed=2)
    for number, centre in enumerate(centres):
        torch.testing.assert_close(vectors[own == number].mean(0), centre)
    expected = KMeans(5, n_init=4, random_state=2).fit(vectors.numpy()).cluster_centers_
    np.testing.assert_allclose(centres, expected)
