"""Sub-cluster AdaCos: a classification loss of angles to several fixed random centres a class, and mixup for it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.statistics import full_digits


class SubclusterAdaCos(nn.Module):
    """Cross-entropy of classes, whose probabilities are the sums of their sub-clusters', by angles to fixed centres.

    Wilkinghoff, "Sub-Cluster AdaCos: Learning Representations for Anomalous Sound Detection", IJCNN 2021, after Zhang
    et al., "AdaCos: Adaptively Scaling Cosine Logits for Effectively Learning Deep Face Representations", CVPR 2019.
    The centres stay as they are drawn, so that no trivial solution pulls them together. The scale adapts itself with
    every training batch; see `adapted_scale`.

    Args:
        classes: number of classes C.
        subclusters: centres S of each.
        dimensions: of an embedding.
        seed: draws the centres.

    Example:
        >>> loss = SubclusterAdaCos(classes=3, subclusters=4, dimensions=8, seed=0)
        >>> loss(torch.randn(5, 8), torch.eye(3)[[0, 1, 2, 0, 1]]).shape
        torch.Size([])
    """

    centres: Tensor
    scale: Tensor

    def __init__(self, classes: int, subclusters: int, dimensions: int, seed: int) -> None:
        super().__init__()
        self.classes, self.subclusters = classes, subclusters
        drawn = torch.randn(classes * subclusters, dimensions, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("centres", functional.normalize(drawn))
        self.register_buffer("scale", torch.tensor(first_scale(classes * subclusters)))

    def extra_repr(self) -> str:
        """Numbers of classes and sub-clusters."""
        return f"{self.classes}, {self.subclusters}"

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of a batch; in training mode the scale adapts first.

        Args:
            embeddings: (batch, dimensions), of any length.
            labels: shares (batch, C) of the classes, which sum to 1.
        """
        with full_digits(embeddings):
            cosines = functional.normalize(embeddings.float()) @ self.centres.T
        if self.training:
            with torch.no_grad():
                self.scale.copy_(adapted_scale(self.scale, cosines, labels))
        return -(labels * self.log_probabilities(cosines)).sum(1).mean()

    def log_probabilities(self, cosines: Tensor) -> Tensor:
        """Log-probabilities (batch, C) of the classes, from cosines (batch, C * S)."""
        of_centres = functional.log_softmax(self.scale * cosines, 1)
        return of_centres.view(-1, self.classes, self.subclusters).logsumexp(2)


def first_scale(centres: int) -> float:
    """Scale at the start, sqrt(2) log(centres - 1) (Zhang et al. 2019, equation 12); at least that of 3 centres.

    Example:
        >>> round(first_scale(32), 3)
        4.856
    """
    return math.sqrt(2) * math.log(max(centres, 3) - 1)


def adapted_scale(scale: Tensor, cosines: Tensor, labels: Tensor) -> Tensor:
    """The scale after a batch, log B / cos(min(pi / 4, theta)).

    B is the batch's mean of the sum over all centres of exp(scale * cosine), and theta the median of the angles to the
    own class: that of its nearest centre, weighed by the labels where classes are mixed. The author's program adds up
    the angles to all centres of a class instead, which always exceeds pi / 4.

    Args:
        scale: the present one, ().
        cosines: of the embeddings and centres (batch, C * S).
        labels: shares (batch, C).

    Example:
        >>> float(adapted_scale(torch.tensor(0.0), torch.eye(4), torch.eye(4)))  # log 4, the angle 0
        1.3862943649291992
    """
    log_b = (scale * cosines).logsumexp(1).logsumexp(0) - math.log(len(cosines))
    nearest = cosines.view(*labels.shape, -1).amax(2)
    angles = (labels * nearest.clamp(-1, 1).acos()).sum(1)
    adapted: Tensor = log_b / angles.median().clamp(max=math.pi / 4).cos()
    return adapted


def mixed_up(arrays: dict[str, Tensor], labels: Tensor, share: float) -> tuple[dict[str, Tensor], Tensor]:
    """Mixup (Zhang et al. 2018, alpha 1): a share of the samples become weighted means of two of the batch.

    Drawn from the global generator of the device.

    Args:
        arrays: (batch, ...) by name.
        labels: shares (batch, C).
        share: of the samples, in [0, 1], by chance.

    Example:
        >>> arrays, labels = mixed_up({"x": torch.eye(2)}, torch.eye(2), share=1.0)
        >>> torch.equal(arrays["x"], labels)
        True
    """
    count, device = len(labels), labels.device
    partner = torch.randperm(count, device=device)
    weight = torch.where(torch.rand(count, device=device) < share, torch.rand(count, device=device), 1.0)

    def mixed(x: Tensor) -> Tensor:
        own = weight.view(-1, *[1] * (x.ndim - 1))
        return own * x + (1 - own) * x[partner]

    return {name: mixed(x) for name, x in arrays.items()}, mixed(labels)
