"""Losses of two networks that train against each other."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

MATCHED = ("mean", "mean_and_deviation")


def gradient_penalty(realness: Callable[[Tensor], Tensor], real: Tensor, rebuilt: Tensor) -> Tensor:
    """Mean squared distance from 1 of the gradient's norm, at a random point between each pair of samples.

    Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, section 4.

    Args:
        realness: numbers (n,) of samples (n, ...), differentiable twice.
        real: samples (n, ...).
        rebuilt: samples (n, ...), each the other end of a pair.

    Example:
        >>> penalty = gradient_penalty(lambda x: 3 * x[:, 0], torch.zeros(2, 4), torch.ones(2, 4))
        >>> penalty.item()
        4.0
    """
    share = torch.rand(len(real), *[1] * (real.ndim - 1), dtype=real.dtype, device=real.device)
    between = (share * real + (1 - share) * rebuilt).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(realness(between).sum(), between, create_graph=True)
    penalty: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def feature_matching(rebuilt: Tensor, real: Tensor, matched: str) -> Tensor:
    """Mean squared difference of the statistics of two batches of embeddings (n, d).

    Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, section 3.1; Jiang 2023, section 2.1, takes
    the standard deviation too.

    Args:
        rebuilt: embeddings of what was rebuilt.
        real: embeddings of real samples.
        matched: `mean` or `mean_and_deviation`.

    Example:
        >>> feature_matching(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [3.0]]), "mean").item()
        4.0
    """
    loss = functional.mse_loss(rebuilt.mean(0), real.mean(0))
    if matched == "mean_and_deviation":
        loss = loss + functional.mse_loss(_deviation(rebuilt), _deviation(real))
    return loss


def _deviation(embeddings: Tensor) -> Tensor:
    # The small term keeps the gradient finite where all are equal.
    return (embeddings.var(0, correction=0) + 1e-12).sqrt()


def realness_loss(real: Tensor, rebuilt: Tensor) -> Tensor:
    """Cross-entropy of a discriminator that calls real samples 1 and made ones 0, from its logits (n,).

    Goodfellow et al., "Generative Adversarial Networks", NeurIPS 2014.

    Example:
        >>> round(realness_loss(torch.zeros(3), torch.zeros(3)).item(), 4)
        0.6931
    """
    return (functional.softplus(-real).mean() + functional.softplus(rebuilt).mean()) / 2
