"""Position neighbour: against loops, how far a part may lie elsewhere, and which images are asked."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from endline.detectors.maps.position_neighbour import (
    PositionNeighbour,
    PositionNeighbourConfig,
    least_cosine_distances,
)
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SHAPES = {"scale_0": (6, 4, 6), "scale_1": (3, 2, 3)}


def maps(count: int, seed: int) -> FeatureSet:
    rng = np.random.default_rng(seed)
    return FeatureSet({name: rng.standard_normal((count, *shape)).astype("f4") for name, shape in SHAPES.items()})


def fitted(train: FeatureSet, **settings) -> PositionNeighbour:
    detector = PositionNeighbour(PositionNeighbourConfig(**{"scales": (0, 1), **settings}))
    detector.fit(train, seed=0, progress=Progress())
    return detector


@pytest.mark.parametrize("reach", [0, 1, 5])
def test_distances_are_those_of_loops_over_images_and_places(reach: int) -> None:
    random = torch.manual_seed(0)
    own = functional.normalize(torch.randn(5, 4, 6, generator=random, dtype=torch.float64), dim=0)
    kept = functional.normalize(torch.randn(3, 5, 4, 6, generator=random, dtype=torch.float64), dim=1)
    found = least_cosine_distances(own, kept, reach)
    for row in range(4):
        for column in range(6):
            window = kept[:, :, max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            largest = float((own[:, row, column, None, None] * window).sum(1).max())
            assert float(found[row, column]) == pytest.approx(1 - largest)


def test_a_training_image_is_normal_and_one_that_is_moved_within_reach() -> None:
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((12, 6, 12, 14)).astype("f4")
    train = FeatureSet({"scale_0": wide[:, :, 1:-1, 1:-1]})
    moved = FeatureSet({"scale_0": wide[:, :, 1:-1, 2:]})
    scores = {}
    for reach in (0, 1):
        detector = fitted(train, scales=(0,), reach=reach, top_share=1.0)
        assert float(detector.score(train.read()).score.abs().max()) < 1e-5
        scores[reach] = detector.score(moved.read()).score
    assert (scores[1] < scores[0] / 3).all()


def test_only_the_most_alike_images_are_asked() -> None:
    rng = np.random.default_rng(0)
    bright, dark = (np.zeros((6, 4, 10, 10), "f4") for _ in range(2))
    bright[:, 0], dark[:, 1] = 5, 5
    both = np.concatenate([bright, dark]) + 0.1 * rng.standard_normal((12, 4, 10, 10)).astype("f4")
    odd = both[:1].copy()
    odd[0, :, 2:7, 2:7] = both[6, :, 2:7, 2:7]  # a piece of the other kind, which some image has at that place
    detector = fitted(FeatureSet({"scale_0": both}), scales=(0,), alike=5)
    all_asked = fitted(FeatureSet({"scale_0": both}), scales=(0,), alike=12)
    new = FeatureSet({"scale_0": odd}).read()
    assert float(detector.score(new).score) > 2 * float(all_asked.score(new).score)


def test_no_more_images_are_kept_than_asked_for() -> None:
    detector = fitted(maps(30, 0), images=7)
    assert [len(detector.model.kept(scale)) for scale in (0, 1)] == [7, 7]
    assert len(detector.model.whole) == 7
    assert torch.isfinite(detector.score(maps(3, 1).read()).score).all()


@pytest.mark.parametrize("settings", [{"images": 0}, {"alike": 0}, {"reach": -1}, {"scales": ()}, {"top_share": 0.0}])
def test_settings_out_of_range_are_refused(settings) -> None:
    with pytest.raises(EndlineError, match="position_neighbour has"):
        PositionNeighbourConfig(**settings)
