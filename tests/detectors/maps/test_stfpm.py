"""STFPM: distances by hand, map and score, what is trained, the planted spot."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from endline.backbones.networks import Trunk
from endline.detectors.maps.stfpm import STFPM, STFPMConfig, unit_distance
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = {"size": 64, "epochs": 6, "batch_size": 4}


class Fixed(nn.Module):
    """A student with maps of its own at strides 8 and 16."""

    def __init__(self, maps: dict[int, torch.Tensor]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, images):
        return self.maps


@pytest.fixture(scope="module")
def train() -> FeatureSet:
    """Smooth stripes with a little noise, 24 images of 64 x 64."""
    rng = np.random.default_rng(0)
    rows = 0.5 + 0.2 * np.sin(np.arange(64) / 4)[:, None]
    images = rows + 0.02 * rng.standard_normal((24, 3, 64, 64))
    return FeatureSet({"image": images.astype("f4")}, key="stripes")


@pytest.fixture(scope="module")
def fitted(train) -> STFPM:
    detector = STFPM(STFPMConfig(**SMALL))
    detector.fit(train, seed=0, progress=Progress())
    return detector


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ([1.0, 0.0], [3.0, 0.0], 0.0),  # length does not count
        ([1.0, 0.0], [0.0, 5.0], 1.0),
        ([1.0, 0.0], [-2.0, 0.0], 2.0),
        ([3.0, 4.0], [5.0, 0.0], 1 - 0.6),
        ([0.0, 0.0], [1.0, 0.0], 0.5),  # no direction at all, as on a dead map
    ],
)
def test_the_distance_is_half_the_squared_distance_of_unit_vectors(first, second, distance):
    maps = [torch.tensor(vector)[None, :, None, None].expand(1, 2, 3, 4) for vector in (first, second)]
    torch.testing.assert_close(unit_distance(*maps), torch.full((1, 3, 4), distance))


def test_loss_map_and_score_follow_the_formulas():
    """Distances 0 and 1 in halves of the fine map, 0.4 everywhere on the coarse one."""
    detector = STFPM(STFPMConfig(size=64))
    detector._prepare({"image": (3, 64, 64)}, 2, seed=0)
    right, up, slanted = torch.eye(2)[0], torch.eye(2)[1], torch.tensor([0.6, 0.8])
    fine = right[None, :, None, None].repeat(1, 1, 8, 8)
    other = fine.clone()
    other[:, :, :, 4:] = up[:, None, None]
    coarse = right[None, :, None, None].repeat(1, 1, 4, 4)
    detector.teacher = Fixed({8: fine, 16: coarse})
    detector.model = Fixed({8: other, 16: slanted[None, :, None, None].expand_as(coarse)})
    batch = {"image": torch.zeros(1, 3, 64, 64)}
    torch.testing.assert_close(detector.loss(batch), torch.tensor(0.5 + 0.4))
    scored = detector.score(batch)
    assert scored.map.shape == (1, 64, 64)
    torch.testing.assert_close(scored.map[0, :, 40:], torch.full((64, 24), 1.0 * 0.4))
    assert not scored.map[0, :, :24].any()
    torch.testing.assert_close(scored.score, torch.tensor([0.4]))


def test_a_student_that_equals_its_teacher_finds_nothing(train):
    detector = STFPM(STFPMConfig(size=64))
    detector._prepare({"image": (3, 64, 64)}, 2, seed=0)
    random = detector.score(train.read([0, 1])).score
    detector.model.load_state_dict(Trunk("efficientnet_lite0").state_dict())
    assert detector.score(train.read([0, 1])).score.max() < 1e-6 < random.min()


def test_training_brings_student_and_teacher_together(train):
    detector = STFPM(STFPMConfig(**SMALL))
    losses = detector.fit(train, seed=0, progress=Progress()).losses
    assert losses[-1] < 0.6 * losses[0]


def test_the_map_points_at_the_planted_spot(fitted, train):
    images = train.read([0, 1])["image"]
    images[:, :, 40:52, 16:28] = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    scored = fitted.score({"image": images})
    assert scored.score.min() > fitted.score(train.read()).score.max()
    for heat in scored.map:
        row, column = divmod(int(heat.argmax()), 64)
        assert 32 <= row < 60
        assert 8 <= column < 36


def test_layers_beyond_the_strides_keep_their_weights(fitted):
    torch.manual_seed(0)
    start = STFPM(STFPMConfig(**SMALL))._build({"image": (3, 64, 64)}, 24)  # as `fit` does with seed 0
    changed = {
        int(name.split(".")[2])
        for (name, now), before in zip(fitted.model.named_parameters(), start.parameters(), strict=True)
        if "blocks" in name and not torch.equal(now, before)
    }
    assert changed == set(range(11))


def test_batch_norms_hold_the_statistics_of_the_final_weights(fitted, train):
    """The first norm's running mean is the mean of what it normalises, over the training images."""
    stem = fitted.model.network.stem
    with torch.no_grad():
        outputs = stem[0](fitted.model.normalise(train.read()["image"]))
    torch.testing.assert_close(stem[1].running_mean, outputs.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(stem[1].running_var, outputs.var((0, 2, 3)), rtol=0.1, atol=1e-3)


def test_large_images_are_made_smaller(fitted, train):
    large = {"image": functional.interpolate(train.read([0])["image"], scale_factor=2, mode="bilinear")}
    assert fitted.score(large).map.shape == (1, 64, 64)


@pytest.mark.parametrize("strides", [(4, 8), ()])
def test_unknown_strides_are_told(strides):
    with pytest.raises(EndlineError) as caught:
        STFPMConfig(strides=strides)
    assert str(caught.value) == f"stfpm has no strides {strides}: choose one or more of 8, 16, 32."
