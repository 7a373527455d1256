"""Statistics of whole cycles against numpy and scipy, under masks; what they tell, from a dozen cycles on."""

import numpy as np
import pytest
import torch
from scipy.stats import kurtosis, skew

from endline.detectors.cycles.cycle_neighbour import CycleNeighbour, CycleNeighbourConfig
from endline.detectors.cycles.cycle_statistics import NUMBERS, QUANTILES, cycle_statistics
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet


def cycles(count: int = 3, signals: int = 2, steps: int = 30, seed: int = 0) -> torch.Tensor:
    return 3 * torch.from_numpy(np.random.default_rng(seed).standard_normal((count, signals, steps)))


def test_the_statistics_are_those_of_numpy_and_scipy():
    z = cycles()
    said = cycle_statistics(z, torch.ones(3, 1, 30, dtype=torch.float64)).view(3, NUMBERS, 2).numpy()
    x = z.numpy()
    place = np.linspace(0, 1, 30)
    expected = [
        x.mean(2),
        x.std(2),
        x.min(2),
        x.max(2),
        x.argmin(2) / 30,
        x.argmax(2) / 30,
        x[:, :, 0],
        x[:, :, -1],
        np.array([[np.polyfit(place, signal, 1)[0] for signal in cycle] for cycle in x]),
    ]
    np.testing.assert_allclose(said[:, :9], np.stack(expected, 1), atol=1e-9)
    np.testing.assert_allclose(said[:, 9], skew(x, axis=2), atol=1e-3)
    np.testing.assert_allclose(said[:, 10], kurtosis(x, axis=2, fisher=False), atol=1e-3)
    away = x - x.mean(2, keepdims=True)
    persistence = (away[:, :, 1:] * away[:, :, :-1]).sum(2) / (away**2).sum(2)
    np.testing.assert_allclose(said[:, 11], persistence, atol=1e-6)
    quantiles = np.quantile(x, QUANTILES, axis=2, method="closest_observation")
    assert (np.abs(said[:, 12:] - quantiles.transpose(1, 0, 2)) < np.ptp(x, 2)[:, None] / 5).all()
    assert (np.diff(said[:, 12:], axis=1) >= 0).all()


def test_padding_says_nothing_and_a_cycle_without_a_step_is_finite():
    z, valid = cycles(), torch.zeros(3, 1, 30, dtype=torch.float64)
    valid[:, :, :21] = 1
    padded = cycle_statistics(z * valid, valid)
    alone = cycle_statistics(z[:, :, :21], torch.ones(3, 1, 21, dtype=torch.float64))
    torch.testing.assert_close(padded, alone)
    assert cycle_statistics(z * 0, valid * 0).isfinite().all()
    still = torch.ones(1, 2, 30, dtype=torch.float64, requires_grad=True)
    cycle_statistics(still, valid[:1]).sum().backward()
    assert still.grad.isfinite().all()


def measured(count: int, seed: int, **faults) -> FeatureSet:
    """A signal that drifts from cycle to cycle, and a steady one, which varies a thousandth of it."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((count, 2, 60)) * np.array([[0.2], [0.02]])
    values[:, 0] += 20 * rng.random((count, 1))
    values[:, 1, 10:20] += 1
    for place, by in faults.items():
        if place == "steady":
            values[:, 1] += by
        if place == "missing":
            values[:, 1, 10:20] -= by
    arrays = {"cycle": values.astype("f4"), "valid": np.ones((count, 60), "f4")}
    duration = np.full((count, 1), faults.get("duration", 1.2), "f4") * (1 + 0.01 * rng.random((count, 1)))
    return FeatureSet({**arrays, "duration": duration.astype("f4")}, key=f"{count} {seed} {faults}")


@pytest.fixture(scope="module", params=[0, 60])
def fitted(request) -> CycleNeighbour:
    detector = CycleNeighbour(CycleNeighbourConfig(kernels=request.param))
    detector.fit(measured(14, 0), seed=0, progress=Progress())
    return detector


@pytest.mark.parametrize("fault", [{"steady": 0.1}, {"missing": 1.0}, {"duration": 6.0}])
def test_fourteen_cycles_tell_a_small_change_of_a_steady_signal_beside_one_that_drifts(fitted, fault):
    sound, faulty = (fitted.score(measured(9, 1, **given).read()).score for given in ({}, fault))
    assert faulty.min() > sound.max()


def test_the_map_shows_the_signal_that_changed(fitted):
    assert fitted.score(measured(1, 1, steady=0.5).read()).map[0].sum(1).argmax() == 1


def test_the_larger_score_of_the_views_counts():
    detector, new = CycleNeighbour(CycleNeighbourConfig(kernels=20)), measured(5, 1, missing=1.0).read()
    detector.fit(measured(14, 0), seed=0, progress=Progress())
    with torch.no_grad():
        views = zip(detector.model.known, detector.model.views(new), strict=True)
        each = [known(view, detector.config) for known, view in views]
    torch.testing.assert_close(detector.score(new).score, torch.maximum(*each))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kernels": -1}, "cycle_neighbour has kernels=-1: choose at least 1, or 0 for none."),
        ({"neighbours": 0}, "cycle_neighbour has neighbours=0: choose at least 1."),
        ({"floor": 0.0}, "cycle_neighbour has floor=0.0: it must be above 0."),
        ({"normalisation": "root"}, "cycle_neighbour has no normalisation 'root'"),
    ],
)
def test_settings_that_cannot_be_are_sentences(settings, said):
    with pytest.raises(EndlineError, match=said):
        CycleNeighbourConfig(**settings)
