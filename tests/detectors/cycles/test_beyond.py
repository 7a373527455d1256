"""What no method models: how long a cycle lasts, and signals that never changed in training."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.feature_set import FeatureSet

CONF = Path(__file__).parents[3] / "conf"
DETECTORS = (
    "mts_flow",
    "mts_ast",
    "nearest_cycle",
    "pca",
    "conv_autoencoder",
    "lstm_vae",
    "ganf",
    "hmm",
    "rocket_neighbour",
)


def quick(name: str):
    base, smoke = (
        yaml.safe_load((CONF / env / "parameters/detectors.yml").read_text())["detectors"] for env in ("base", "smoke")
    )
    return build_detector(name, {name: {**base[name], **smoke.get(name, {})}})


def arrays(count: int, supply: float, outside: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(64) / 4) + 0.05 * rng.standard_normal((count, 64))
    cycle = np.stack([wave, np.full_like(wave, supply)], 1).astype("f4")
    return {"cycle": cycle, "valid": np.ones((count, 64), "f4"), "outside": np.full((count, 1), outside, "f4")}


@pytest.mark.parametrize("usual", [24.0, 0.024])
@pytest.mark.parametrize("name", DETECTORS)
def test_a_supply_that_fails_and_a_strange_duration_raise_every_score(name, usual):
    detector = quick(name)
    detector.fit(FeatureSet(arrays(12, usual)), seed=0, progress=Progress())

    def scores(**changes) -> np.ndarray:
        return detector.score(FeatureSet(arrays(6, **{"supply": usual, "seed": 1, **changes})).read()).score.numpy()

    good = scores()
    for other in (scores(supply=0.0), scores(supply=0.9 * usual), scores(outside=1.0)):
        assert other.min() > good.max() + 5  # whatever the unit of the score, far beyond what good ones differ by
    without = arrays(6, usual, seed=1)
    del without["outside"]
    assert detector.score(FeatureSet(without).read()).score.numpy() == pytest.approx(good)
