"""One recorded run of a simulated machine: what it does, what is wrong with it, and where its chance comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from endline.simulation.sound.sources import Signal, decibels, ringing

RATE = 16000  # hertz, of every clip of a machine
HEALTHY = "normal"


@dataclass(frozen=True)
class Run:
    """One run.

    `of_part`, `chance` and `fault_chance` draw what differs from machine to machine, from run to run, and in the fault
    alone: a run with another fault is otherwise the same, noise for noise.

    Attributes:
        condition: attributes of the run and their values, as they stand in the file's name.
        count: samples of the clip.
        machine_seed: seed of all that stays from run to run of one machine.
        chance: generator of the run.
        fault_chance: generator of the fault.
        fault: name of the fault, or "normal".
        strength: how strong the fault is, in its own measure.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> run = Run({"vel": "6"}, 16000, (0, 1), rng, rng, "dry", 0.5)
        >>> run.strength_of("dry"), run.strength_of("outer_race"), run.number("vel")
        (0.5, 0.0, 6.0)
    """

    condition: Mapping[str, str]
    count: int
    machine_seed: tuple[int, ...]
    chance: np.random.Generator
    fault_chance: np.random.Generator
    fault: str = HEALTHY
    strength: float = 0.0

    def strength_of(self, fault: str) -> float:
        """Return the strength of a fault: 0 where the machine has another or none."""
        return self.strength if self.fault == fault else 0.0

    def number(self, attribute: str) -> float:
        """Return the value of an attribute without its unit: 28 of `28V`."""
        return float(self.condition[attribute].rstrip("V"))

    def of_part(self, part: str) -> np.random.Generator:
        """Return a generator that is the same in every run of the machine, for the part of this name."""
        return np.random.default_rng([*self.machine_seed, crc32(part.encode()), 1])

    def structure(self, part: str, lowest: float, highest: float, quality: float) -> Signal:
        """Return the response of a part to a blow: six resonances from `lowest` to `highest` hertz, about."""
        chance = self.of_part(part)
        hertz = np.geomspace(lowest, highest, 6) * chance.uniform(0.92, 1.08, 6)
        return ringing(hertz, quality * decibels(2.0, chance, 6), 0.6 * decibels(3.0, chance, 6), RATE)
