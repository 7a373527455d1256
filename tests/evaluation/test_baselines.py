"""The baseline of ignorance: summary numbers alone, standardised, by their nearest training items."""

import numpy as np
import pandas as pd
import pytest

from endline.evaluation import baselines
from endline.evaluation.baselines import NEIGHBOURS, with_baseline
from endline.evaluation.metrics import Auroc, auroc


def baseline_auroc(samples: pd.DataFrame, numbers: pd.DataFrame | None) -> Auroc | None:
    """The figure of the tested items, as a run comes to it."""
    return baselines.baseline_auroc(with_baseline(samples[samples["split"] == "test"], samples, numbers))


def evidence(shift: float, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forty training, forty normal and forty faulty items, and two numbers on very different scales."""
    rng = np.random.default_rng(seed)
    label, split = np.repeat([0, 0, 1], 40), np.repeat(["train", "test", "test"], 40)
    names = [f"i{number}" for number in range(120)]
    numbers = rng.normal(size=(120, 2)) * [1, 1e4]
    numbers[label == 1, 0] += shift
    samples = pd.DataFrame({"sample_id": names, "label": pd.array(label, "Int8"), "split": split})
    return samples, pd.DataFrame(numbers, index=names)


def test_it_is_the_mean_distance_to_the_five_nearest_training_items():
    samples, numbers = evidence(2.0)
    known = numbers.iloc[:40].to_numpy()
    scaled = numbers.to_numpy() / known.std(0)
    distances = np.sort(np.linalg.norm(scaled[40:, None] - scaled[None, :40], axis=2), 1)[:, :NEIGHBOURS].mean(1)
    assert baseline_auroc(samples, numbers) == auroc(distances[:40], distances[40:])


def test_a_glance_that_tells_the_fault_is_near_one_and_one_that_does_not_near_chance():
    assert baseline_auroc(*evidence(6.0)).auroc > 0.95
    assert np.mean([baseline_auroc(*evidence(0.0, seed)).auroc for seed in range(6)]) == pytest.approx(0.5, abs=0.06)


def test_a_departure_from_what_was_constant_counts():
    samples, numbers = evidence(0.0)
    supply = pd.Series(24.0, numbers.index).where(samples["label"].to_numpy() == 0, 0.0)
    assert baseline_auroc(samples, numbers.assign(supply=supply)).auroc == 1.0


@pytest.mark.parametrize("lacking", ["numbers", "normal", "training"])
def test_none_where_there_is_no_figure(lacking):
    samples, numbers = evidence(1.0)
    if lacking == "numbers":
        assert baseline_auroc(samples, None) is None
        return
    out = (samples["split"] == ("train" if lacking == "training" else "test")) & (samples["label"] == 0)
    assert baseline_auroc(samples[~out], numbers) is None
