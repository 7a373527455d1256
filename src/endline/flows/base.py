"""What every flow keeps: forward, inverse and one convention for the likelihood."""

import math
from abc import ABC, abstractmethod

from torch import Tensor, nn

Maps = tuple[Tensor, ...]


class Flow(nn.Module, ABC):
    """An invertible map from data x to latents z, both a tuple of tensors (one a scale).

    One convention everywhere: `log_prob(x) = log N(z; 0, I) + log|det dz/dx|`.
    Tensors are (batch, channels, ...); a vector is one scale of shape (batch, channels). A condition is one tensor a
    scale, of the sizes of x but with channels of its own; a batch of 1 holds for all samples.

    Example:
        >>> import torch
        >>> from endline.flows.coupling import CouplingBlock
        >>> from endline.flows.subnets import ConvSubnet
        >>> def subnet(inputs, outputs):
        ...     return ConvSubnet(inputs, outputs, hidden=[8], kernel=3)
        >>> flow = CouplingBlock([6], subnet, alpha=2.0)
        >>> flow.log_prob((torch.zeros(5, 6, 4, 4),)).shape
        torch.Size([5])
    """

    @abstractmethod
    def forward(self, x: Maps, condition: Maps | None = None) -> tuple[Maps, Tensor]:
        """Latents z, shaped as x, and log|det dz/dx|, (batch,)."""

    @abstractmethod
    def inverse(self, z: Maps, condition: Maps | None = None) -> Maps:
        """Data x, shaped as z."""

    def log_prob(self, x: Maps, condition: Maps | None = None) -> Tensor:
        """Log-likelihood of each sample with its constant, (batch,)."""
        z, log_det = self(x, condition)
        log_prob: Tensor = standard_normal_log_prob(z) + log_det
        return log_prob


def standard_normal_log_prob(z: Maps) -> Tensor:
    """Log N(z; 0, I) summed over all elements of all scales, (batch,).

    Example:
        >>> import torch
        >>> standard_normal_log_prob((torch.zeros(1, 2),))
        tensor([-1.8379])
    """
    dimensions = sum(scale[0].numel() for scale in z)
    squares = sum((scale.square().flatten(1).sum(1) for scale in z[1:]), z[0].square().flatten(1).sum(1))
    return -0.5 * (squares + dimensions * math.log(2 * math.pi))
