"""Resampling of signals, with a low-pass filter where steps are left out."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.errors import EndlineError

AUTO, MOST = "auto", 50.0  # the rate of the cycles themselves, up to this (Hz): more costs, and tells little
SAME = 0.01  # relative difference of two rates that is rounding, not another rate
UNEVEN = 0.1  # relative deviation of a step from the mean one beyond which steps are first made even
TAPS = 20  # of the filter, for each step that becomes one: the transition is then a tenth of the band


def common_rate(wanted: float | str | None, recorded: pd.Series) -> float:
    """Rate (Hz) that all cycles are resampled to.

    Args:
        wanted: Hz; None for the rate that they were recorded at (the median); `auto` for that too, but 50 Hz at most.
        recorded: rate of each cycle, Hz.

    Raises:
        EndlineError: for a rate that is not positive, or another word.

    Example:
        >>> [common_rate(rate, pd.Series([99.0, 101.0])) for rate in ("auto", None, 25)]
        [50.0, 100.0, 25.0]
    """
    if wanted is None or wanted == AUTO:
        own = float(recorded.median())
        return own if wanted is None else min(own, MOST)
    if isinstance(wanted, str) or not 0 < wanted < np.inf:
        shown = wanted if isinstance(wanted, str) else f"{wanted:g} Hz"
        raise EndlineError(f"rate={shown} is no rate: choose a positive one, auto, or null for that of the cycles.")
    return float(wanted)


def at_rate(times: NDArray[np.float64], values: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Values at `rate` Hz from the first time on; as they are where that is their rate already.

    Args:
        times: (steps,), seconds, strictly increasing, of any spacing.
        values: (signals, steps).
        rate: at most that of `times`; a higher one only interpolates.

    Returns:
        (signals, new steps); at least one step.
    """
    duration = times[-1] - times[0]
    if _is_rate(duration, len(times), rate):
        # The mean rate alone does not say that the steps are where they should be.
        return _interpolated(times, values, np.linspace(times[0], times[-1], len(times))) if _uneven(times) else values
    return _at(times, values, times[0] + np.arange(steps_at(duration, len(times), rate)) / rate)


def steps_at(duration: float, steps: int, rate: float) -> int:
    """Steps that `at_rate` gives for a cycle of `steps` steps in `duration` seconds."""
    return steps if _is_rate(duration, steps, rate) else int(np.floor(duration * rate + SAME)) + 1


def _is_rate(duration: float, steps: int, rate: float) -> bool:
    return abs(duration / (steps - 1) * rate - 1) < SAME


def to_steps(times: NDArray[np.float64], values: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Values (signals, steps) of a cycle that is stretched to `steps` even ones; arguments as `at_rate`."""
    return _at(times, values, np.linspace(times[0], times[-1], steps))


def _at(times: NDArray[np.float64], values: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    if _uneven(times):
        even = np.linspace(times[0], times[-1], len(times))
        times, values = even, _interpolated(times, values, even)
    if len(wanted) > 1:
        ratio = (wanted[1] - wanted[0]) / (times[1] - times[0])
        if ratio > 1 + SAME:
            values = _low_pass(values, ratio)
    return _interpolated(times, values, wanted)


def _uneven(times: NDArray[np.float64]) -> bool:
    """Whether a step is another than the mean one, or the steps run ahead of it: then they are made even."""
    spacing = np.diff(times)
    ahead = times - np.linspace(times[0], times[-1], len(times))
    return bool(max(np.abs(spacing / spacing.mean() - 1).max(), np.abs(ahead).max() / spacing.mean()) > UNEVEN)


def _low_pass(values: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """Without what lies above 0.9 of the new half rate. Symmetric, so nothing moves in time."""
    from scipy.signal import fftconvolve, firwin  # its import takes longer than a verdict

    half = max(1, min(round(TAPS * ratio / 2), values.shape[1] - 1))
    taps = firwin(2 * half + 1, 0.9 / ratio, window="hamming")
    # Mirrored about the end points' values, a ramp stays a ramp.
    first, last = values[:, :1], values[:, -1:]
    before, after = 2 * first - values[:, half:0:-1], 2 * last - values[:, -2 : -2 - half : -1]
    padded = np.concatenate([before, values, after], 1)
    filtered: NDArray[np.float64] = fftconvolve(padded, taps[np.newaxis], mode="valid", axes=1)
    return filtered


def _interpolated(
    times: NDArray[np.float64], values: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    right = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    left = right - 1
    share = (wanted - times[left]) / (times[right] - times[left])
    between: NDArray[np.float64] = values[:, left] + share * (values[:, right] - values[:, left])
    return between
