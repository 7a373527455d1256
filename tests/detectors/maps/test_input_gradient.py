import pytest
import torch

from endline.detectors.maps.input_gradient import gradient_map, input_gradient


def test_scores_and_gradients_are_those_of_each_image():
    """Score: half the sum of w x^2, whose gradient is w x."""
    images = torch.arange(5 * 3 * 4 * 6, dtype=torch.float64).view(5, 3, 4, 6)
    weight = torch.linspace(-1, 1, 3, dtype=torch.float64)[:, None, None]
    seen = []

    def score(x):
        seen.append(len(x))
        return (0.5 * weight * x.square()).flatten(1).sum(1)

    with torch.no_grad():
        scores, slopes = input_gradient(score, images)
    torch.testing.assert_close(slopes, weight * images)
    torch.testing.assert_close(scores, score(images))
    assert max(seen[:-1]) < len(images)  # a few at a time
    assert not scores.requires_grad
    assert not images.requires_grad


def test_gradients_of_model_weights_are_left_alone():
    model = torch.nn.Linear(12, 1)
    input_gradient(lambda x: model(x.flatten(1))[:, 0], torch.ones(3, 3, 2, 2))
    assert model.weight.grad is None


def test_without_blur_the_map_is_the_sum_of_absolute_channels():
    slopes = torch.tensor([1.0, -2.0, 3.0])[None, :, None, None].expand(1, 3, 4, 4)
    assert torch.equal(gradient_map(slopes, 0.0), torch.full((1, 4, 4), 6.0))


def test_the_blur_is_a_gaussian_of_its_deviation_before_the_absolute_value():
    impulse = torch.zeros(1, 1, 31, 31, dtype=torch.float64)
    impulse[..., 15, 15] = -1
    heat = gradient_map(impulse, 2.0)[0]
    torch.testing.assert_close(heat.sum(), torch.tensor(1.0, dtype=torch.float64))
    assert float(heat[15, 17] / heat[15, 15]) == pytest.approx(2.718281828**-0.5, rel=1e-6)
    pair = impulse.clone()
    pair[..., 15, 16] = 1
    assert gradient_map(pair, 2.0).sum() < 0.5  # opposite signs beside each other cancel


def test_a_map_smaller_than_the_blur_is_possible():
    torch.testing.assert_close(gradient_map(torch.ones(1, 1, 4, 4), 3.0), torch.ones(1, 4, 4))
