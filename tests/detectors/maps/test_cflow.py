"""CFLOW: likelihoods of vectors by position, the constants of the scales, its map, its published form."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from endline.detectors.maps.cflow import CFlow, CFlowConfig
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = CFlowConfig(components=4, blocks=2, code=8, vectors=200, epochs=6, batch_size=8, learning_rate=3e-3)
SHAPES = {"scale_0": (4, 6, 8), "scale_1": (3, 3, 4)}
CONSTANT = 0.5 * math.log(2 * math.pi)


def built(config: CFlowConfig, shapes=SHAPES) -> CFlow:
    detector = CFlow(config)
    detector._prepare(shapes, 4, seed=0)
    detector.model.eval()
    return detector


def randomised(config: CFlowConfig) -> CFlow:
    detector = built(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in detector.model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return detector


def batch(count: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(count, *shape, generator=generator) for name, shape in SHAPES.items()}


def test_loss_and_map_by_hand_of_the_untrained_flow():
    detector = built(replace(SMALL, whiten=False, vectors=0), {"scale_0": (2, 1, 2), "scale_1": (2, 1, 1)})
    one = {"scale_0": torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]]), "scale_1": torch.tensor([[[[2.0]], [[-2.0]]]])}
    logs = [-(1 + 9) / 4 - CONSTANT, -4 / 4 - CONSTANT], [-8 / 4 - CONSTANT]
    losses = [math.log(1 + math.exp(-log)) for log in (*logs[0], *logs[1])]
    assert detector.loss(one).item() == pytest.approx((losses[0] + losses[1]) / 2 + losses[2], rel=1e-5)
    detector.model.peaks.copy_(torch.tensor([-1.0, -2.0]))
    means = [(math.exp(log + 1) + math.exp(logs[1][0] + 2)) / 2 for log in logs[0]]
    scored = detector.score(one)
    assert scored.map[0, 0].tolist() == pytest.approx([-math.log(mean) for mean in means], rel=1e-5)
    assert scored.score.item() == pytest.approx(-math.log(means[0]), rel=1e-5)


def test_log_likelihoods_are_those_of_each_vector_given_its_position():
    detector = randomised(replace(SMALL, whiten=False))
    found = detector.model.log_likelihoods(batch())
    assert [each.shape for each in found] == [(3, 6, 8), (3, 3, 4)]
    for scale, (name, each) in enumerate(zip(SHAPES, found, strict=True)):
        code = detector.model.get_buffer(f"code_{scale}")
        for row, column in ((0, 0), (2, 3)):
            place = (..., slice(row, row + 1), slice(column, column + 1))
            alone = detector.model.flows[scale].log_prob((batch()[name][place],), (code[place],))
            torch.testing.assert_close(each[:, row, column] * SHAPES[name][0], alone, rtol=1e-4, atol=1e-4)


def test_drawn_vectors_keep_their_positions():
    detector = randomised(replace(SMALL, whiten=False))
    whole = detector.model.log_likelihoods(batch())
    torch.manual_seed(3)
    drawn = detector.model.log_likelihoods(batch(), vectors=30)
    assert [each.shape for each in drawn] == [(1, 30, 1), (1, 30, 1)]
    for some, every in zip(drawn, whole, strict=True):
        away = (some.flatten()[:, None] - every.flatten()).abs()
        assert away.min(1).values.max() < 1e-4  # each is one of all, with its own position
        assert len(set(away.argmin(1).tolist())) == 30
    again = detector.model.log_likelihoods(batch(), vectors=30)
    assert not torch.equal(drawn[0], again[0])
    assert detector.model.log_likelihoods(batch(), vectors=40)[1].shape == (3, 3, 4)  # there are no more than 36


def test_the_decoders_are_independent():
    detector = randomised(replace(SMALL, whiten=False))
    other = batch() | {"scale_1": batch()["scale_1"] + 1}
    assert torch.equal(detector.model.log_likelihoods(batch())[0], detector.model.log_likelihoods(other)[0])


def placed(count: int, seed: int, broken: bool = False) -> FeatureSet:
    """Vectors whose mean depends on their column; in the broken ones a spot shows what is usual elsewhere."""
    rng = np.random.default_rng([seed, count])
    means = np.where(np.arange(8) < 4, 2.0, -2.0)
    maps = rng.standard_normal((count, 4, 6, 8)) * 0.5 + means
    if broken:
        maps[:, :, 4, 1] -= 4.0
    return FeatureSet({"scale_0": maps.astype("f4")}, key=f"placed {seed} {broken}")


def test_what_is_usual_elsewhere_is_anomalous_here_and_the_map_points_at_it():
    config = replace(SMALL, whiten=False, blocks=3, code=16, batch_size=4, epochs=20, learning_rate=1e-2)
    detector = CFlow(config)
    history = detector.fit(placed(100, 0), seed=0, progress=Progress())
    assert history.losses[-1] < history.losses[0] - 1
    normal, broken = detector.score(placed(30, 1).read()), detector.score(placed(30, 2, broken=True).read())
    assert broken.score.median() > normal.score.max()
    assert divmod(int(broken.map.mean(0).argmax()), 8) == (4, 1)


def test_the_scales_constants_are_their_largest_training_likelihoods():
    detector = CFlow(replace(SMALL, epochs=1))
    train = placed(40, 0)
    detector.fit(train, seed=0, progress=Progress())
    with torch.no_grad():
        found = detector.model.log_likelihoods(train.read())
    expected = torch.stack([each.amax() for each in found])
    torch.testing.assert_close(detector.model.peaks, expected, rtol=1e-4, atol=1e-4)


def test_unknown_means_are_told():
    with pytest.raises(EndlineError) as caught:
        CFlowConfig(mean_of="z")
    assert str(caught.value) == "cflow has no mean_of 'z': choose one of likelihood, log_likelihood."


def test_a_code_that_is_no_multiple_of_four_is_told():
    with pytest.raises(EndlineError, match="A position code cannot have 30 channels: choose a multiple of 4"):
        built(replace(SMALL, code=30))


def test_published_settings(published):
    detector = published("cflow")
    config = detector.config
    assert (config.blocks, config.code, config.alpha, config.whiten) == (8, 128, 1.9, False)
    assert (config.learning_rate, config.schedule, config.clip_norm) == (2e-4, "cosine", 0.0)
    with torch.device("meta"):
        model = detector._build({"scale_0": (512, 4, 4)}, 10)
    subnet = model.flows[0].blocks[0].second_to_first
    assert subnet.enter[0].weight.shape == (2 * (256 + 128), 256, 1, 1)
    assert subnet.condition[0].weight.shape == (2 * (256 + 128), 128, 1, 1)
    assert subnet.leave[0].weight.shape == (2 * 256, 2 * (256 + 128), 1, 1)
