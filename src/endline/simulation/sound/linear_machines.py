"""Slider and solenoid valve: what moves to and fro, rubs, clicks and hisses, and what a fault does to it.

Each function returns the sound of a `Run` near the machine, float32 of (count,), rms about 1 where healthy.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from endline.simulation.sound.machine_run import RATE, Run
from endline.simulation.sound.sources import (
    Colour,
    Signal,
    Values,
    blows,
    coloured_noise,
    decibel,
    decibels,
    heard,
    passings,
    table_entries,
    wavetable,
)

STROKE, REST, LEAD = 0.4, 0.12, 0.02  # m from end to end, s of rest there, m of travel per turn of the screw
GRAVITY = 9.81
# Of a valve's pattern: seconds until it repeats, and when it opens and closes meanwhile.
PATTERNS = {
    "00": (0.8, ((0.0, 0.4),)),
    "01": (1.2, ((0.0, 0.25), (0.5, 0.75))),
    "02": (1.0, ((0.0, 0.2), (0.3, 0.5))),
    "03": (1.5, ((0.0, 0.7), (0.9, 1.1))),
}

RUBBING: Colour = ((100, -14), (500, -4), (1200, 0), (3000, -6), (8000, -22))
HISS: Colour = ((300, -24), (1500, -8), (4000, 0), (8000, -6))
LEAK: Colour = ((300, -30), (1500, -12), (3000, 0), (4200, -2), (8000, -16))
SCRAPE: Colour = ((300, -20), (1200, 0), (2500, -3), (8000, -24))


def slider(run: Run) -> Signal:
    """Strokes to and fro at `vel` mm/s, sped up and slowed down by `ac` g: screw, friction, knocks at the ends.

    Faults: `stick_slip` of a rail without grease, a jerk every few millimetres; a `dented_rail` clicks at one place of
    every stroke; a `loose_stop` knocks harder, and twice.
    """
    part, rng, count = run.of_part("slider"), run.chance, run.count
    loose = run.strength_of("loose_stop")
    speed, travel, ends = _strokes(run)
    relative = (speed / 0.4).astype(np.float32)
    turns = travel / LEAD
    screw = wavetable(0.9 / (np.arange(1.0, 33) + 2) * decibels(4.0, part, 32), part)
    servo = wavetable(0.2 / np.arange(1.0, 4) * decibels(3.0, part, 3), part)
    sound = relative * decibel(1.0, rng) * (screw[table_entries(4 * turns)] + servo[table_entries(24 * turns)])
    sound += 0.9 * relative * decibel(0.8, rng) * coloured_noise(RUBBING, count, RATE, rng)
    knock = blows(ends, 2.0 * decibels(2.5, rng, len(ends)), count)
    if loose:
        for delay, share in ((0.0, 1.0), (0.022, 0.7), (0.037, 0.4)):
            peaks = 4 * loose * share * decibels(2.0, run.fault_chance, len(ends))
            knock += blows(ends + round(delay * RATE), peaks, count)
    sound += heard(knock, run.structure("stop", 250, 1800, 9))
    return np.asarray(1.0 * (sound + _of_the_rail(run, speed, travel)), dtype=np.float32)


def _of_the_rail(run: Run, speed: Values, travel: Values) -> Signal:
    """What a faulty rail adds to the sound of a slider, (count,)."""
    rng = run.fault_chance
    sticking, dented = run.strength_of("stick_slip"), run.strength_of("dented_rail")
    if sticking:
        slips = travel / 0.005 + 0.3 * np.cumsum(rng.standard_normal(run.count) * np.sqrt(speed / RATE / 0.005))
        at = passings(np.maximum.accumulate(slips))
        peaks = sticking * 3 * rng.exponential(1.0, len(at))
        return heard(blows(at, peaks, run.count), run.structure("carriage", 700, 2600, 14))
    if dented:
        # A stroke forth and one back: the place x is passed at x and at 2 - x strokes of travel.
        place, double = rng.uniform(0.25, 0.75), travel / STROKE / 2
        at = np.concatenate([passings(double, place / 2), passings(double, 1 - place / 2)])
        peaks = dented * 6 * decibels(2.0, rng, len(at))
        return heard(blows(at, peaks, run.count), run.structure("ball", 1800, 5200, 18))
    return np.zeros(run.count, dtype=np.float32)


def _strokes(run: Run) -> tuple[Values, Values, NDArray[np.int64]]:
    """Speed in m/s and way travelled in m, both (count,), and the samples at which a stroke begins or ends."""
    top, gain = run.number("vel") / 1000, run.number("ac") * GRAVITY
    top *= run.chance.normal(1.0, 0.003)
    moving = STROKE / top + top / gain
    period = moving + REST
    start = run.chance.uniform(0, 2 * period)
    strokes, time = np.divmod(start + np.arange(run.count) / RATE, period)
    ramp = np.minimum(np.minimum(gain * time, top), gain * (moving - time))
    speed = np.maximum(ramp, 0.0)
    travel = np.cumsum(speed) / RATE + STROKE * strokes[0]
    ends = np.concatenate([passings(strokes + time / period), passings(strokes + time / period, moving / period)])
    return speed, travel + _way(time[0], top, gain, moving), np.sort(ends)


def _way(time: float, top: float, gain: float, moving: float) -> float:
    """Way in m from the start of a stroke after `time` seconds of it."""
    steps = np.linspace(0.0, min(time, moving), 200)
    return float(np.trapezoid(np.minimum(np.minimum(gain * steps, top), gain * (moving - steps)), steps))


def valve(run: Run) -> Signal:
    """Clicks of a solenoid in the switching pattern `pat`, hum of its coil and hiss while it is open.

    Faults: a `leak` hisses while the valve is closed; a `slow` plunger, contaminated, scrapes before it clicks late
    and softly; a `weak_coil` misses strokes: `strength` is the share of openings without click and hiss.
    """
    part, rng, count = run.of_part("valve"), run.chance, run.count
    leak, slow, weak = (run.strength_of(fault) for fault in ("leak", "slow", "weak_coil"))
    ordered, opened, closed = _switching(run)
    late = round(0.06 * slow * RATE)
    moves = np.ones(len(ordered), dtype=bool)
    if weak:
        missed = max(round(weak * len(ordered)), 1)
        moves[run.fault_chance.choice(len(ordered), missed, replace=False)] = False
    soft = 1 - 0.6 * slow
    on = blows(opened[moves] + late, (12 * soft * decibels(1.5, rng, len(ordered)))[moves], count)
    off = blows(closed[moves] + late, (8 * soft * decibels(1.5, rng, len(ordered)))[moves], count)
    sound = heard(on, run.structure("seat", 1500, 6000, 20)) + heard(off, run.structure("spring", 500, 3000, 10))
    coil = wavetable(np.array([0.0, 0.25, 0.0, 0.12, 0.0, 0.08]) * decibels(2.0, part, 6), part)
    sound += _gate(ordered, closed, 0.004, count) * coil[table_entries(50 * np.arange(count) / RATE + rng.uniform())]
    hiss = decibel(0.8, rng) * coloured_noise(HISS, count, RATE, rng)
    sound += 0.7 * _gate(opened[moves] + late, closed[moves] + late, 0.012 * (1 + 4 * slow), count) * hiss
    if leak:
        sound += 0.5 * leak * coloured_noise(LEAK, count, RATE, run.fault_chance)
    if slow:
        dragging = _gate(opened, opened + late, 0.004, count)
        sound += 1.5 * slow * dragging * coloured_noise(SCRAPE, count, RATE, run.fault_chance)
    return np.asarray(1.05 * sound, dtype=np.float32)


def _switching(run: Run) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Samples at which the coil is switched on, the valve opens, and it closes again, each (openings,)."""
    period, windows = PATTERNS[run.condition["pat"]]
    starts = np.arange(-1.0, run.count / RATE / period + 1)[:, None] * period + run.chance.uniform(0, period)
    on, off = (np.sort((starts + np.array(times)).ravel()) for times in zip(*windows, strict=True))
    inside = (on > 0.02) & (off < run.count / RATE - 0.1)
    jitter = run.chance.normal(0.012, 0.001, (2, len(on)))
    ordered, opened, closed = (np.round(times[inside] * RATE).astype(np.int64) for times in (on, on + jitter[0], off))
    return ordered, opened, closed + np.round(jitter[1][inside] * RATE).astype(np.int64)


def _gate(opens: NDArray[np.int64], closes: NDArray[np.int64], rise: float, count: int) -> Signal:
    """1 between opening and closing, 0 elsewhere, (count,), following with the time constant `rise`."""
    steps = blows(opens, 1.0, count + 1) - blows(np.minimum(closes, count), 1.0, count + 1)
    step = 1 - np.exp(-1 / (rise * RATE))
    return np.asarray(lfilter([step], [1, step - 1], np.cumsum(steps[:count])), dtype=np.float32)
