"""What detectors on cycles share: signals with a mask, fewer steps, spectra, where a score comes from."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from endline.detectors.base import Shapes
from endline.detectors.cycles.usual_course import UsualCourse
from endline.detectors.standardisation import Standardisation
from endline.feature_set import Batch, FeatureSet

BATCH = 32
CHUNK = 8  # cycles whose gradients are in memory at once
POWER_FLOOR = 1e-3  # of signals of variance 1: what lies below is noise
DEVIATION_FLOOR = 0.05  # least standard deviation of a standardised signal that a method believes


def measured(batch: Batch) -> tuple[Tensor, Tensor]:
    """The cycles (batch, signals, steps) and their mask (batch, 1, steps)."""
    return batch["cycle"], batch["valid"][:, None]


def log_duration(batch: Batch) -> Tensor:
    """Logarithm (batch, 1) of the cycles' durations: of their seconds where these are known, else of their steps.

    Stretched cycles all have the same steps.

    Example:
        >>> log_duration({"cycle": torch.ones(1, 2, 4), "valid": torch.ones(1, 4)}).exp().tolist()
        [[4.0]]
    """
    duration = batch["duration"] if "duration" in batch else batch["valid"].sum(1, keepdim=True)
    return duration.clamp(min=1e-6).log()


def measured_batches(features: FeatureSet) -> Iterator[tuple[Tensor, Tensor]]:
    """`measured` of a feature set, batch after batch."""
    return (measured(batch) for batch in features.batches(BATCH))


def cycle_shape(shapes: Shapes) -> tuple[int, int]:
    """Signals and steps of the cycles."""
    signals, steps = shapes["cycle"]
    return signals, steps


def downsampled(x: Tensor, valid: Tensor, downsampling: int) -> tuple[Tensor, Tensor]:
    """Means of `downsampling` steps each, as far as they are valid; the last may be of fewer.

    Args:
        x: (batch, signals, steps).
        valid: (batch, 1, steps).
        downsampling: steps that become one; 1 = none.

    Returns:
        x and valid of ceil(steps / downsampling) steps.

    Example:
        >>> x, valid = downsampled(torch.tensor([[[1.0, 3.0, 5.0]]]), torch.ones(1, 1, 3), 2)
        >>> x.tolist()
        [[[2.0, 5.0]]]
    """
    if downsampling == 1:
        return x, valid
    missing = -x.shape[-1] % downsampling
    x, valid = (nn.functional.pad(part, (0, missing)).view(*part.shape[:2], -1, downsampling) for part in (x, valid))
    count = valid.sum(-1)
    return (x * valid).sum(-1) / count.clamp(min=1), (count > 0).to(x.dtype)


def prepared(batch: Batch, standardise: Standardisation, downsampling: int = 1) -> tuple[Tensor, Tensor]:
    """Standardised, `downsampled` cycles (batch, signals, fewer steps) and their mask (batch, 1, fewer steps)."""
    values, valid = measured(batch)
    return downsampled(standardise(values, valid), valid, downsampling)


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
    weights = torch.hann_window(window, device=x.device)
    power = torch.fft.rfft(x.unfold(-1, window, half) * weights).abs().square()
    return (power + POWER_FLOOR).log().transpose(2, 3).flatten(1, 2), valid[..., half - 1 : -half : half]


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid steps, (batch,), of values (batch, steps); 0 without any.

    Example:
        >>> masked_mean(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[1.0, 1.0, 0.0]]))
        tensor([2.])
    """
    return (values * valid).sum(1) / valid.sum(1).clamp(min=1)


def signal_gradient(
    score: Callable[[Batch], Tensor], batch: Batch, standardise: Standardisation, usual: UsualCourse | None = None
) -> Tensor:
    """How strongly each signal at each step moves the score, (batch, signals, steps), at least 0.

    The gradient of the score to the standardised signals, in absolute value; its sum over the signals is equation 8.6
    of Rudolph 2024. To the signals in their own units it would be largest where the unit is large.

    Args:
        score: differentiable scores (batch,) of a batch, none of which may depend on another cycle.
        batch: it is taken a few cycles at a time, so that the memory of the backward pass stays bounded.
        standardise: of the signals.
        usual: times the departure from it, in absolute value: what the step adds to the score beyond a usual cycle, to
            first order. A score of the statistics of a whole cycle has much the same gradient at every step, so that
            without it, or times the signal alone, what is always large would stand out.
    """
    gain = standardise.gain[:, None]
    slopes = []
    for start in range(0, len(batch["cycle"]), CHUNK):
        piece = {name: array[start : start + CHUNK] for name, array in batch.items()}
        with torch.enable_grad():
            leaf = piece["cycle"].clone().requires_grad_()
            (slope,) = torch.autograd.grad(score({**piece, "cycle": leaf}).sum(), leaf)
        away = 1 / gain if usual is None else usual.departure(piece["cycle"], standardise.mean)
        slopes.append((slope * away).abs())
    return torch.cat(slopes)
