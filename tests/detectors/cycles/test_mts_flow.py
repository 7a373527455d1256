"""MTS-Flow, and its student: likelihood, masks, spectra, single signals, where the anomaly is."""

import numpy as np
import pytest
import torch

from endline.detectors.cycles.mts_ast import MTSAST, MTSASTConfig
from endline.detectors.cycles.mts_flow import MTSFlow, MTSFlowConfig
from endline.detectors.cycles.signals import downsampled, signal_gradient, window_spectra
from endline.detectors.cycles.usual_course import UsualCourse
from endline.detectors.progress import Progress
from endline.detectors.standardisation import Standardisation
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = {"epochs": 30, "batch_size": 8, "learning_rate": 5e-3, "min_hidden": 16, "kernel": 5, "blocks": 2}


def cycles(count: int = 24, signals: int = 3, steps: int = 48, seed: int = 0) -> dict[str, np.ndarray]:
    """Signals that follow one another, of different lengths."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 0.5, (count, 1, 1)) + np.arange(signals)[:, None]
    values = np.sin(np.arange(steps) / 4 + phase) + 0.05 * rng.standard_normal((count, signals, steps))
    valid = np.arange(steps) < rng.integers(steps - 8, steps + 1, count)[:, None]
    return {"cycle": (values * valid[:, None]).astype("f4"), "valid": valid.astype("f4")}


def fitted(detector=MTSFlow, config=MTSFlowConfig, arrays=None, **changes):
    made = detector(config(**{**SMALL, **changes}))
    made.fit(FeatureSet(arrays or cycles()), seed=0, progress=Progress())
    return made


def batch_of(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return FeatureSet(arrays).read()


def with_fault(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    values = arrays["cycle"].copy()
    values[:, 1, 20:24] += 1.5
    return {**arrays, "cycle": values}


@pytest.mark.parametrize(
    ("detector", "config"),
    [(MTSFlow, MTSFlowConfig), (MTSAST, MTSASTConfig)],
)
@pytest.mark.parametrize("window", [0, 8])
def test_a_short_fault_scores_higher_and_the_map_shows_where(detector, config, window):
    made = fitted(detector, config, window=window, min_steps=200)
    normal, faulty = batch_of(cycles(8, seed=5)), batch_of(with_fault(cycles(8, seed=5)))
    assert (made.score(faulty).score > made.score(normal).score).all()
    heat = made.score(faulty).map
    assert heat.shape == (8, 3, 48)
    near = torch.zeros(48, dtype=torch.bool)
    near[20 - 4 - window : 24 + 4 + window] = True
    course = heat.sum(1)
    assert (course[:, near].mean(1) > course[:, ~near].mean(1)).all()


def test_the_score_is_the_negative_log_likelihood_of_an_element():
    made = fitted().model.double()
    x = torch.randn(1, 3, 10, dtype=torch.float64)
    z, log_det = made.flow((x,))
    jacobian = torch.autograd.functional.jacobian(lambda v: made.flow((v,))[0][0], x).reshape(30, 30)
    expected = (z[0].square().sum() / 2 - torch.linalg.slogdet(jacobian)[1]) / 30
    latent, dets = made.parts(x)
    assert ((latent - dets).sum() / 30).item() == pytest.approx(expected.item(), abs=1e-10)
    assert log_det.item() == pytest.approx(dets.sum().item())


def test_what_lies_under_the_mask_changes_nothing():
    made = fitted()
    arrays = cycles(4, seed=3)
    dirty = {**arrays, "cycle": np.where(arrays["valid"][:, None] > 0, arrays["cycle"], 99).astype("f4")}
    assert torch.equal(made.score(batch_of(arrays)).score, made.score(batch_of(dirty)).score)
    longer = {name: np.concatenate([x, np.zeros_like(x)], -1) for name, x in arrays.items()}
    whole = {"cycle": arrays["cycle"], "valid": np.ones_like(arrays["valid"])}
    assert not torch.allclose(made.score(batch_of(whole)).score, made.score(batch_of(arrays)).score)
    # Borders see other neighbours; the rest is the same.
    torch.testing.assert_close(
        made.score(batch_of(longer)).score, made.score(batch_of(arrays)).score, rtol=0.2, atol=0.05
    )


def test_as_published_padding_counts_and_the_score_is_a_sum():
    arrays = cycles(4, seed=3)
    one = fitted(masked=False, summed=True)
    batch = batch_of(arrays)
    steps, mask = one.step_scores(batch)
    assert mask.all()
    torch.testing.assert_close(one.score(batch).score, steps.sum(1) * 3)


def test_the_loss_as_published_has_no_half():
    made, batch = fitted(), batch_of(cycles())
    x, valid = made.model.prepared(batch)
    latent, log_det = made.model.parts(x)
    count = valid.sum() * 3
    torch.testing.assert_close(made.loss(batch), ((latent - log_det) * valid[:, 0]).sum() / count)
    published = MTSFlow(MTSFlowConfig(**SMALL, half=False))
    published._prepare({"cycle": (3, 48), "valid": (48,)}, 24, seed=0)
    published.model.load_state_dict(made.model.state_dict())
    torch.testing.assert_close(published.loss(batch), ((2 * latent - log_det) * valid[:, 0]).sum() / count)


@pytest.mark.parametrize("signals", [1, 2, 5])
@pytest.mark.parametrize("window", [0, 4])
def test_any_number_of_signals(signals, window):
    arrays = cycles(signals=signals, steps=47)
    made = fitted(arrays=arrays, window=window, epochs=2)
    scored = made.score(batch_of(arrays))
    assert scored.score.isfinite().all()
    assert scored.map.shape == (24, signals, 47)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"clamp": "hard"}, "mts_flow has no clamp 'hard': choose one of soft, unscaled"),
        ({"score": "best"}, "mts_flow has no score 'best'"),
        ({"kernel": 4}, "kernel=4"),
        ({"segments": 0}, "segments=0: the kernel is odd, and all are at least 1"),
        ({"window": 7}, "window=7: choose an even number"),
    ],
)
def test_wrong_settings_are_told(changes, told):
    with pytest.raises(EndlineError, match=told):
        MTSFlowConfig(**changes)


def test_wrong_settings_of_the_student_are_told():
    with pytest.raises(EndlineError, match="student_kernel=4"):
        MTSASTConfig(student_kernel=4)


# What detectors on cycles share


def test_standardisation_counts_valid_steps_alone():
    rng = np.random.default_rng(0)
    values, valid = 5 + 3 * torch.from_numpy(rng.standard_normal((9, 2, 30))), torch.ones(9, 1, 30)
    valid[:4, :, 20:] = 0
    values[:, 1] = 7.0  # a signal that never changes keeps its unit
    made = Standardisation(2)
    made.fit((values[i : i + 2].float(), valid[i : i + 2]) for i in range(0, 9, 2))
    inside = values[:, 0][valid[:, 0] > 0]
    assert made.mean[0].item() == pytest.approx(inside.mean().item(), rel=1e-5)
    assert made.gain.tolist() == pytest.approx([1 / inside.std(correction=0).item(), 1.0], rel=1e-5)
    out = made(values.float(), valid)
    assert not out[:4, :, 20:].any()
    assert not out[:, 1].any()


def test_thinning_takes_means_of_what_is_valid():
    x = torch.arange(10.0).view(1, 1, 10)
    valid = torch.tensor([[[1.0] * 5 + [0.0] * 5]])
    found, mask = downsampled(x, valid, 4)
    assert found.flatten().tolist() == [1.5, 4.0, 0.0]
    assert mask.flatten().tolist() == [1.0, 1.0, 0.0]
    assert downsampled(x, valid, 1)[0] is x


def test_spectra_see_the_frequency_and_the_end_of_the_cycle():
    steps = torch.arange(64.0)
    x = torch.stack([torch.sin(2 * np.pi * steps / 4), torch.zeros(64)])[None]
    valid = (steps < 40).float().view(1, 1, 64)
    found, mask = window_spectra(x, valid, 8)
    assert found.shape == (1, 10, 15)
    assert mask.shape == (1, 1, 15)
    assert (found[0, :5].argmax(0) == 2).all()  # a period of 4 steps is bin 2 of 8
    assert mask.flatten().tolist() == [1.0] * 10 + [0.0] * 5


@pytest.mark.parametrize("reach", [None, 0, 3, 5])
def test_the_gradient_map_is_that_of_each_cycle_alone(reach):
    batch = {"cycle": torch.randn(20, 2, 5), "valid": torch.ones(20, 5)}
    weights = torch.randn(2, 5)
    standardise = Standardisation(2)
    standardise.gain, standardise.mean = torch.tensor([0.5, 4.0]), torch.tensor([1.0, -2.0])
    usual = None if reach is None else UsualCourse(2, 7)
    if usual is not None:
        usual.course, usual.known = torch.randn(2, 7), (torch.arange(7) < reach).float()
    found = signal_gradient(lambda part: (part["cycle"] * weights).square().sum((1, 2)), batch, standardise, usual)
    slopes = (2 * batch["cycle"] * weights.square()).abs()
    if usual is None:
        torch.testing.assert_close(found, slopes / standardise.gain[:, None])
        return
    course = torch.where(usual.known > 0, usual.course, standardise.mean[:, None])[:, :5]
    torch.testing.assert_close(found, slopes * (batch["cycle"] - course).abs())


@pytest.mark.parametrize(("detector", "config"), [(MTSFlow, MTSFlowConfig), (MTSAST, MTSASTConfig)])
def test_the_map_does_not_depend_on_the_units_of_the_signals(detector, config):
    """Millimetres or metres: the same signals are guilty."""
    units = np.array([1.0, 1000.0, 0.001], "f4")[:, None]
    arrays = cycles(8, seed=5)
    scaled = {**arrays, "cycle": arrays["cycle"] * units}
    made = fitted(detector, config, epochs=2)
    other = fitted(detector, config, {**cycles(), "cycle": cycles()["cycle"] * units}, epochs=2)
    found, wanted = other.score(batch_of(scaled)).map, made.score(batch_of(arrays)).map
    assert (found - wanted).abs().mean() < 0.05 * wanted.mean()
