"""What the flows on feature maps share: whitened scales and anomaly maps."""

import math

import numpy as np
import pytest
import torch

from endline.detectors.maps.scales import Scales, likelihood_map, mean_map
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SHAPES = {"scale_0": (6, 4, 4), "scale_1": (3, 2, 2), "mask": (1, 8, 8)}


def features(count: int = 70) -> FeatureSet:
    """More than a batch; the channels differ in their spread and lie far from zero."""
    rng = np.random.default_rng(0)
    spreads = {name: np.arange(1, shape[0] + 1).reshape(-1, 1, 1) for name, shape in SHAPES.items()}
    arrays = {
        name: (rng.standard_normal((count, *shape)) * spreads[name] + 20).astype("f4") for name, shape in SHAPES.items()
    }
    return FeatureSet(arrays, key="scales")


def test_every_scale_is_whitened_to_its_components_and_other_arrays_are_passed_over():
    scales = Scales(SHAPES, 4, whiten=True)
    assert scales.sizes == [(4, 4, 4), (3, 2, 2)]  # the second has no fourth
    scales.fit(features())
    for x, (count, height, width) in zip(scales(features().read()), scales.sizes, strict=True):
        assert x.shape == (70, count, height, width)
        assert x.is_contiguous(memory_format=torch.channels_last)
        vectors = x.movedim(1, -1).flatten(0, 2).double()
        torch.testing.assert_close(vectors.mean(0), torch.zeros(count).double(), rtol=0, atol=1e-4)
        torch.testing.assert_close(vectors.T @ vectors / len(vectors), torch.eye(count).double(), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("components", "whiten"), [(0, True), (4, False)])
def test_without_components_or_whitening_all_channels_stay(components, whiten):
    scales = Scales(SHAPES, components, whiten)
    assert scales.channels == [6, 3]
    if not whiten:
        batch = features().read([3, 5])
        assert torch.equal(scales(batch)[0], batch["scale_0"])
        assert scales.state_dict() == {}


def test_a_single_channel_is_told():
    with pytest.raises(EndlineError) as caught:
        Scales(SHAPES, 1, whiten=True)
    assert str(caught.value) == (
        "A flow needs at least 2 channels of each scale and has 1, 1: choose components=0, which keeps all channels, "
        "or at least 2."
    )


def test_mean_map_brings_maps_to_the_size_of_the_first():
    fine, coarse = torch.zeros(2, 4, 6), torch.full((2, 2, 3), 3.0)
    fine[1, 2, 3] = 5.0
    expected = torch.full((2, 4, 6), 1.5)
    expected[1, 2, 3] = 4.0
    torch.testing.assert_close(mean_map((fine, coarse)), expected)


def test_likelihood_map_is_the_negative_logarithm_of_the_mean_likelihood():
    logs = (torch.tensor([[[0.0, -2.0]]]), torch.tensor([[[-1.0, -3.0]]]))
    expected = [-math.log((1 + math.exp(-1)) / 2), -math.log((math.exp(-2) + math.exp(-3)) / 2)]
    assert likelihood_map(logs, "likelihood")[0, 0].tolist() == pytest.approx(expected)
    assert likelihood_map(logs, "log_likelihood")[0, 0].tolist() == pytest.approx([0.5, 2.5])


def test_likelihood_map_keeps_the_order_of_what_is_far_and_stays_finite():
    far = likelihood_map((torch.tensor([[[-100.0, -300.0, -650.0, -1e9, 1e9]]]),), "likelihood")[0, 0]
    assert far[:3].tolist() == pytest.approx([100.0, 300.0, 650.0])
    assert far[2] < far[3] < torch.inf
    assert far.isfinite().all()
