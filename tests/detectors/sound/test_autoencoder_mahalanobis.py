"""Selective Mahalanobis: the covariances of the domains, the smaller distance, one domain alone."""

import numpy as np
import pandas as pd
import pytest
import torch

from endline.detectors.progress import Progress
from endline.detectors.sound.autoencoder_mahalanobis import AutoencoderMahalanobis, AutoencoderMahalanobisConfig
from endline.errors import EndlineError

SMALL = {"hidden": 16, "latent": 2, "epochs": 5, "min_steps": 0, "batch_size": 8, "pooling": 0.25, "shrinkage": 0.2}


def fitted(train, domains=None) -> AutoencoderMahalanobis:
    detector = AutoencoderMahalanobis(AutoencoderMahalanobisConfig(**SMALL))
    rows = pd.DataFrame({"sample_id": [str(row) for row in range(len(train))]})
    rows = rows if domains is None else rows.assign(domain=domains)
    detector.fit(train, seed=0, progress=Progress(), rows=rows)
    return detector


def residuals(detector, clips) -> torch.Tensor:
    with torch.no_grad():
        return detector.model.residuals(detector.model.windows_of(clips)).double()


@pytest.fixture(scope="module")
def domains():
    return ["source"] * 17 + ["target", None, "target"]  # over two batches of the closed form; None is source


@pytest.fixture(scope="module")
def detector(clips, domains):
    return fitted(clips(20), domains)


def test_each_domain_has_the_pooled_and_shrunk_second_moments_of_its_residuals(detector, clips, domains):
    away = residuals(detector, clips(20).read()["log_mel"])
    target = torch.tensor([domain == "target" for domain in domains])
    everything = away.flatten(0, 1)
    for chosen, precision in zip((~target, target), detector.model.precisions, strict=True):
        vectors = away[chosen].flatten(0, 1)
        moments = 0.75 * vectors.T @ vectors + 0.25 * everything.T @ everything
        moments /= 0.75 * len(vectors) + 0.25 * len(everything)
        shrunk = 0.8 * moments + 0.2 * moments.diagonal().mean() * torch.eye(80).double()
        torch.testing.assert_close(precision.double(), torch.linalg.inv(shrunk), rtol=1e-3, atol=1e-3)


def test_the_score_is_the_smaller_mean_distance_and_the_map_its_addends(detector, clips):
    batch = clips(6, seed=1).read()
    away = residuals(detector, batch["log_mel"])
    distances = torch.einsum("nwi,dij,nwj->dnw", away, detector.model.precisions.double(), away).mean(2) / 80
    scored = detector.score(batch)
    torch.testing.assert_close(scored.score, distances.amin(0).float(), rtol=1e-3, atol=1e-4)
    assert scored.map.shape == (6, 16, 30)
    assert not torch.allclose(distances[0], distances[1])
    middle = scored.map[:, :, 4:-4].mean((1, 2))  # every frame there lies in five windows
    torch.testing.assert_close(middle, scored.score, rtol=0.3, atol=0)


def test_it_is_what_a_plain_computation_gives(detector, clips, domains):
    state = {name: value.numpy().astype(float) for name, value in detector.model.state_dict().items()}

    def away(log_mel: np.ndarray) -> np.ndarray:
        """Residuals (windows, 80) of one clip (16, 30): five frames, one after the other, less what is rebuilt."""
        levelled = (log_mel - state["level.mean"]) * state["level.gain"]
        windows = np.stack([levelled[:, start : start + 5].T.ravel() for start in range(26)])
        x = windows
        for layer in range(9):
            weight, bias, scale, shift, mean, variance = (
                state[f"layers.{layer}.{name}"]
                for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var")
            )
            normed = (x @ weight.T + bias - mean) / np.sqrt(variance + 1e-5)
            x = np.maximum(normed * scale + shift, 0)
        return windows - (x @ state["layers.9.weight"].T + state["layers.9.bias"])

    training = clips(20).read()["log_mel"].numpy().astype(float)
    squares = [sum(np.outer(vector, vector) for vector in away(clip)) for clip in training]
    inverses = []
    for is_target in (False, True):
        weights = np.array([0.25 + 0.75 * ((domain == "target") == is_target) for domain in domains])
        moments = np.tensordot(weights, squares, 1) / (26 * weights.sum())
        inverses.append(np.linalg.inv(0.8 * moments + 0.2 * np.trace(moments) / 80 * np.eye(80)))
    tested = clips(6, seed=1).read()
    wanted = [
        min(np.mean([v @ inverse @ v / 80 for v in away(clip)]) for inverse in inverses)
        for clip in tested["log_mel"].numpy().astype(float)
    ]
    np.testing.assert_allclose(detector.score(tested).score.numpy(), wanted, rtol=1e-3)


@pytest.mark.parametrize("domains", [None, ["source"] * 12, ["target"] * 12])
def test_with_one_domain_both_are_the_same(clips, domains):
    first, second = fitted(clips(12), domains).model.precisions
    assert torch.equal(first, second)
    assert first.any()


@pytest.mark.parametrize("changes", [{"shrinkage": 1.5}, {"pooling": -0.1}])
def test_a_share_out_of_range_is_told(changes):
    given = {"pooling": 0.2, "shrinkage": 0.3, **changes}
    with pytest.raises(EndlineError) as caught:
        AutoencoderMahalanobisConfig(**given)
    assert str(caught.value) == (
        f"autoencoder_mahalanobis has pooling={given['pooling']} and shrinkage={given['shrinkage']}: "
        "choose both from 0 to 1."
    )


def test_pooled_entirely_both_domains_are_the_same(clips, domains):
    detector = AutoencoderMahalanobis(AutoencoderMahalanobisConfig(**{**SMALL, "epochs": 1, "pooling": 1.0}))
    rows = pd.DataFrame({"sample_id": [str(row) for row in range(20)], "domain": domains})
    detector.fit(clips(20), seed=0, progress=Progress(), rows=rows)
    first, second = detector.model.precisions
    torch.testing.assert_close(first, second)


def test_published_settings(published):
    config = published("autoencoder_mahalanobis").config
    assert (config.pooling, config.shrinkage, config.levelled, config.batch_size) == (0.0, 0.0, False, 8)
