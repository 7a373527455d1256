"""Subspace: against NumPy, and what it sees that a distance to the mean does not."""

import numpy as np
import pytest
import torch

from endline.detectors.maps.subspace import Subspace, SubspaceConfig
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet


def fitted(train: FeatureSet, **settings) -> Subspace:
    detector = Subspace(SubspaceConfig(**{"scales": (0,), **settings}))
    detector.fit(train, seed=0, progress=Progress())
    return detector


def flat(count: int, seed: int) -> np.ndarray:
    """Maps (n, 6, 5, 4) that vary in two directions alone, but for a little noise."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(9).standard_normal((2, 6))
    coordinates = rng.standard_normal((count, 5, 4, 2)) * [3.0, 2.0]
    return (np.moveaxis(coordinates @ directions, 3, 1) + 0.01 * rng.standard_normal((count, 6, 5, 4))).astype("f4")


@pytest.mark.parametrize("variance", [0.3, 0.6, 0.9])
def test_residuals_are_those_of_a_principal_component_analysis(variance: float) -> None:
    rng = np.random.default_rng(0)
    scales = np.array([5.0, 3.0, 2.0, 1.0, 0.5, 0.2])
    values = (rng.standard_normal((30, 5, 4, 6)) * scales).astype("f4")
    train = FeatureSet({"scale_0": np.moveaxis(values, 3, 1)})
    model = fitted(train, variance=variance).model
    patches = model.patches(train.read()).double().numpy().reshape(-1, 6)
    away = patches - patches.mean(0)
    _, singular, directions = np.linalg.svd(away, full_matrices=False)
    inside = int((np.cumsum(singular**2) < variance * (singular**2).sum()).sum()) + 1
    expected = np.square(away @ directions[inside:].T).sum(1)
    np.testing.assert_allclose(model.residuals(train.read()).flatten().numpy(), expected, rtol=1e-3, atol=1e-4)


def test_what_lies_outside_of_the_subspace_is_found_where_it_is() -> None:
    detector = fitted(FeatureSet({"scale_0": flat(40, 0)}))
    normal, odd = flat(20, 1), flat(20, 2)
    outside = np.linalg.svd(np.random.default_rng(9).standard_normal((2, 6)))[2][5]
    odd[:, :, 2, 1] += (2 * outside).astype("f4")
    own, found = (detector.score(FeatureSet({"scale_0": maps}).read()) for maps in (normal, odd))
    assert found.score.min() > own.score.max()
    row, column = np.unravel_index(found.map.flatten(1).argmax(1).numpy(), (5, 4))
    assert ((abs(row - 2) <= 1) & (abs(column - 1) <= 1)).all()  # 3 x 3 positions are averaged


def test_what_varies_inside_of_the_subspace_is_normal_however_far() -> None:
    detector = fitted(FeatureSet({"scale_0": flat(40, 0)}))
    far = flat(5, 1) + 50 * np.random.default_rng(9).standard_normal((2, 6))[0].astype("f4")[:, None, None]
    assert float(detector.score(FeatureSet({"scale_0": far}).read()).score.max()) < 1.0


def test_a_direction_lies_outside_though_all_vary_alike() -> None:
    maps = np.random.default_rng(0).standard_normal((40, 3, 4, 4)).astype("f4")
    detector = fitted(FeatureSet({"scale_0": maps}))
    assert int(detector.model.outside.any(0).sum()) == 1
    own, far = (detector.score(FeatureSet({"scale_0": size * maps}).read()).score for size in (1, 10))
    assert (far > 10 * own).all()


def test_equal_samples_have_no_residual() -> None:
    maps = np.ones((4, 3, 2, 2), "f4")
    detector = fitted(FeatureSet({"scale_0": maps}))
    assert torch.equal(detector.score(FeatureSet({"scale_0": maps}).read()).score, torch.zeros(4))


@pytest.mark.parametrize("settings", [{"variance": 1.0}, {"variance": 0.0}, {"top_share": 0.0}, {"scales": ()}])
def test_settings_out_of_range_are_refused(settings) -> None:
    with pytest.raises(EndlineError, match="subspace has scales="):
        SubspaceConfig(**settings)
