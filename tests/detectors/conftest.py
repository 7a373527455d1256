"""What tests of detectors share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from endline.detectors.registry import build_detector
from endline.feature_set import FeatureSet

PAPER = Path(__file__).parents[2] / "conf" / "paper" / "parameters" / "detectors.yml"


@pytest.fixture(scope="session")
def cycles() -> Callable[..., FeatureSet]:
    """Makes cycles: sines of varying size and a little noise; the last of several signals is constant."""

    def make(count: int, signals: int = 3, seed: int = 0, steps: int = 43) -> FeatureSet:
        rng = np.random.default_rng([seed, count])
        valid = np.arange(steps) < rng.integers(steps * 3 // 4, steps + 1, count)[:, None]
        size = 1 + 0.1 * rng.standard_normal((count, 1, 1))
        values = size * np.sin(np.arange(steps) / 4 + np.arange(signals)[:, None])
        values = values + 0.02 * rng.standard_normal(values.shape)
        if signals > 1:
            values[:, -1] = 7.0
        return FeatureSet({"cycle": (values * valid[:, None]).astype("f4"), "valid": valid.astype("f4")}, key="sines")

    return make


@pytest.fixture(scope="session")
def with_event() -> Callable[..., FeatureSet]:
    """Makes cycles of quiet signals with one short peak, at a place of its own within some steps in every cycle."""

    def make(count: int, seed: int, height: float = 4.0, within: tuple[int, int] = (4, 56)) -> FeatureSet:
        rng = np.random.default_rng(seed)
        values = 0.1 * rng.standard_normal((count, 2, 64)).astype("f4")
        for row, place in enumerate(rng.integers(*within, count)):
            values[row, 0, place : place + 3] += height
        valid = np.ones((count, 64), "f4")
        return FeatureSet({"cycle": values, "valid": valid}, key=f"{count} {seed} {height} {within}")

    return make


@pytest.fixture(scope="session")
def published() -> Callable[[str], Any]:
    """Makes the detector of a name with its settings in conf/paper."""
    settings = yaml.safe_load(PAPER.read_text())["detectors"]
    return lambda name: build_detector(name, settings)
