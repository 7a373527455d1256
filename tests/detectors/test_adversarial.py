"""Losses of adversaries: by hand in float64, and by the definitions."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from endline.detectors.adversarial import feature_matching, gradient_penalty, realness_loss
from endline.detectors.randomness import seeded


def test_the_gradient_penalty_is_that_of_autograd_sample_by_sample():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 4, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1)).double()
    real, rebuilt = torch.randn(5, 1, 4, 4).double(), torch.randn(5, 1, 4, 4).double()
    with seeded(3):
        got = gradient_penalty(lambda x: network(x)[:, 0], real, rebuilt)
    with seeded(3):
        share = torch.rand(5, 1, 1, 1, dtype=torch.float64)
    norms = []
    for point in share * real + (1 - share) * rebuilt:
        point = point[None].requires_grad_()
        (gradient,) = torch.autograd.grad(network(point)[0, 0], point)
        norms.append(gradient.norm())
    expected = torch.stack([(norm - 1) ** 2 for norm in norms]).mean()
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)


def test_the_gradient_penalty_trains_the_network():
    """Its gradient is that of finite differences: a second derivative goes through the norm."""
    torch.manual_seed(0)
    weight = torch.randn(4, dtype=torch.float64, requires_grad=True)
    real, rebuilt = torch.randn(3, 4).double(), torch.randn(3, 4).double()

    def penalty(w):
        with seeded(1):
            return gradient_penalty(lambda x: torch.tanh(x * w).square().sum(1), real, rebuilt)

    assert torch.autograd.gradcheck(penalty, weight)


def test_a_network_of_slope_one_has_no_penalty():
    assert gradient_penalty(lambda x: x[:, 0], torch.zeros(4, 3), torch.ones(4, 3)).item() == 0


def test_feature_matching_compares_means_and_deviations():
    torch.manual_seed(0)
    real, rebuilt = torch.randn(6, 3).double(), 2 + 3 * torch.randn(6, 3).double()
    mean = (real.mean(0) - rebuilt.mean(0)).square().mean()
    deviation = (real.std(0, correction=0) - rebuilt.std(0, correction=0)).square().mean()
    torch.testing.assert_close(feature_matching(rebuilt, real, "mean"), mean)
    torch.testing.assert_close(feature_matching(rebuilt, real, "mean_and_deviation"), mean + deviation)


def test_the_deviation_of_equal_embeddings_has_a_finite_gradient():
    rebuilt = torch.ones(3, 2, requires_grad=True)
    feature_matching(rebuilt, torch.zeros(3, 2), "mean_and_deviation").backward()
    assert rebuilt.grad.isfinite().all()


def test_realness_loss_is_the_binary_cross_entropy():
    torch.manual_seed(0)
    real, rebuilt = torch.randn(7), torch.randn(7)
    labels = torch.cat([torch.ones(7), torch.zeros(7)])
    expected = functional.binary_cross_entropy_with_logits(torch.cat([real, rebuilt]), labels)
    assert realness_loss(real, rebuilt).item() == pytest.approx(expected.item(), rel=1e-6)
