"""What is heard of a factory beside the machine: ventilation, hammering, a compressor, air guns, a conveyor.

Each kind of noise is float32 of (count,) at `RATE`, rms 0.2 to 3, drawn anew in every clip.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from endline.simulation.sound.machine_run import RATE
from endline.simulation.sound.sources import (
    Colour,
    Signal,
    blows,
    coloured_noise,
    decibel,
    decibels,
    heard,
    ringing,
    swing,
    table_entries,
    turning,
    wavetable,
)

MAINS = 50.0
PINK: Colour = ((20, 0), (8000, -26))
PUFFS: Colour = ((60, -10), (200, 0), (700, -10), (8000, -45))
AIR: Colour = ((300, -30), (2000, -6), (5000, 0), (8000, -3))
ROLLERS: Colour = ((100, -6), (300, 0), (1200, -4), (8000, -30))


def ventilation(count: int, rng: np.random.Generator) -> Signal:
    """Pink noise and the hum of the mains."""
    hum = wavetable(np.array([0.4, 0.3, 0.1, 0.15]) * decibels(3.0, rng, 4), rng)
    return coloured_noise(PINK, count, RATE, rng) + hum[table_entries(MAINS * np.arange(count) / RATE)]


def hammering(count: int, rng: np.random.Generator) -> Signal:
    """Blows on metal now and then, far away, on a thing that differs from clip to clip."""
    number = rng.poisson(0.8 * count / RATE) + 1
    thing = ringing(rng.uniform(250, 2500, 5), rng.uniform(8, 40, 5), np.ones(5), RATE)
    return heard(blows(rng.integers(0, count, number), 6 * decibels(4.0, rng, number), count), thing)


def compressor(count: int, rng: np.random.Generator) -> Signal:
    """Puffs of a piston at some 13 Hz, which come and go as pressure is called for."""
    piston = turning(rng.normal(13.0, 0.5), count, RATE, 0.004, rng)
    called = 0.6 + 0.4 * swing(turning(rng.uniform(0.05, 0.2), count, RATE, 0.1, rng))
    puffs = called * (1 + swing(piston)) ** 2
    return np.asarray(0.6 * puffs * coloured_noise(PUFFS, count, RATE, rng), dtype=np.float32)


def air_guns(count: int, rng: np.random.Generator) -> Signal:
    """Bursts of air of a few tenths of a second, seconds apart."""
    edges = blows(rng.integers(0, count, rng.poisson(0.5 * count / RATE) + 1), 1.0, count)
    burst = np.hanning(int(rng.uniform(0.15, 0.5) * RATE)).astype(np.float32)
    return 2.5 * heard(edges, burst) * coloured_noise(AIR, count, RATE, rng)


def conveyor(count: int, rng: np.random.Generator) -> Signal:
    """Rollers of a belt: a rumble and clatter at their joints."""
    rollers = turning(rng.normal(7.0, 0.3), count, RATE, 0.02, rng)
    clatter = blows(rng.integers(0, count, 12 * count // RATE), decibels(5.0, rng, 12 * count // RATE), count)
    plate = ringing(rng.uniform(200, 1800, 4), rng.uniform(5, 15, 4), np.ones(4), RATE)
    return (1 + 0.4 * swing(rollers)) * coloured_noise(ROLLERS, count, RATE, rng) * 0.8 + heard(clatter, plate)


NOISES: Mapping[str, Callable[[int, np.random.Generator], Signal]] = {
    "ventilation": ventilation,
    "hammering": hammering,
    "compressor": compressor,
    "air_guns": air_guns,
    "conveyor": conveyor,
}


@dataclass(frozen=True)
class Surroundings:
    """Where a machine is recorded.

    Attributes:
        noises: kinds of noise of `NOISES` and their share of the level.
        snr: least and greatest level of the machine above the noise, in dB; every clip draws its own.
        reverberation: seconds in which the room's echo falls by 60 dB.

    Example:
        >>> Surroundings({"ventilation": 1.0}, (0.0, 0.0), 0.4).noise(16000, np.random.default_rng(0)).shape
        (16000,)
    """

    noises: Mapping[str, float]
    snr: tuple[float, float]
    reverberation: float

    def noise(self, count: int, rng: np.random.Generator) -> Signal:
        """Return what is heard beside a machine of rms 1, (count,)."""
        mixed = np.zeros(count, dtype=np.float32)
        for kind, share in self.noises.items():
            mixed += share * decibel(1.5, rng) * NOISES[kind](count, rng)
        level = 10 ** (-rng.uniform(*self.snr) / 20)
        return np.asarray(mixed * (level / np.sqrt(np.mean(mixed**2))), dtype=np.float32)
