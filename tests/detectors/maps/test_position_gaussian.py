"""Position Gaussian: against NumPy, held out by part, restless places, few samples, positions in parts."""

import numpy as np
import pandas as pd
import pytest
import torch

from endline.detectors.maps import position_gaussian
from endline.detectors.maps.position_gaussian import LEAST, PositionGaussian, PositionGaussianConfig
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SHAPES = {"scale_0": (6, 4, 5), "scale_1": (3, 2, 3)}


def maps(count: int, seed: int, restless: float = 1.0) -> FeatureSet:
    rng = np.random.default_rng(seed)
    arrays = {name: rng.standard_normal((count, *shape)).astype("f4") for name, shape in SHAPES.items()}
    arrays["scale_0"][:, :, 0] *= restless
    return FeatureSet(arrays)


def fitted(train: FeatureSet, rows: pd.DataFrame | None = None, **settings) -> PositionGaussian:
    detector = PositionGaussian(PositionGaussianConfig(**{"scales": (0, 1), "components": 4, **settings}))
    detector.fit(train, seed=0, progress=Progress(), rows=rows)
    return detector


@pytest.mark.parametrize("more", [0.0, 1.0])
def test_distances_are_those_of_a_gaussian_at_each_position_more_regular_for_the_map(more):
    train, test = maps(40, 0), maps(5, 1)
    model = fitted(train, map_regularisation=more).model
    vectors = model.vectors(train.read()).double().numpy()
    new = model.vectors(test.read()).double().numpy()
    for position in range(20):
        away = new[position] - vectors[position].mean(0)
        for own, regularisation in zip(model.distances(test.read()), (0.05, more or 0.05), strict=True):
            covariance = np.cov(vectors[position].T) + regularisation * np.eye(4)
            expected = np.log(np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away) + LEAST)
            np.testing.assert_allclose(own[:, position], expected, rtol=1e-3)


def test_directions_are_white_over_all_positions():
    train = maps(60, 0)
    vectors = fitted(train).model.vectors(train.read()).flatten(0, 1)
    torch.testing.assert_close(torch.cov(vectors.T), torch.eye(4), atol=0.02, rtol=0)


def test_held_out_normals_lie_about_zero_and_faults_far_above():
    rng = np.random.default_rng(0)
    train, normal, odd = (rng.standard_normal((150, 6, 12, 12)).astype("f4") for _ in range(3))
    detector = fitted(FeatureSet({"scale_0": train}), scales=(0,), components=6)
    own = detector.score(FeatureSet({"scale_0": normal}).read())
    assert abs(float(own.map.mean())) < 0.3  # trained on all, it knows a little more than a half of it does
    assert 0.8 < float(own.map.std()) < 1.2
    odd[:, :, 6, 4] += 6
    found = detector.score(FeatureSet({"scale_0": odd}).read())
    row, column = np.unravel_index(found.map.flatten(1).argmax(1).numpy(), (12, 12))
    assert ((abs(row - 6) <= 1) & (abs(column - 4) <= 1)).mean() > 0.95  # 3 x 3 positions are averaged
    assert found.score.median() > own.score.quantile(0.99)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_its_own_median_is_taken_from_each_map_and_the_score_stays(share):
    train, test = maps(40, 0), maps(5, 1)
    plain, less = (fitted(train, own_level=own).score(test.read()) for own in (0.0, share))
    median = np.median(plain.map.numpy(), axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(less.map, plain.map.numpy() - share * median, atol=1e-5)
    assert torch.equal(less.score, plain.score)


def test_a_change_of_the_whole_image_is_seen_by_the_pooled_statistics():
    train, new = maps(100, 0), maps(200, 1).read()
    swapped = {name: value.flip(2, 3) * 1.25 for name, value in new.items()}
    gain = {}
    for weight in (0.0, 2.0):
        detector = fitted(train, pooled_weight=weight)
        normal, odd = detector.score(new).score, detector.score(swapped).score
        gain[weight] = float((odd[:, None] > normal[None]).float().mean())
    assert gain[2.0] > gain[0.0] + 0.03


def test_pictures_of_a_part_are_held_out_together():
    rng = np.random.default_rng(0)
    own = {name: rng.standard_normal((12, 1, *shape)).astype("f4") for name, shape in SHAPES.items()}
    small = {name: 0.05 * rng.standard_normal((12, 6, *shape)).astype("f4") for name, shape in SHAPES.items()}
    train = FeatureSet({name: (own[name] + small[name]).reshape(72, *shape) for name, shape in SHAPES.items()})
    rows = pd.DataFrame({"sample_id": [str(n) for n in range(72)], "unit": np.repeat(np.arange(12), 6).astype(str)})
    new = maps(300, 5).read()
    by_part = fitted(train, rows).score(new).map.mean()
    by_picture = fitted(train, rows.drop(columns="unit")).score(new).map.mean()
    assert by_part < 1
    assert by_picture > 2 * by_part  # what a part's other pictures have shown is not new


@pytest.mark.parametrize("count", [2, 3])
def test_few_samples_give_finite_scores(count):
    scored = fitted(maps(count, 0)).score(maps(4, 1).read())
    assert torch.isfinite(scored.score).all()
    assert torch.isfinite(scored.map).all()


def test_equal_samples_give_finite_scores_and_a_change_is_seen():
    train = FeatureSet({name: np.ones((6, *shape), "f4") for name, shape in SHAPES.items()})
    detector = fitted(train)
    new = train.read([0, 1])
    new["scale_0"][1, :, 1, 1] = 2
    same, changed = detector.score(new).score
    assert torch.isfinite(changed)
    assert changed > same


def test_positions_in_many_parts_give_the_same(monkeypatch):
    train, test = maps(20, 0), maps(6, 1).read()
    whole = fitted(train).score(test).map
    monkeypatch.setattr(position_gaussian, "SUMS", 4 * 4**2 * 3)
    torch.testing.assert_close(fitted(train).score(test).map, whole)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scales": (0, 4)}, r"takes the scales \[0, 4\] and the features have only 2"),
        ({"scales": ()}, "choose at least one scale"),
        ({"components": 0}, "and one component"),
        ({"regularisation": 0.0}, "a regularisation above 0"),
        ({"top_share": 1.5}, "a share above 0 and at most 1"),
        ({"pooled_weight": -1.0}, "and a weight from 0"),
        ({"map_regularisation": -1.0}, "map_regularisation=-1.0"),
        ({"own_level": 1.5}, "own_level=1.5: choose a share from 0 to 1"),
    ],
)
def test_settings_that_do_not_go_are_refused(settings, words):
    with pytest.raises(EndlineError, match=words):
        fitted(maps(4, 0), **settings)
