"""What detectors on cycles share: standardised signals with a mask, time steps thinned, where a score comes from."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from endline.detectors.base import ConfigT, Detector, Scored, Shapes
from endline.feature_set import Batch, FeatureSet

BATCH = 32
CHUNK = 8  # cycles whose gradients are in memory at once
POWER_FLOOR = 1e-3  # of signals of variance 1: what lies below is noise
CONSTANT = 1e-6  # float32 signals that vary by less than this share of their size vary by rounding alone


class Standardisation(nn.Module):
    """Signals less their mean, over their deviation, on all training steps (padding apart).

    A signal that never changes in training keeps its own unit, as scikit-learn's StandardScaler does: it is no reason
    to divide by zero, and a change of it in a test is seen.

    Args:
        signals: their number.
    """

    mean: Tensor
    gain: Tensor

    def __init__(self, signals: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(signals))
        self.register_buffer("gain", torch.ones(signals))

    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take mean and deviation from the valid steps, in one pass (Chan, Golub and LeVeque 1983).

        Args:
            batches: values (batch, signals, steps) and mask (batch, 1, steps).
        """
        signals = len(self.mean)
        count, mean, squares = 0.0, torch.zeros(signals).double(), torch.zeros(signals).double()
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

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Standardised values (batch, signals, steps), 0 where padded; arguments as `fit`."""
        return (values - self.mean[:, None]) * self.gain[:, None] * valid


class CycleDetector(Detector[ConfigT]):
    """A detector that reads the kinds `cycle` (signals, steps) and `valid` (steps,)."""

    inputs = ("cycle", "valid")


class ElementDetector(CycleDetector[ConfigT]):
    """A detector whose score is the mean of what it says of every valid element, and whose map are the elements."""

    every = 1  # steps of the cycle in one of the elements

    @abstractmethod
    def elements(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores (batch, signals, its steps) and mask (batch, 1, its steps)."""

    @torch.no_grad()
    def score(self, batch: Batch) -> Scored:
        """Score (batch,) and map (batch, signals, steps)."""
        each, valid = self.elements(batch)
        shown = (each * valid).repeat_interleave(self.every, -1)[..., : batch["cycle"].shape[-1]]
        return Scored(masked_mean(each.mean(1), valid[:, 0]), shown)


class ThinnedConfig(Protocol):
    """Settings of a detector that makes one step of `every`."""

    @property
    def every(self) -> int:
        """Steps that become one."""
        ...


ThinnedT = TypeVar("ThinnedT", bound=ThinnedConfig)


class StepDetector(ElementDetector[ThinnedT]):
    """An `ElementDetector` on thinned cycles that judges every step by itself, as a running cycle wants."""

    def __init__(self, config: ThinnedT) -> None:
        super().__init__(config)
        self.every = config.every

    def step_scores(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Score of every thinned step, a signal, and the steps' mask: (batch, fewer steps) each."""
        each, valid = self.elements(batch)
        return each.mean(1), valid[:, 0]


def measured(batch: Batch) -> tuple[Tensor, Tensor]:
    """The cycles (batch, signals, steps) and their mask (batch, 1, steps)."""
    return batch["cycle"], batch["valid"][:, None]


def measured_batches(train: FeatureSet) -> Iterator[tuple[Tensor, Tensor]]:
    """`measured` of a feature set, batch after batch."""
    return (measured(batch) for batch in train.batches(BATCH))


def cycle_shape(shapes: Shapes) -> tuple[int, int]:
    """Signals and steps of the cycles."""
    signals, steps = shapes["cycle"]
    return signals, steps


def thinned(x: Tensor, valid: Tensor, every: int) -> tuple[Tensor, Tensor]:
    """Means of `every` steps each, as far as they are valid; the last may be of fewer.

    Args:
        x: (batch, signals, steps).
        valid: (batch, 1, steps).
        every: steps that become one; 1 = none.

    Returns:
        x and valid of ceil(steps / every) steps.
    """
    if every == 1:
        return x, valid
    missing = -x.shape[-1] % every
    x, valid = (nn.functional.pad(part, (0, missing)).view(*part.shape[:2], -1, every) for part in (x, valid))
    count = valid.sum(-1)
    return (x * valid).sum(-1) / count.clamp(min=1), (count > 0).to(x.dtype)


def prepared(batch: Batch, standardise: Standardisation, every: int = 1) -> tuple[Tensor, Tensor]:
    """Standardised, `thinned` cycles (batch, signals, fewer steps) and their mask (batch, 1, fewer steps)."""
    values, valid = measured(batch)
    return thinned(standardise(values, valid), valid, every)


def window_spectra(x: Tensor, valid: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Logarithms of the power in half-overlapping Hann windows.

    Args:
        x: standardised signals (batch, signals, steps).
        valid: (batch, 1, steps).
        window: even number of steps.

    Returns:
        (batch, signals x (window / 2 + 1), windows), signal by signal, and the mask of the windows whose centre lies
        inside the cycle.
    """
    half = window // 2
    missing = max(window - x.shape[-1], -(x.shape[-1] - window) % half)
    x, valid = (nn.functional.pad(part, (0, missing)) for part in (x, valid))
    power = torch.fft.rfft(x.unfold(-1, window, half) * torch.hann_window(window)).abs().square()
    return (power + POWER_FLOOR).log().transpose(2, 3).flatten(1, 2), valid[..., half - 1 : -half : half]


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid steps, (batch,), of values (batch, steps); 0 without any."""
    return (values * valid).sum(1) / valid.sum(1).clamp(min=1)


def signal_gradient(
    score: Callable[[Batch], Tensor], batch: Batch, standardise: Standardisation, *, times_signal: bool = False
) -> Tensor:
    """How strongly each signal at each step moves the score, (batch, signals, steps), at least 0.

    The gradient of the score to the standardised signals, in absolute value; its sum over the signals is equation 8.6
    of Rudolph 2024. To the signals in their own units it would be largest where the unit is large.

    Args:
        score: differentiable scores (batch,) of a batch, none of which may depend on another cycle.
        batch: it is taken a few cycles at a time, so that the memory of the backward pass stays bounded.
        standardise: of the signals.
        times_signal: times the standardised signal, in absolute value: what the step adds to the score, to first order.
            A score of the statistics of a whole cycle has much the same gradient at every step.
    """
    mean, gain = standardise.mean[:, None], standardise.gain[:, None]
    slopes = []
    for start in range(0, len(batch["cycle"]), CHUNK):
        piece = {name: array[start : start + CHUNK] for name, array in batch.items()}
        with torch.enable_grad():
            leaf = piece["cycle"].clone().requires_grad_()
            (slope,) = torch.autograd.grad(score({**piece, "cycle": leaf}).sum(), leaf)
        slopes.append((slope * (piece["cycle"] - mean)).abs() if times_signal else slope.abs() / gain)
    return torch.cat(slopes)
