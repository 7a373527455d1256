"""Synthetic faults of sound: added tones, noise and clicks, moments that fall silent, another spectral tilt."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.io import wavfile

from endline.evidence.sound.signals import Signal, Span
from endline.evidence.synthetic import Alter

Wave = NDArray[np.float64]
LOWEST = 100.0  # Hz of the lowest added tone or band
WIDTH = 1 / 3  # octaves of a band
LARGEST = 8.0  # standard deviations between normal recordings, by which the clearest fault raises a band
LEAST_SPREAD, MOST_SPREAD = 0.5, 3.0  # dB, of the level of a band between normal recordings
TILT = 0.25  # dB an octave, for each dB by which other faults raise a band; 1 kHz stays


@dataclass(frozen=True)
class Sound:
    """A recording and where in it the machine runs: faults are heard there alone.

    Attributes:
        signal: (samples,), in full-scale units.
        rate: Hz.
        spans: (start, stop) in seconds.

    Example:
        >>> Sound(np.zeros(8, np.float32), rate=4, spans=((0.5, 1.0),)).runs.tolist()
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """

    signal: Signal
    rate: int
    spans: tuple[Span, ...]

    @property
    def runs(self) -> Wave:
        """1 while the machine runs, else 0, (samples,)."""
        mask = np.zeros(len(self.signal))
        for start, stop in self.spans:
            mask[round(start * self.rate) : round(stop * self.rate)] = 1.0
        return mask

    def level(self, centre: float) -> float:
        """Power of the band of a third octave around a frequency in Hz, while the machine runs, in dB of full scale."""
        running = np.concatenate([self.signal[round(a * self.rate) : round(b * self.rate)] for a, b in self.spans])
        power = np.abs(np.fft.rfft(running)) ** 2 * 2 / max(1, len(running)) ** 2
        band = _band(len(running), self.rate, centre)
        return float(10 * np.log10(power[band].sum() + 1e-14))


def spread_of(sounds: list[Sound]) -> float:
    """Standard deviation in dB of the level of a band between normal recordings, the median over octaves."""
    centres = [LOWEST * 2.0**octave for octave in range(12) if LOWEST * 2.0**octave < _highest(sounds[0].rate)]
    levels = np.array([[sound.level(centre) for centre in centres] for sound in sounds])
    return float(np.clip(np.median(levels.std(0)), LEAST_SPREAD, MOST_SPREAD))


def sound_faults(spread: float) -> dict[str, Alter[Sound]]:
    """Faults of recordings whose bands differ by a `spread` in dB from one normal to the next.

    Example:
        >>> sound = Sound(np.zeros(8000, np.float32), rate=8000, spans=((0.0, 1.0),))
        >>> clicking = sound_faults(1.0)["clicks"](sound, 1.0, np.random.default_rng(0))
        >>> clicking.signal.shape, bool(abs(clicking.signal).max() > 0)
        ((8000,), True)
    """
    changes: dict[str, Callable[[Sound, float, Generator], Wave]] = {
        "tone": _tone,
        "noise": _noise,
        "clicks": _clicks,
        "missing moment": _missing_moment,
        "tilt": _tilt,
    }

    def altered(
        change: Callable[[Sound, float, Generator], Wave], sound: Sound, strength: float, rng: Generator
    ) -> Sound:
        return replace(sound, signal=change(sound, LARGEST * spread * strength, rng).astype(np.float32))

    return {name: partial(altered, change) for name, change in changes.items()}


def write_sound(sound: Sound, path: Path) -> None:
    """Write a recording as WAV of floats, one channel: equal sounds are equal files, for libsndfile's hold the time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, sound.rate, sound.signal)


def _highest(rate: int) -> float:
    return min(0.4 * rate, 12_000.0)


def _centre(rate: int, rng: Generator) -> float:
    return float(np.exp(rng.uniform(np.log(LOWEST), np.log(_highest(rate)))))


def _band(count: int, rate: int, centre: float) -> NDArray[np.bool_]:
    """Which bins of the spectrum of so many samples lie in the band around a frequency."""
    frequencies = np.fft.rfftfreq(count, 1 / rate)
    inside: NDArray[np.bool_] = np.abs(np.log2(np.maximum(frequencies, 1e-9) / centre)) <= WIDTH / 2
    return inside


def _raised(sound: Sound, added: Wave, centre: float, raise_db: float) -> Wave:
    """The recording with a sound added while it runs, so loud that the band around a frequency rises by so much."""
    runs = sound.runs
    shaped = added * runs
    power = float((shaped**2).sum() / max(1.0, runs.sum()))
    wanted = 10 ** (sound.level(centre) / 10) * (10 ** (raise_db / 10) - 1)
    return np.asarray(sound.signal + shaped * np.sqrt(wanted / max(power, 1e-20)), np.float64)


def _tone(sound: Sound, raise_db: float, rng: Generator) -> Wave:
    centre = _centre(sound.rate, rng)
    phase = 2 * np.pi * centre * np.arange(len(sound.signal)) / sound.rate
    wobble = 1 + 0.5 * np.sin(phase * float(rng.uniform(0.001, 0.01)))
    return _raised(sound, np.sin(phase + rng.uniform(0, 2 * np.pi)) * wobble, centre, raise_db)


def _noise(sound: Sound, raise_db: float, rng: Generator) -> Wave:
    centre, count = _centre(sound.rate, rng), len(sound.signal)
    spectrum = np.fft.rfft(rng.standard_normal(count)) * _band(count, sound.rate, centre)
    return _raised(sound, np.fft.irfft(spectrum, count), centre, raise_db)


def _clicks(sound: Sound, raise_db: float, rng: Generator) -> Wave:
    """Decaying bursts of a band, at one pace or at any moment, three to thirty while the machine runs."""
    centre, count = _centre(sound.rate, rng), len(sound.signal)
    running = np.flatnonzero(sound.runs)
    number = int(rng.integers(3, 31))
    pace = len(running) // number
    regular = int(rng.integers(max(1, pace))) + pace * np.arange(number)
    places = regular if rng.random() < 0.5 else np.sort(rng.integers(len(running), size=number))
    pulses = np.zeros(count)
    pulses[running[np.minimum(places, len(running) - 1)]] = rng.uniform(0.5, 1.0, number)
    time = np.arange(max(8, round(0.02 * sound.rate))) / sound.rate
    ringing = np.exp(-time / 0.003) * np.sin(2 * np.pi * centre * time + 0.5)
    return _raised(sound, np.convolve(pulses, ringing)[:count], centre, raise_db)


def _missing_moment(sound: Sound, lower_db: float, rng: Generator) -> Wave:
    """A stretch of 5 to 30 % of a time in which the machine runs, quieter by up to so much, with soft edges."""
    start, stop = sound.spans[int(rng.integers(len(sound.spans)))]
    length = float(rng.uniform(0.05, 0.3)) * (stop - start)
    at = float(rng.uniform(start, stop - length))
    time = np.arange(len(sound.signal)) / sound.rate
    edge = 0.01  # s
    depth = np.clip(np.minimum(time - at, at + length - time) / edge, 0, 1)
    return np.asarray(sound.signal * 10 ** (-lower_db * depth / 20), np.float64)


def _tilt(sound: Sound, size_db: float, rng: Generator) -> Wave:
    count = len(sound.signal)
    frequencies = np.fft.rfftfreq(count, 1 / sound.rate)
    octaves = np.log2(np.clip(frequencies, LOWEST, _highest(sound.rate)) / 1000.0)
    gain = 10 ** (rng.choice([-1.0, 1.0]) * TILT * size_db * octaves / 20)
    return np.asarray(np.fft.irfft(np.fft.rfft(sound.signal) * gain, count), np.float64)
