"""PaDiM: Gaussians by hand and against NumPy, positions of coarser scales, the draw of channels."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from endline.detectors.maps import padim
from endline.detectors.maps.padim import Padim, PadimConfig
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SHAPES = {"scale_0": (3, 5, 7), "scale_1": (2, 3, 4), "scale_2": (4, 2, 2)}


def maps(count: int, seed: int, offset: float = 0.0) -> FeatureSet:
    rng = np.random.default_rng(seed)
    arrays = {name: rng.standard_normal((count, *shape)) + offset for name, shape in SHAPES.items()}
    return FeatureSet({name: array.astype("f4") for name, array in arrays.items()})


def fitted(train: FeatureSet, seed: int = 0, **settings) -> Padim:
    detector = Padim(PadimConfig(**settings))
    detector.fit(train, seed=seed, progress=Progress())
    return detector


def reference(train: FeatureSet, test: FeatureSet) -> np.ndarray:
    """Mahalanobis distances (n, H, W) with all channels, position by position, in float64."""

    def joined(features: FeatureSet) -> np.ndarray:
        raised = [interpolate(maps.double(), size=SHAPES["scale_0"][1:]) for maps in features.read().values()]
        return torch.cat(raised, 1).numpy()

    known, new = joined(train), joined(test)
    distances = np.zeros((len(new), *new.shape[2:]))
    for row, column in np.ndindex(*new.shape[2:]):
        here = known[:, :, row, column]
        precision = np.linalg.inv(np.cov(here.T) + 0.01 * np.eye(here.shape[1]))
        away = new[:, :, row, column] - here.mean(0)
        distances[:, row, column] = np.sqrt(np.einsum("ni,ij,nj->n", away, precision, away))
    return distances


def test_one_channel_by_hand():
    """Of 1 and 3 the mean is 2, the variance 2."""
    train, test = (FeatureSet({"scale_0": np.array(v, "f4").reshape(-1, 1, 1, 1)}) for v in ([1, 3], [5, 2]))
    np.testing.assert_allclose(fitted(train).score(test.read()).score, [3 / math.sqrt(2.01), 0], rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_distances_equal_numpy_at_every_position_of_the_nearest_coarser_maps(offset):
    train, test = maps(40, 0, offset), maps(6, 1, offset)
    scored, expected = fitted(train).score(test.read()), reference(train, test)
    np.testing.assert_allclose(scored.map, expected, rtol=1e-3)
    np.testing.assert_allclose(scored.score, expected.max((1, 2)), rtol=1e-3)
    np.testing.assert_allclose(fitted(train, join="mean").score(test.read()).score, expected.mean((1, 2)), rtol=1e-3)


def test_fewer_samples_than_channels_are_enough():
    train, test = maps(4, 0), maps(6, 1)
    np.testing.assert_allclose(fitted(train).score(test.read()).map, reference(train, test), rtol=1e-3)


def test_positions_in_many_parts_give_the_same(monkeypatch):
    train, test = maps(20, 0), maps(6, 1).read()
    whole = fitted(train, components=5).score(test).map
    monkeypatch.setattr(padim, "SUMS", 5 * 5 * 4)
    monkeypatch.setattr(padim, "CHUNK", 6 * 5 * 3)
    torch.testing.assert_close(fitted(train, components=5).score(test).map, whole)


def test_only_the_drawn_channels_are_read():
    detector, test = fitted(maps(20, 0), components=4), maps(6, 1)
    drawn = detector.model.drawn.nonzero()[:, 0].tolist()
    assert len(drawn) == 4
    before = detector.score(test.read()).map
    for channel in range(9):
        name, own = next((n, channel - s) for n, s in (("scale_2", 5), ("scale_1", 3), ("scale_0", 0)) if channel >= s)
        batch = test.read()
        batch[name][:, own] += 1
        assert torch.equal(detector.score(batch).map, before) == (channel not in drawn)


def test_the_seed_draws_the_channels():
    draws = {tuple(fitted(maps(3, 0), seed, components=4).model.drawn.tolist()) for seed in range(6)}
    assert len(draws) > 1


def test_the_map_points_at_the_planted_spot():
    batch = maps(5, 1).read()
    batch["scale_0"][:, :, 3, 5] += 20
    scored = fitted(maps(40, 0)).score(batch)
    assert scored.map.flatten(1).argmax(1).tolist() == [3 * 7 + 5] * 5
    assert torch.equal(scored.score, scored.map.amax((1, 2)))


def test_published_size():
    shapes = {"scale_0": (512, 4, 4), "scale_1": (1024, 2, 2), "scale_2": (2048, 1, 1)}  # WideResNet50
    model = Padim(PadimConfig(components=550))._build(shapes, samples=200)
    assert model.whitening.shape == (16, 550, 550)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"join": "sum"}, "padim has no join 'sum': choose one of max, mean."),
        (
            {"components": 0},
            "padim has components=0 and regularisation=0.01: choose at least 1 component and a regularisation above 0.",
        ),
        (
            {"regularisation": 0.0},
            "padim has components=64 and regularisation=0.0: choose at least 1 component and a regularisation above 0.",
        ),
    ],
)
def test_settings_out_of_range_are_told(settings, sentence):
    with pytest.raises(EndlineError) as caught:
        PadimConfig(**settings)
    assert str(caught.value) == sentence
