"""Building blocks of simulated sound: levels, tones that follow a turning shaft, noise, blows, what rings and echoes.

Times are seconds, frequencies hertz, signals float32 of shape (samples,). What turns is given by its phase, in turns,
(samples,): every tone is a wavetable read at that phase, so that all orders glide together.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft
from scipy.signal import lfilter, oaconvolve

Signal = NDArray[np.float32]
Values = NDArray[np.float64]
Colour = tuple[tuple[float, float], ...]  # points of a spectrum: hertz, dB

TABLE = 8192  # entries of a wavetable, a power of two
DRIFT_STEP = 0.01  # s: the drift of a speed is computed on this grid
DRIFT_MEMORY = 0.98  # correlation of the drift from step to step: it changes within half a second


def decibel(spread: float, rng: np.random.Generator) -> float:
    """Return a random factor around 1 whose level has the standard deviation `spread` in dB."""
    return float(10 ** (rng.normal(0.0, spread) / 20))


def decibels(spread: float, rng: np.random.Generator, size: int) -> Values:
    """Return `size` independent factors as `decibel` gives them, (size,)."""
    return np.asarray(10 ** (rng.normal(0.0, spread, size) / 20))


def wavetable(amplitudes: Values, rng: np.random.Generator) -> Signal:
    """Return one period, (TABLE,), of harmonics 1, 2, ... with these amplitudes and random phases."""
    spectrum = np.zeros(TABLE // 2 + 1, dtype=np.complex128)
    phases = rng.uniform(0, 2 * np.pi, len(amplitudes))
    spectrum[1 : len(amplitudes) + 1] = amplitudes * np.exp(1j * phases)
    return np.asarray(np.fft.irfft(spectrum) * (TABLE / 2), dtype=np.float32)


def table_entries(phase: Values) -> NDArray[np.int64]:
    """Return where to read a wavetable at `phase` (turns, (samples,)); the nearest of 8192 is near enough."""
    return (phase * TABLE).astype(np.int64) & (TABLE - 1)


def swing(phase: Values) -> Signal:
    """Return a cosine of amplitude 1 at `phase` (turns, (samples,))."""
    return _cosine()[table_entries(phase)]


@lru_cache(maxsize=1)
def _cosine() -> Signal:
    return np.asarray(np.cos(2 * np.pi * np.arange(TABLE) / TABLE), dtype=np.float32)


def turning(speed: float | Values, count: int, rate: int, drift: float, rng: np.random.Generator) -> Values:
    """Return the phase, (count,), of a shaft that turns at `speed` hertz, a number or (count,), and drifts slowly.

    `drift` is the relative standard deviation of the speed; the phase starts anywhere.
    """
    step = round(DRIFT_STEP * rate)
    steps = count // step + 2
    kick = np.sqrt(1 - DRIFT_MEMORY**2)
    slow = lfilter([kick], [1, -DRIFT_MEMORY], rng.standard_normal(steps) * drift)
    relative = 1 + np.interp(np.arange(count), step * np.arange(steps), slow)
    return np.asarray(np.cumsum(speed * relative) / rate + rng.uniform())


def passings(phase: Values, offset: float = 0.0) -> NDArray[np.int64]:
    """Return the samples at which a phase that only grows passes n + offset turns, n any whole number."""
    return np.flatnonzero(np.diff(np.floor(phase - offset)) > 0) + 1


def coloured_noise(colour: Colour, count: int, rate: int, rng: np.random.Generator) -> Signal:
    """Return noise of rms 1, (count,), with the spectrum `colour`: dB at ascending hertz, straight in between."""
    weights = _weights(colour, count, rate)
    spectrum = rng.standard_normal(2 * len(weights), dtype=np.float32).view(np.complex64)
    return np.asarray(irfft(spectrum * weights, count), dtype=np.float32)


@lru_cache(maxsize=32)
def _weights(colour: Colour, count: int, rate: int) -> Signal:
    """Spectral weights, scaled so that white complex normals become noise of rms 1."""
    hertz, level = np.array(colour, dtype=np.float64).T
    grid = np.fft.rfftfreq(count, 1 / rate)
    power = 10 ** (np.interp(np.log(np.maximum(grid, 10.0)), np.log(hertz), level) / 10) * (grid > 15)
    return np.asarray(np.sqrt(power * count**2 / (4 * power.sum())), dtype=np.float32)


def blows(at: NDArray[np.int64], peaks: float | Values, count: int) -> Signal:
    """Return unit pulses times `peaks` at the samples `at`, (count,); what lies outside is left out."""
    force = np.zeros(count, dtype=np.float32)
    inside = (at >= 0) & (at < count)
    np.add.at(force, at[inside], np.broadcast_to(peaks, at.shape)[inside].astype(np.float32))
    return force


def ringing(hertz: Values, quality: Values, gains: Values, rate: int) -> Signal:
    """Return the response to a unit pulse of resonances that decay to -60 dB; each peaks at its gain."""
    decay = quality / (np.pi * hertz)
    time = np.arange(int(6.9 * decay.max() * rate) + 1)[:, None] / rate
    return np.asarray((gains * np.exp(-time / decay) * np.sin(2 * np.pi * hertz * time)).sum(axis=1), dtype=np.float32)


def room(reverberation: float, rate: int, rng: np.random.Generator) -> Signal:
    """Return a room's response to a unit pulse: the direct sound, and 5 dB below it in all a decaying tail.

    `reverberation` is the time to -60 dB. The tail is cut at -40 dB, and it loses its treble before its bass.
    """
    time = np.arange(int(reverberation * 2 / 3 * rate)) / rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / reverberation)
    dull = lfilter([0.4], [1, -0.6], tail)
    late = np.minimum(3 * time / reverberation, 1.0)
    response = (1 - late) * tail + late * dull
    response *= 10 ** (-5 / 20) / np.sqrt(np.sum(response**2))
    response[0] += 1.0
    return response.astype(np.float32)


def heard(force: Signal, response: Signal) -> Signal:
    """Return what becomes of a force by a response, as long as the force."""
    return np.asarray(oaconvolve(force, response)[: len(force)], dtype=np.float32)
