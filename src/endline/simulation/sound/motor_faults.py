"""The three faults of Lee et al. 2023, section 4 and table 1, as forces added to those of a healthy motion.

Each changes `force` (float32, (samples,), before the housing) in place; `strength` 0 changes nothing.
"""

import numpy as np
from scipy.signal import butter, sosfilt

from endline.simulation.sound.motor_sound import WHEEL_TEETH, Motion, Motor, impact
from endline.simulation.sound.sources import TABLE, Signal, decibel, decibels, table_entries, wavetable


def add_misalignment(force: Signal, motor: Motor, motion: Motion, strength: float, rng: np.random.Generator) -> None:
    """Fault 1, shaft misalignment: a buzz that rubs once a shaft turn, and half orders of the shaft."""
    rate = motor.sample_rate
    phase = motion.at_audio_rate(motion.phase, rate)
    power = motion.at_audio_rate(motion.speed, rate).astype(np.float32) * np.float32(strength)
    centre = rng.uniform(1800.0, 3800.0)
    edges = [0.6 * centre, min(1.7 * centre, 0.45 * rate)]
    noise = rng.standard_normal(len(phase), dtype=np.float32)
    rubbing = sosfilt(butter(2, edges, "bandpass", fs=rate, output="sos"), noise).astype(np.float32)
    contact = (0.5 + 0.5 * np.cos(2 * np.pi * np.arange(TABLE) / TABLE)).astype(np.float32) ** 6
    force += power * 6.0 * rubbing * contact[table_entries(phase)]
    halves = np.zeros(40)
    halves[::2] = 0.25 * decibels(3.0, rng, 20)  # odd multiples of half the shaft's frequency
    force += power * wavetable(halves, rng)[table_entries(phase / 2)]


def add_scratch(force: Signal, motor: Motor, motion: Motion, strength: float, rng: np.random.Generator) -> None:
    """Fault 2, tooth scratch: a tick at every turn of the wheel, in half of the units a weaker tock too.

    The scratched tooth is one of the worm wheel's, which turns some four times a second.
    """
    turns = motion.phase / WHEEL_TEETH
    second = rng.uniform(0.35, 0.65)
    second_strength = rng.uniform(0.4, 0.9) * (rng.uniform() < 0.5)
    last = np.interp(motion.duration, motion.time, turns)
    for offset, share in ((0.0, 1.0), (second, second_strength)):
        marks = np.arange(np.ceil(turns[0] - offset), last - offset) + offset
        for at in np.interp(marks, turns, motion.time):
            peak = 30.0 * strength * share * decibel(1.5, rng)
            impact(force, motor.sample_rate, float(at), peak, 0.0025, rng)


def add_thrust(force: Signal, motor: Motor, motion: Motion, strength: float, rng: np.random.Generator) -> None:
    """Fault 7, shaft thrust: the shaft is pushed along its axis and hits the wall, one click at the start."""
    at = rng.uniform(0.03, 0.16)
    impact(force, motor.sample_rate, at, 60.0 * strength, 0.0012, rng)
    impact(force, motor.sample_rate, at + 0.001, 25.0 * strength, 0.006, rng)
