"""What the flows on feature maps share: sizes of maps and kernels, noise in training, scores of latents."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from endline.errors import EndlineError
from endline.flows.base import Maps, standard_normal_log_prob
from endline.flows.coupling import CouplingFlow

SCORES = ("latent", "likelihood")


def kernel_sizes(blocks: int, kernel: int, last_kernel: int) -> list[int]:
    """Kernel size of each block.

    Example:
        >>> kernel_sizes(4, kernel=3, last_kernel=5)
        [3, 3, 3, 5]
    """
    return [kernel] * (blocks - 1) + [last_kernel]


def with_noise(maps: Maps, deviation: float) -> Maps:
    """Maps with Gaussian noise from the global generator of their device."""
    return tuple(x + deviation * torch.randn_like(x) for x in maps) if deviation > 0 else maps


def flow_score(z: Maps, log_det: Tensor, by: str) -> Tensor:
    """Score (batch,) of latents.

    Args:
        z: latents (batch, channels, H, W) of each scale.
        log_det: (batch,).
        by: `latent`, the mean of z^2 / 2 over all elements of all scales, or `likelihood`, the negative
            log-likelihood a dimension.

    Example:
        >>> flow_score((torch.full((1, 2, 1, 1), 2.0),), torch.zeros(1), "latent")
        tensor([2.])
    """
    if by == "likelihood":
        dimensions = sum(x[0].numel() for x in z)
        return -(standard_normal_log_prob(z) + log_det) / dimensions
    return torch.cat([x.square().flatten(1) for x in z], 1).mean(1) / 2


def negative_log_likelihood(flow: CouplingFlow, maps: Maps) -> Tensor:
    """Of each sample, a dimension, (batch,)."""
    z, log_det = flow(maps)
    return flow_score(z, log_det, "likelihood")


def check_halving(sizes: Sequence[tuple[int, ...]]) -> None:
    """Refuse maps whose sides do not halve from scale to scale: a stride-2 convolution could not join them.

    Args:
        sizes: height and width of each scale, finest first; an odd side may be rounded up.

    Raises:
        EndlineError: when a side does not fit.

    Example:
        >>> check_halving([(9, 12), (5, 6)])
    """
    for finer, coarser in pairwise(sizes):
        if tuple(math.ceil(side / 2) for side in finer) != tuple(coarser):
            given = ", ".join(" x ".join(map(str, size)) for size in sizes)
            raise EndlineError(
                f"The maps of {given} do not halve from scale to scale: for a cross-scale flow choose an input_type "
                "and an image size, or parts='each', whose maps do."
            )
