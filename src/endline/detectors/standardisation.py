"""Rows over time (signals of a cycle, bands of a clip) in units of their own deviation in training."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from endline.detectors.statistics import CONSTANT, departure


class Standardisation(nn.Module):
    """Signals less their mean, over their deviation, on all training steps (padding apart).

    A signal that never changes in training keeps its own unit, as scikit-learn's StandardScaler does: it is no reason
    to divide by zero. A change of it in a test is seen by `departure`.

    Args:
        signals: their number.

    Example:
        >>> standardise = Standardisation(1)
        >>> values, valid = torch.tensor([[[1.0, 3.0, 99.0]]]), torch.tensor([[[1.0, 1.0, 0.0]]])
        >>> standardise.fit([(values, valid)])
        >>> standardise(values, valid)
        tensor([[[-1.,  1.,  0.]]])
    """

    mean: Tensor
    gain: Tensor
    constant: Tensor  # 1 for a signal that never changed

    def __init__(self, signals: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(signals))
        self.register_buffer("gain", torch.ones(signals))
        self.register_buffer("constant", torch.zeros(signals))

    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take mean and deviation from the valid steps, in one pass (Chan, Golub and LeVeque 1983).

        Args:
            batches: values (batch, signals, steps) and mask (batch, 1, steps).
        """
        count, mean, squares = 0.0, torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for values, valid in batches:
            values, valid = values.double(), valid.double()
            added = max(float(valid.sum()), 1e-12)
            own = (values * valid).sum((0, 2)) / added
            squares += ((values - own[:, None]).square() * valid).sum((0, 2))
            squares += (own - mean).square() * count * added / (count + added)
            mean += (own - mean) * added / (count + added)
            count += added
        deviation = (squares / count).sqrt()
        varies = deviation > CONSTANT * mean.abs().clamp(min=1e-12)
        self.mean = mean.float()
        self.gain = torch.where(varies, 1 / deviation, 1.0).float()
        self.constant = (~varies).float()

    def departure(self, values: Tensor) -> Tensor:
        """`statistics.departure` of the signals of each step, (batch, steps)."""
        return departure(values, self.mean, self.constant)

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Standardised values (batch, signals, steps), 0 where padded; arguments as `fit`."""
        return (values - self.mean[:, None]) * self.gain[:, None] * valid
