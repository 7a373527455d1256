"""Small clips of two machines."""

from collections.abc import Callable

import numpy as np
import pytest

from endline.feature_set import FeatureSet

BANDS, FRAMES = 16, 30


@pytest.fixture(scope="session")
def clips() -> Callable[..., FeatureSet]:
    """Makes clips in dB: a level of each band that goes up and down together, and a little noise.

    `machine` shapes the spectrum; `section` is the clips' number, and its parity the speed.
    """

    def make(count: int, machine: int = 0, seed: int = 0) -> FeatureSet:
        rng = np.random.default_rng([seed, count, machine])
        spectrum = -40 + 10 * np.cos(np.arange(BANDS)[:, None] / (3 + 2 * machine))
        section = np.arange(count) % 2
        phase = rng.uniform(0, 6, count)[:, None] + np.arange(FRAMES) * (0.4 + 0.8 * section[:, None])
        values = spectrum + 5 * np.sin(phase)[:, None] + 0.5 * rng.standard_normal((count, BANDS, FRAMES))
        arrays = {"log_mel": values, "section": section[:, None]}
        return FeatureSet({name: each.astype("f4") for name, each in arrays.items()}, key=f"{count} {machine} {seed}")

    return make


@pytest.fixture(scope="session")
def pictures() -> Callable[..., FeatureSet]:
    """Makes pictures of stripes and a little noise with two shifted copies; `machine` is the width of a stripe."""

    def make(count: int, machine: int = 0, seed: int = 0) -> FeatureSet:
        rng = np.random.default_rng([seed, count, machine])
        phase = rng.uniform(0, 6, (count, 3, 1, 1))
        stripes = 0.5 + 0.3 * np.sin(np.arange(64)[:, None] / (2 + 6 * machine) + phase)
        values = stripes + 0.05 * rng.standard_normal((count, 3, 64, 64))
        arrays = {"stft": values[:, :1], "stft_shifted": values[:, 1:]}
        return FeatureSet({name: each.astype("f4") for name, each in arrays.items()}, key=f"{count} {machine} {seed}")

    return make
