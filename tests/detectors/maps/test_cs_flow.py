"""CS-Flow: its score by hand, its likelihood, its map, and the sizes that it takes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from endline.detectors.maps.cs_flow import CSFlow, CSFlowConfig
from endline.detectors.maps.flow_scores import check_halving
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

TINY = CSFlowConfig(whiten=False, blocks=1, kernel=1, last_kernel=1, hidden=2, epochs=1)
SMALL = CSFlowConfig(components=6, blocks=2, hidden=8, epochs=6, learning_rate=3e-3)


def built(config: CSFlowConfig, shapes) -> CSFlow:
    detector = CSFlow(config)
    detector._prepare(shapes, 4, seed=0)
    detector.model.eval()
    return detector


def features(shapes, count: int = 40, seed: int = 0) -> FeatureSet:
    rng = np.random.default_rng([seed, count])
    return FeatureSet({n: rng.standard_normal((count, *s)).astype("f4") for n, s in shapes.items()}, key=f"{seed}")


def batch() -> dict[str, torch.Tensor]:
    """One sample of two scales with two channels each: 2 x 2 and 1 x 1."""
    fine = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, -1.0], [-2.0, 2.0]]]])
    return {"scale_0": fine, "scale_1": torch.tensor([[[[5.0]], [[-1.0]]]])}


def test_score_by_hand_of_the_untrained_flow_is_the_mean_of_half_the_squares():
    detector = built(TINY, {"scale_0": (2, 2, 2), "scale_1": (2, 1, 1)})
    scored = detector.score(batch())
    assert scored.score.item() == pytest.approx((1 + 4 + 9 + 16 + 0 + 1 + 4 + 4 + 25 + 1) / 10 / 2)
    assert scored.map.tolist() == [[[0.5, 2.5], [6.5, 10.0]]]  # half the squared norm at the finest scale alone


@pytest.mark.parametrize("kind", ["latent", "likelihood"])
def test_score_by_hand_of_a_flow_with_constant_subnets(kind):
    """Permutations (1, 0); s = gamma a and t = gamma b everywhere, which differ by scale and subnet."""
    detector = built(replace(TINY, score=kind), {"scale_0": (2, 2, 2), "scale_1": (2, 1, 1)})
    (block,) = detector.model.flow.blocks
    constants = {(0, 0): (0.5, 1.0), (0, 1): (-1.0, 2.0), (1, 0): (0.25, -1.0), (1, 1): (1.5, 0.5)}
    with torch.no_grad():
        block.gamma.fill_(2.0)
        for which, subnet in enumerate((block.second_to_first, block.first_to_second)):
            for parameter in subnet.parameters():
                parameter.zero_()
            for scale in range(2):
                block.get_buffer(f"permutation_{scale}").copy_(torch.tensor([1, 0]))
                subnet.stay[scale].bias.copy_(torch.tensor(constants[which, scale]))

    def transformed(values: list[float], which: int, scale: int) -> tuple[np.ndarray, float]:
        log_scale = (6 / math.pi) * math.atan(2 * constants[which, scale][0] / 3)
        return np.array(values) * math.exp(log_scale) + 2 * constants[which, scale][1], log_scale * len(values)

    parts = [
        transformed([0, -1, -2, 2], 0, 0),
        transformed([1, 2, 3, 4], 1, 0),
        transformed([-1], 0, 1),
        transformed([5], 1, 1),
    ]
    z = np.concatenate([part for part, _ in parts])
    log_det = sum(change for _, change in parts)
    likelihood = (np.sum(z**2) / 2 + 5 * math.log(2 * math.pi) - log_det) / 10
    expected = np.mean(z**2) / 2 if kind == "latent" else likelihood
    assert detector.score(batch()).score.item() == pytest.approx(expected, rel=1e-5)
    assert detector.loss(batch()).item() == pytest.approx(likelihood, rel=1e-5)
    heat = (parts[0][0] ** 2 + parts[1][0] ** 2) / 2
    np.testing.assert_allclose(detector.score(batch()).map.numpy().ravel(), heat, rtol=1e-5)


SIZES = {"halving": (12, 6, 3), "odd": (13, 7, 4), "down to one": (3, 2, 1), "one scale": (5,)}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_sizes_that_halve_or_round_up_are_taken(sizes):
    shapes = {f"scale_{scale}": (5 + scale, size, size) for scale, size in enumerate(sizes)}
    detector = CSFlow(replace(SMALL, epochs=1))
    detector.fit(features(shapes), seed=0, progress=Progress())
    scored = detector.score(features(shapes, 3, seed=1).read())
    assert scored.map.shape == (3, sizes[0], sizes[0])
    assert scored.score.isfinite().all()


@pytest.mark.parametrize("sizes", [((7, 7), (3, 3)), ((8, 8), (4, 8)), ((8, 8), (8, 8)), ((8, 8), (2, 2))])
def test_other_sizes_are_told(sizes):
    shapes = {f"scale_{scale}": (4, *size) for scale, size in enumerate(sizes)}
    with pytest.raises(EndlineError) as caught:
        CSFlow(SMALL).fit(features(shapes), seed=0, progress=Progress())
    told = ", ".join(f"{height} x {width}" for height, width in sizes)
    assert str(caught.value) == (
        f"The maps of {told} do not halve from scale to scale: for a cross-scale flow choose an input_type and an "
        "image size, or parts='each', whose maps do."
    )


def test_heights_alone_are_checked_where_maps_are_pooled():
    check_halving([(16,), (8,), (4,)])
    with pytest.raises(EndlineError, match="The maps of 26, 14 do not halve"):
        check_halving([(26,), (14,)])


def test_unknown_score_is_told():
    with pytest.raises(EndlineError) as caught:
        CSFlowConfig(score="logit")
    assert str(caught.value) == "cs_flow has no score 'logit': choose one of latent, likelihood."


def related(count: int, seed: int, broken: bool = False) -> FeatureSet:
    """Maps whose second half of channels repeats the first, and whose coarse map is the mean of the fine one."""
    rng = np.random.default_rng([seed, count])
    x = rng.standard_normal((count, 2, 8, 8))
    fine = np.concatenate([x, x + 0.2 * rng.standard_normal(x.shape)], 1)
    if broken:  # at one spot the relation does not hold; every channel by itself stays as usual
        fine[:, 2:, 1:3, 5:7] *= -1
    coarse = fine.reshape(count, 4, 4, 2, 4, 2).mean((3, 5)) * 2
    return FeatureSet({"scale_0": fine.astype("f4"), "scale_1": coarse.astype("f4")}, key=f"related {seed} {broken}")


def test_it_learns_a_relation_between_channels_and_its_map_points_at_the_broken_spot():
    detector = CSFlow(replace(SMALL, whiten=False, blocks=4, last_kernel=3, batch_size=4, epochs=8, learning_rate=1e-2))
    history = detector.fit(related(100, 0), seed=0, progress=Progress())
    assert history.losses[-1] < history.losses[0] - 0.3
    normal, broken = detector.score(related(40, 1).read()), detector.score(related(40, 2, broken=True).read())
    assert broken.score.median() > normal.score.max()
    heat = broken.map.mean(0) - normal.map.mean(0)
    assert divmod(int(heat.argmax()), 8) in {(row, column) for row in (1, 2) for column in (5, 6)}


def test_published_settings_are_those_of_the_thesis(published):
    config = published("cs_flow").config
    assert (config.blocks, config.kernel, config.last_kernel, config.hidden, config.alpha) == (4, 3, 5, 1024, 3.0)
    assert (config.epochs, config.batch_size, config.learning_rate, config.weight_decay) == (240, 16, 2e-4, 1e-5)
    assert (config.betas, config.eps, config.schedule) == ((0.9, 0.999), 1e-4, "constant")
    assert (config.whiten, config.score, config.noise) == (False, "latent", 0.0)


def test_the_published_flow_has_275_million_parameters(published):
    with torch.device("meta"):
        shapes = {f"scale_{scale}": (304, size, size) for scale, size in enumerate((24, 12, 6))}
        model = published("cs_flow")._build(shapes, 100)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(275e6, rel=0.01)


def test_the_hierarchical_flow_is_published_as_a_cross_scale_flow(published):
    detector = published("hierarchical_flow")
    assert type(detector) is CSFlow
    assert (detector.config.batch_size, detector.config.epochs, detector.config.hidden) == (64, 240, 1024)


@pytest.mark.parametrize(("scales", "read"), [(0, 3), (1, 1), (2, 2), (3, 3), (5, 3)])
def test_the_coarsest_scales_are_read(scales, read):
    shapes = {f"scale_{i}": (4, 16 >> i, 16 >> i) for i in range(3)}
    model = CSFlow(CSFlowConfig(components=4, hidden=4, scales=scales))._build(shapes, 8)
    assert model.scales.names == [f"scale_{i}" for i in range(3 - read, 3)]


def test_a_negative_number_of_scales_is_told():
    with pytest.raises(EndlineError, match="cs_flow cannot read -1 scales: choose 0 for all"):
        CSFlowConfig(scales=-1)
