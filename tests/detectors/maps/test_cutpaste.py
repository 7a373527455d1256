"""CutPaste: classes, what is frozen when, the Gaussian, the planted spot."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import mobilenet_v3_small

from endline.backbones.networks import Trunk
from endline.backbones.pyramids import PyramidSettings
from endline.detectors.maps.cutpaste import CutPaste, CutPasteConfig, with_defects
from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.detectors.statistics import shrunk_gaussian
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = {"size": 64, "hidden": 16, "epochs": 2, "batch_size": 8}


@pytest.fixture(scope="module")
def train() -> FeatureSet:
    """Smooth stripes with a little noise, 24 images of 64 x 64."""
    rng = np.random.default_rng(0)
    rows = 0.5 + 0.2 * np.sin(np.arange(64) / 4)[:, None]
    images = rows + 0.02 * rng.standard_normal((24, 3, 64, 64))
    return FeatureSet({"image": images.astype("f4")}, key="stripes")


def fit(train: FeatureSet, **changes) -> CutPaste:
    detector = CutPaste(CutPasteConfig(**{**SMALL, **changes}))
    detector.fit(train, seed=0, progress=Progress())
    return detector


@pytest.fixture(scope="module")
def fitted(train) -> CutPaste:
    return fit(train)


def changed_blocks(detector: CutPaste, start: Trunk) -> set[int]:
    """Blocks of the trunk whose weights differ from the start's."""
    pairs = zip(detector.model.trunk.named_parameters(), start.parameters(), strict=True)
    return {int(name.split(".")[2]) for (name, now), old in pairs if "blocks" in name and not torch.equal(now, old)}


def test_the_classes_are_normal_then_patch_then_scar(train):
    torch.manual_seed(0)
    images = train.read([0, 1])["image"]
    three = with_defects(images)
    assert torch.equal(three[:2], images)
    areas = [int((part != images).any(1).sum()) for part in three.split(2)]
    assert areas[0] == 0 < areas[2] < areas[1]


def test_the_loss_is_the_cross_entropy_of_three_classes(train):
    detector = CutPaste(CutPasteConfig(**SMALL))
    detector.model = detector._build({"image": (3, 64, 64)}, 24).eval()
    last = detector.model.head[-1]
    torch.nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor([math.log(2.0), 0.0, 0.0])  # says 1/2, 1/4, 1/4 of every image
    expected = (math.log(2) + 2 * math.log(4)) / 3
    assert detector.loss(train.read([0, 1, 2])).item() == pytest.approx(expected, rel=1e-5)


def test_it_learns_to_see_defects(train):
    detector = CutPaste(CutPasteConfig(**{**SMALL, "epochs": 6}))
    losses = detector.fit(train, seed=0, progress=Progress()).losses
    assert losses[-1] < losses[0] < 1.5 * math.log(3)


def test_a_frozen_trunk_stays_as_it_was_pretrained(train):
    detector = fit(train, frozen=2)
    state, start = detector.model.trunk.state_dict(), Trunk("efficientnet_lite0").state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in start.items())  # batch norms, too


@pytest.mark.parametrize(("stride", "blocks"), [(0, range(16)), (8, range(5, 16)), (16, range(11, 16))])
def test_layers_below_the_frozen_stride_keep_their_weights(train, stride, blocks):
    detector = fit(train, frozen=0, frozen_stride=stride, epochs=1)
    assert changed_blocks(detector, Trunk("efficientnet_lite0")) == set(blocks)


def test_it_can_start_from_random_weights(train):
    detector = fit(train, pretrained=False, frozen=0, frozen_stride=8, epochs=1)
    torch.manual_seed(0)
    start = CutPaste(CutPasteConfig(**SMALL))._build({"image": (3, 64, 64)}, 24).trunk  # as `fit` does with seed 0
    assert changed_blocks(detector, start) == set(range(5, 16))


def test_the_score_is_the_mahalanobis_distance_of_the_embedding(fitted, train):
    batch = train.read()
    with torch.no_grad():
        vectors = fitted.model.embedding(batch["image"]).double()
    mean, precision = shrunk_gaussian(vectors, 0.05)
    expected = torch.einsum("ni,ij,nj->n", vectors - mean, precision, vectors - mean).float()
    torch.testing.assert_close(fitted.score(batch).score, expected, rtol=1e-2, atol=0)


def test_the_map_points_at_the_planted_spot(fitted, train):
    images = train.read([0, 1])["image"]
    images[:, :, 40:52, 16:28] = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    scored = fitted.score({"image": images})
    assert scored.score.min() > fitted.score(train.read()).score.max()
    assert scored.map.shape == (2, 64, 64)
    assert (scored.map[:, 36:56, 12:32].mean((1, 2)) > 1.5 * scored.map.mean((1, 2))).all()


def test_a_fit_killed_after_the_head_goes_on_with_the_trunk(train, tmp_path):
    file, told = tmp_path / "checkpoint.safetensors", []

    def killed(epoch: int, epochs: int, loss: float) -> None:
        told.append(loss)
        if len(told) == 3:
            raise KeyboardInterrupt

    detector = CutPaste(CutPasteConfig(**{**SMALL, "epochs": 4}))
    with pytest.raises(KeyboardInterrupt):
        detector.fit(train, seed=0, progress=Progress(file, killed, interval=0))
    resumed = CutPaste(CutPasteConfig(**{**SMALL, "epochs": 4}))
    losses = resumed.fit(train, seed=0, progress=Progress(file, interval=0)).losses
    assert losses[:3] == tuple(told)
    assert torch.equal(resumed.score(train.read()).score, fit(train, epochs=4).score(train.read()).score)


def test_a_saved_detector_needs_no_pretrained_weights(train, tmp_path):
    weights = tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    save_file(mobilenet_v3_small().state_dict(), weights)
    pyramid = PyramidSettings("mobilenet_v3_small", str(weights))
    detector = CutPaste(CutPasteConfig(**{**SMALL, "epochs": 1}))
    detector.fit(train, seed=0, progress=Progress(), pyramid=pyramid)
    detector.save(tmp_path / "detector")
    weights.unlink()
    loaded = load_detector(tmp_path / "detector")
    assert torch.equal(loaded.score(train.read()).score, detector.score(train.read()).score)


def test_an_unknown_frozen_stride_is_told():
    with pytest.raises(EndlineError) as caught:
        CutPasteConfig(frozen_stride=4)
    assert str(caught.value) == "cutpaste has no frozen_stride=4: choose one of 0, 8, 16."
