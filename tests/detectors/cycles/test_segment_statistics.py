"""Statistics of segments: by hand, under masks, and what they see that a likelihood does not."""

from functools import partial

import pytest
import torch

from endline.detectors.cycles.mts_flow import MTSFlow, MTSFlowConfig
from endline.detectors.cycles.segment_gaussian import SegmentGaussian, SegmentGaussianConfig
from endline.detectors.cycles.segment_statistics import StatisticsGaussian, segment_statistics
from endline.detectors.progress import Progress
from endline.errors import EndlineError


@pytest.fixture(scope="module")
def early(with_event):
    """Cycles whose event lies in the first quarter."""
    return partial(with_event, within=(2, 12))


def test_the_statistics_by_hand():
    z = torch.arange(16.0).view(1, 2, 8)
    found = segment_statistics(z, torch.ones(1, 1, 8), 4).view(4, 4, 2)
    for segment in range(4):
        first = torch.tensor([2.0 * segment, 8 + 2.0 * segment])
        torch.testing.assert_close(found[segment], torch.stack([first + 0.5, torch.full((2,), 0.5), first, first + 1]))


def test_segments_are_those_of_the_valid_steps():
    z = torch.randn(1, 3, 20)
    valid = torch.zeros(1, 1, 20)
    valid[..., :12] = 1
    torch.testing.assert_close(segment_statistics(z, valid, 3), segment_statistics(z[..., :12], valid[..., :12], 3))


def test_short_and_empty_cycles_are_finite():
    z = torch.randn(2, 3, 5, requires_grad=True)
    valid = torch.zeros(2, 1, 5)
    valid[0, :, :2] = 1
    found = segment_statistics(z, valid, 4)
    assert found.isfinite().all()
    assert not found[1].any()
    (slope,) = torch.autograd.grad(found.sum(), z)
    assert slope.isfinite().all()


def test_the_distance_is_mahalanobis():
    torch.manual_seed(0)
    made = StatisticsGaussian(1, 4)
    vectors = torch.randn(500, 16) @ torch.randn(16, 16)
    made.fit(vectors, shrinkage=0.0)
    inverse = torch.linalg.inv(torch.cov(vectors.double().T, correction=0))
    away = vectors.double() - vectors.double().mean(0)
    expected = ((away @ inverse) * away).sum(1) / 16
    torch.testing.assert_close(made(vectors).double(), expected, rtol=1e-2, atol=1e-3)


def test_mts_flow_scores_the_statistics_of_its_latents_and_of_the_signals(early):
    train = early(60, 0)
    flow = MTSFlow(MTSFlowConfig(score="statistics", segments=2, epochs=1, min_hidden=8, blocks=1))
    flow.fit(train, seed=0, progress=Progress())
    x, valid = flow.model.prepared(train.read())
    z = flow.model.flow((x,))[0][0].detach()
    found = torch.cat([segment_statistics(part, valid, 2).view(60, -1, 2) for part in (z, x)], 2)
    expected = StatisticsGaussian(4, 2)
    expected.fit(found.flatten(1))
    torch.testing.assert_close(flow.score(train.read()).score, expected(found.flatten(1)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("segments", [0, -1])
def test_no_segments_are_told(segments):
    with pytest.raises(EndlineError, match=rf"segment_gaussian has segments={segments}: choose at least 1\."):
        SegmentGaussianConfig(segments=segments)


def auroc(made, early) -> float:
    """Of cycles whose event is missing against usual ones."""
    usual, missing = (made.score(early(40, seed, height).read()).score for seed, height in ((1, 4.0), (2, 0.0)))
    return float((missing[:, None] > usual).float().mean())


def test_a_missing_event_is_seen_by_statistics_and_taken_for_likely_by_a_likelihood(early):
    plain = SegmentGaussian(SegmentGaussianConfig())
    plain.fit(early(120, 0), seed=0, progress=Progress())
    assert auroc(plain, early) > 0.95
    found = {}
    for score in ("statistics", "likelihood"):
        config = MTSFlowConfig(
            score=score, epochs=20, batch_size=8, learning_rate=5e-3, min_hidden=16, kernel=5, blocks=2
        )
        flow = MTSFlow(config)
        flow.fit(early(120, 0), seed=0, progress=Progress())
        found[score] = auroc(flow, early)
    assert found["statistics"] > 0.8
    assert found["likelihood"] < 0.5


def test_the_map_shows_when_something_strange_happens(early):
    made = SegmentGaussian(SegmentGaussianConfig())
    made.fit(early(60, 0), seed=0, progress=Progress())
    arrays = early(4, 3).read()
    arrays["cycle"][:, 1, 40] = 3.0
    heat = made.score(arrays).map
    assert (heat[:, 1].argmax(1) == 40).all()
