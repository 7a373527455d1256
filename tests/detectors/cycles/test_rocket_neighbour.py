"""Random convolutions: by hand, under masks; and cycles whose events move, which no step by step difference allows."""

import numpy as np
import pytest
import torch

from endline.detectors.cycles.nearest_cycle import NearestCycle, NearestCycleConfig
from endline.detectors.cycles.random_kernels import LENGTH, PARTS, RandomKernels
from endline.detectors.cycles.rocket_neighbour import RocketNeighbour, RocketNeighbourConfig
from endline.detectors.progress import Progress
from endline.errors import EndlineError


def kernels(signals=3, steps=40, number=10, seed=0):
    torch.manual_seed(seed)
    return RandomKernels(signals, steps, number).double()


def test_the_three_numbers_by_hand():
    made, x = kernels(), torch.randn(2, 3, 40, dtype=torch.float64)
    said = made(x, torch.ones(2, 1, 40, dtype=torch.float64))
    start = 0
    for dilation, weight, bias in zip(made.dilations, made.weights, made.biases, strict=True):
        number, reach = len(weight), dilation * (LENGTH // 2)
        padded = np.pad(x.numpy(), ((0, 0), (0, 0), (reach, reach)))
        y = np.stack([padded[:, :, at : at + 2 * reach + 1 : dilation] for at in range(40)], 3)  # (2, 3, 9, steps)
        y = np.einsum("ksl,bslt->bkt", weight.numpy(), y) + bias.numpy()[None, :, None]
        expected = np.concatenate([(y > 0).mean(2), y.max(2), y.std(2)], 1)
        np.testing.assert_allclose(said[:, start : start + PARTS * number], expected, atol=1e-6)
        start += PARTS * number
    assert start == said.shape[1] == 30


def test_kernels_do_not_hear_the_level_and_look_at_some_signals_only():
    for weight in kernels(signals=20, number=40).weights:
        torch.testing.assert_close(weight.sum(2), torch.zeros_like(weight[:, :, 0]), atol=1e-5, rtol=0)
        looked_at = (weight.abs().sum(2) > 0).sum(1)
        assert looked_at.min() >= 1
        assert looked_at.max() <= LENGTH


def test_padding_says_nothing():
    made, x = kernels(), torch.randn(1, 3, 40, dtype=torch.float64)
    valid = torch.zeros(1, 1, 40, dtype=torch.float64)
    valid[..., :25] = 1
    x = x * valid
    said, alone = made(x, valid), made(x[..., :25], valid[..., :25])
    torch.testing.assert_close(said, alone)
    assert made(x, 0 * valid).isfinite().all()


def test_memory_is_bounded_by_pieces_that_change_nothing(monkeypatch):
    made, x, valid = kernels(), torch.randn(4, 3, 40).double(), torch.ones(4, 1, 40).double()
    whole = made(x, valid)
    monkeypatch.setattr("endline.detectors.cycles.random_kernels.VALUES", 2 * 4 * 40)
    assert sorted(made(x, valid)[0].tolist()) == pytest.approx(sorted(whole[0].tolist()))


def test_an_event_may_move_but_not_be_missing(with_event):
    new = {height: with_event(8, 1, height).read(range(8)) for height in (4.0, 0.0)}
    detector = RocketNeighbour(RocketNeighbourConfig(kernels=60))
    detector.fit(with_event(40, 0), seed=0, progress=Progress())
    sound, missing = (detector.score(new[height]).score for height in (4.0, 0.0))
    assert missing.min() > sound.max()
    by_step = NearestCycle(NearestCycleConfig())
    by_step.fit(with_event(40, 0), seed=0, progress=Progress())
    assert by_step.score(new[0.0]).score.min() < by_step.score(new[4.0]).score.max()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kernels": 0}, "rocket_neighbour has kernels=0: choose at least 1."),
        ({"neighbours": 0}, "rocket_neighbour has neighbours=0: choose at least 1."),
        ({"floor": 0.0}, "rocket_neighbour has floor=0.0: it must be above 0."),
        ({"normalisation": "root"}, "rocket_neighbour has no normalisation 'root'"),
    ],
)
def test_settings_that_cannot_be_are_sentences(settings, said):
    with pytest.raises(EndlineError, match=said):
        RocketNeighbourConfig(**settings)
