"""One noise floor for all recordings, so that the room of a sitting cannot pass for a fault."""

import numpy as np
from numpy.typing import NDArray

from endline.evidence.sound.signals import Signal, Span, hann

FACTOR = 4.0  # of power, 6 dB
WHISTLE = 20.0  # dB; between rooms a hum differs by up to 14 dB in its band

Power = NDArray[np.float64]


def standstill_power(samples: Signal, rate: int, standstill: Span, n_fft: int = 2048) -> Power:
    """Mean power spectrum (n_fft // 2 + 1,) of the standstill, a span in seconds of (samples,).

    Scaled so that white noise of variance v has the power v in every bin, whatever the window.
    """
    rest = samples[round(standstill[0] * rate) : round(standstill[1] * rate)]
    if len(rest) < n_fft:
        rest = np.pad(rest, (0, n_fft - len(rest)), mode="wrap")
    window = hann(n_fft)
    frames = np.lib.stride_tricks.sliding_window_view(rest, n_fft)[:: n_fft // 4] * window
    power: Power = np.mean(np.abs(np.fft.rfft(frames, axis=1)) ** 2, axis=0) / np.sum(window**2)
    return power


def common_floor(powers: Power, quantile: float = 0.98, factor: float = FACTOR) -> Power:
    """Return the common noise floor (bins,) of standstill powers (n, bins): a factor above a quantile.

    The factor leaves room for the added noise to outweigh what differs between the rooms. Of up to 50 recordings the
    quantile is nearly their loudest: leave out what `loud_standstills` names before.
    """
    floor: Power = factor * np.quantile(powers, quantile, axis=0)
    return floor


def loud_standstills(powers: Power, rate: int) -> NDArray[np.bool_]:
    """Mark, of standstill powers (n, bins), the few that are so loud that they would raise all others' floor.

    Levels in 32 mel bands are compared with those of the loudest standstill once the loudest twentieth of each band (at
    least one recording) is set aside. A recording is marked where it is louder by 6 dB in the mean of the bands, the
    factor of the common floor, or by 20 dB in one band, a whistle. More than a twentieth are a room of its own, to
    which the others must be raised, and fewer than five recordings no measure of each other: then none is marked.

    Args:
        powers: as `standstill_power` gives them.
        rate: of the recordings in Hz.

    Returns:
        A mask (n,).

    Example:
        >>> powers = np.ones((20, 1025))
        >>> powers[7] *= 100
        >>> np.flatnonzero(loud_standstills(powers, 44_100))
        array([7])
    """
    count = len(powers)
    most = max(1, count // 20)
    if count < 5:
        return np.zeros(count, dtype=np.bool_)
    levels = np.stack([band_levels(power, rate) for power in powers])
    above = levels - np.sort(levels, axis=0)[-1 - most]  # (n, bands), dB
    loud: NDArray[np.bool_] = (above.mean(axis=1) > 10 * np.log10(FACTOR)) | (above.max(axis=1) > WHISTLE)
    return loud if np.count_nonzero(loud) <= most else np.zeros_like(loud)


def above_floor(power: Power, floor: Power, rate: int) -> float:
    """How far in dB a standstill's power (bins,) lies above a floor (bins,), in the mel band where it is most.

    Above 0, the recording stays louder than those that were raised to the floor.

    Example:
        >>> round(above_floor(np.full(1025, 2.0), np.ones(1025), 44_100), 2)
        3.01
    """
    return float((band_levels(power, rate) - band_levels(floor, rate)).max())


def level(samples: Signal, rate: int, power: Power, floor: Power, seed: int) -> Signal:
    """Raise the noise of (samples,) at ``rate`` Hz from its own ``power`` to ``floor``, both (bins,).

    Gaussian noise of the missing power is added per frequency bin; a bin already above the floor is left as
    it is. The noise follows from ``seed`` alone: give every recording its own, or they share one noise.
    """
    missing = np.maximum(floor - power, 0.0)
    white = np.random.default_rng(seed).standard_normal(len(samples))
    spectrum = np.fft.rfft(white)
    grid = np.linspace(0.0, 1.0, len(spectrum))  # share of the Nyquist frequency, whatever the rate
    gain = np.sqrt(np.interp(grid, np.linspace(0.0, 1.0, len(missing)), missing))
    noise = np.fft.irfft(spectrum * gain, n=len(samples))
    return (samples + noise).astype(np.float32)


def band_levels(power: Power, rate: int, bands: int = 32) -> NDArray[np.float64]:
    """Mean power in dB (bands,) of a spectrum (bins,) in bands of equal width on the mel scale, 0 Hz to half the rate.

    Example:
        >>> band_levels(np.full(1025, 10.0), 44_100, bands=3)
        array([10., 10., 10.])
    """
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 1) / 2595) - 1) / (rate / 2) * (len(power) - 1)
    starts = np.minimum(np.round(edges[:-1]).astype(int), len(power) - 1)
    stops = np.maximum(np.round(edges[1:]).astype(int), starts + 1)
    means = np.array([power[start:stop].mean() for start, stop in zip(starts, stops, strict=True)])
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(means, 1e-20))
    return levels
