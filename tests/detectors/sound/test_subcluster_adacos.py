"""Sub-cluster AdaCos against NumPy: probabilities, loss, the scale that adapts; and mixup."""

import math

import numpy as np
import pytest
import torch

from endline.detectors.sound.subcluster_adacos import SubclusterAdaCos, adapted_scale, first_scale, mixed_up

CLASSES, SUBCLUSTERS, DIMENSIONS = 3, 4, 6


def head(seed: int = 0) -> SubclusterAdaCos:
    return SubclusterAdaCos(CLASSES, SUBCLUSTERS, DIMENSIONS, seed).double()


def batch(count: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.ones(CLASSES), count)
    shares[:4] = np.eye(CLASSES)[[0, 1, 2, 1]]
    return torch.from_numpy(3 * rng.standard_normal((count, DIMENSIONS))), torch.from_numpy(shares)


def cosines(loss: SubclusterAdaCos, embeddings: torch.Tensor) -> np.ndarray:
    x, centres = embeddings.numpy(), loss.centres.numpy()
    return x @ centres.T / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(centres, axis=1)


def test_probabilities_are_sums_over_sub_clusters():
    loss = head().eval()
    found = cosines(loss, batch()[0])
    exponentials = np.exp(float(loss.scale) * found)
    of_centres = exponentials / exponentials.sum(1, keepdims=True)
    expected = np.stack([of_centres[:, 4 * c : 4 * c + 4].sum(1) for c in range(CLASSES)], 1)
    np.testing.assert_allclose(loss.log_probabilities(torch.from_numpy(found)).exp(), expected, rtol=1e-12)


def test_loss_is_the_cross_entropy_with_shares():
    loss, (embeddings, labels) = head().eval(), batch()
    log_probabilities = loss.log_probabilities(torch.from_numpy(cosines(loss, embeddings)))
    expected = -(labels * log_probabilities).sum(1).mean()
    # the products of the embeddings are of float32
    torch.testing.assert_close(loss.float()(embeddings, labels).double(), expected, rtol=1e-5, atol=1e-6)


def test_scale_by_hand():
    loss, (embeddings, labels) = head(), batch()
    found, scale = cosines(loss, embeddings), 5.0
    b = np.mean([sum(math.exp(scale * cosine) for cosine in row) for row in found])
    angles = []
    for row, shares in zip(found, labels.numpy(), strict=True):
        nearest = [max(row[4 * c : 4 * c + 4]) for c in range(CLASSES)]
        angles.append(sum(share * math.acos(cosine) for share, cosine in zip(shares, nearest, strict=True)))
    theta = sorted(angles)[3]
    expected = math.log(b) / math.cos(min(math.pi / 4, theta))
    adapted = adapted_scale(torch.tensor(scale).double(), torch.from_numpy(found), labels)
    assert float(adapted) == pytest.approx(expected, rel=1e-12)


def test_the_angle_counts_up_to_a_quarter_of_pi():
    near = torch.tensor([[math.cos(0.3), 0.0]]).double()
    far = torch.tensor([[math.cos(1.2), 0.0]]).double()
    labels = torch.tensor([[1.0, 0.0]]).double()
    scale = torch.tensor(2.0).double()
    sums = [math.log(math.exp(2 * math.cos(angle)) + 1) for angle in (0.3, 1.2)]
    assert float(adapted_scale(scale, near, labels)) == pytest.approx(sums[0] / math.cos(0.3))
    assert float(adapted_scale(scale, far, labels)) == pytest.approx(sums[1] / math.cos(math.pi / 4))


@pytest.mark.parametrize(("centres", "expected"), [(32, math.sqrt(2) * math.log(31)), (1, math.sqrt(2) * math.log(2))])
def test_first_scale(centres, expected):
    assert first_scale(centres) == pytest.approx(expected)


def test_the_scale_adapts_in_training_alone_and_the_centres_never_move():
    loss, (embeddings, labels) = head().float(), batch()
    before = loss.scale.clone(), loss.centres.clone()
    loss.eval()(embeddings, labels.float())
    assert torch.equal(loss.scale, before[0])
    loss.train()(embeddings, labels.float())
    assert not torch.equal(loss.scale, before[0])
    assert torch.equal(loss.centres, before[1])
    assert not list(loss.parameters())


def test_centres_are_unit_vectors_of_the_seed():
    torch.testing.assert_close(head().centres.norm(dim=1), torch.ones(12).double())
    assert torch.equal(head(1).centres, head(1).centres)
    assert not torch.equal(head(1).centres, head(2).centres)


def test_mixed_samples_and_labels_have_the_same_weights():
    torch.manual_seed(0)
    numbers = torch.rand(50, 2, 3)
    labels = torch.eye(50)
    mixed, shares = mixed_up({"x": numbers}, labels, 0.5)
    torch.testing.assert_close(mixed["x"], torch.einsum("ij,jkl->ikl", shares, numbers))
    torch.testing.assert_close(shares.sum(1), torch.ones(50))
    own = int((shares.diagonal() == 1).sum())
    assert 10 < own < 40
    assert torch.equal(mixed_up({"x": numbers}, labels, 0.0)[0]["x"], numbers)
