"""FastFlow: its score by hand, its loss, its map, its published form."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from endline.detectors.maps.fastflow import FastFlow, FastFlowConfig
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = FastFlowConfig(components=4, blocks=2, epochs=6, learning_rate=3e-3, batch_size=8)


def built(config: FastFlowConfig, shapes) -> FastFlow:
    detector = FastFlow(config)
    detector._prepare(shapes, 4, seed=0)
    detector.model.eval()
    return detector


def test_map_and_score_by_hand_of_the_untrained_flow():
    detector = built(replace(SMALL, whiten=False), {"scale_0": (2, 1, 2), "scale_1": (2, 1, 1)})
    batch = {"scale_0": torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]]), "scale_1": torch.tensor([[[[2.0]], [[-2.0]]]])}
    likelihoods = [(math.exp(-(1 + 9) / 4) + math.exp(-2)) / 2, (math.exp(-4 / 4) + math.exp(-2)) / 2]
    scored = detector.score(batch)
    assert scored.map[0, 0].tolist() == pytest.approx([-math.log(each) for each in likelihoods], rel=1e-5)
    assert scored.score.item() == pytest.approx(-math.log(likelihoods[0]), rel=1e-5)


def test_loss_is_the_negative_log_likelihood_a_dimension_but_its_constant():
    shapes = {"scale_0": (5, 4, 4), "scale_1": (3, 2, 2)}
    detector = built(replace(SMALL, whiten=False), shapes)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in detector.model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    batch = {name: torch.randn(3, *shape) for name, shape in shapes.items()}
    expected = [
        -flow.log_prob((batch[name],)).mean().item() / math.prod(shapes[name]) - 0.5 * math.log(2 * math.pi)
        for flow, name in zip(detector.model.flows, shapes, strict=True)
    ]
    assert detector.loss(batch).item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_kernels_are_three_and_one_by_turns():
    detector = built(replace(SMALL, blocks=3), {"scale_0": (6, 4, 4)})
    kernels = [block.second_to_first.enter[0].kernel_size for block in detector.model.flows[0].blocks]
    assert kernels == [(3, 3), (1, 1), (3, 3)]


def test_hidden_channels_are_a_share_of_those_that_come_in():
    for ratio, hidden in ((1.0, 3), (2.0, 6), (0.01, 1)):
        detector = built(replace(SMALL, whiten=False, hidden_ratio=ratio), {"scale_0": (6, 4, 4)})
        assert detector.model.flows[0].blocks[0].second_to_first.enter[0].out_channels == hidden


def related(count: int, seed: int, broken: bool = False) -> FeatureSet:
    """Channels that repeat each other, but at one spot of the broken samples; each by itself stays as usual."""
    rng = np.random.default_rng([seed, count])
    x = rng.standard_normal((count, 2, 8, 8))
    maps = np.concatenate([x, x + 0.2 * rng.standard_normal(x.shape)], 1)
    if broken:
        maps[:, 2:, 1:3, 5:7] *= -1
    return FeatureSet({"scale_0": maps.astype("f4")}, key=f"related {seed} {broken}")


def test_it_learns_a_relation_between_channels_and_its_map_points_at_the_broken_spot():
    config = replace(SMALL, whiten=False, blocks=4, hidden_ratio=4.0, batch_size=4, epochs=8, learning_rate=1e-2)
    detector = FastFlow(config)
    history = detector.fit(related(100, 0), seed=0, progress=Progress())
    assert history.losses[-1] < history.losses[0] - 0.3
    normal, broken = detector.score(related(40, 1).read()), detector.score(related(40, 2, broken=True).read())
    assert broken.score.median() > normal.score.max()
    heat = broken.map.mean(0) - normal.map.mean(0)
    assert divmod(int(heat.argmax()), 8) in {(row, column) for row in (1, 2) for column in (5, 6)}


def test_unknown_means_are_told():
    with pytest.raises(EndlineError) as caught:
        FastFlowConfig(mean_of="z")
    assert str(caught.value) == "fastflow has no mean_of 'z': choose one of likelihood, log_likelihood."


def test_published_settings(published):
    config = published("fastflow").config
    assert (config.blocks, config.hidden_ratio, config.whiten) == (8, 1.0, False)
    assert (config.learning_rate, config.weight_decay, config.batch_size, config.epochs) == (1e-3, 1e-5, 32, 500)
