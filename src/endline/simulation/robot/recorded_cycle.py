"""One recorded cycle of the simulated robot: task, plant, control, motors and the recorder (needs MuJoCo)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, upfirdn

from endline.errors import EndlineError
from endline.robot_signals import CATEGORIES
from endline.simulation.robot.recording_rate import FULL_RATE, check_rate
from endline.simulation.robot.robot_cell import run
from endline.simulation.robot.robot_faults import VARIANTS, Fault
from endline.simulation.robot.robot_motion import PAUSES, Array, Job, plan
from endline.simulation.robot.robot_motors import record
from endline.simulation.robot.robot_plant import Conditions

BELT_PLACE, BELT_SPREAD = (0.55, -0.3), (0.05, 0.09)  # m: where cans stand, and how far off
# s: spread of the pauses; up to the detection all cycles are nearly the same.
PAUSE_SPREAD = (0.006, 0.015, 0.01, 0.02, 0.01, 0.01, 0.02, 0.02)


@dataclass(frozen=True)
class Cycle:
    """One record: `time` in seconds and `action`, of shape (samples,), and `signals`, (samples, 130) as `SIGNALS`.

    Example:
        >>> Cycle(np.zeros(2), np.zeros(2, np.uint8), np.zeros((2, 130), np.float32)).signals.shape
        (2, 130)
    """

    time: Array
    action: NDArray[np.uint8]
    signals: NDArray[np.float32]


def cycle(kind: str, rng: np.random.Generator, rate: int = 100, variant: int = 0) -> Cycle:
    """Return one cycle that is "normal" or has a fault of a kind of `VARIANTS`.

    The task, the plant, the control's noise, the records' noise and the fault draw from five children of `rng`: the
    same generator with another kind gives the same task in the same plant, with and without the fault.

    Args:
        kind: one of `CATEGORIES`.
        rng: source of all that is random.
        rate: samples a second, a divisor of 500; slower records are low-pass filtered first.
        variant: which of the kind's variants, counted around; normal cycles have one.
    """
    if kind not in CATEGORIES:
        raise EndlineError(f"The simulation knows no fault {kind!r}; choose {', '.join(CATEGORIES)}.")
    check_rate(rate)
    job_rng, plant_rng, control_rng, record_rng, fault_rng = rng.spawn(5)
    fault = Fault()
    if kind != "normal":
        fault = VARIANTS[kind][variant % len(VARIANTS[kind])](fault_rng)
    across, along = job_rng.uniform(-1, 1, 2) * BELT_SPREAD
    place = (BELT_PLACE[0] + across, BELT_PLACE[1] + (along if fault.stop is None else fault.stop))
    seen = job_rng.normal(place, 0.0015)  # what the camera makes of it
    pauses = np.array(PAUSES) + np.clip(job_rng.standard_normal(len(PAUSES)), -2, 2) * PAUSE_SPREAD
    pauses[1] += fault.delay
    turn, height = job_rng.uniform(-0.3, 0.3), job_rng.normal(-0.001, 0.0007)
    job = Job((float(seen[0]), float(seen[1])), turn, height, tuple(pauses.tolist()))
    planned = plan(job)
    conditions = Conditions.draw(place, plant_rng)
    motion = run(planned, conditions, fault, control_rng)
    signals = record(motion, planned, conditions, fault, record_rng)
    factor = FULL_RATE // rate
    kept = _decimate(signals, factor)
    time = np.arange(len(kept)) / rate
    time[1:] += record_rng.uniform(-2e-5, 2e-5, len(kept) - 1)  # the recorder's clock
    return Cycle(time, planned.action[::factor], kept.astype(np.float32))


def _decimate(signals: Array, factor: int) -> Array:
    """Every `factor`-th row of `signals` (steps, 130), without what the lower rate cannot show."""
    if factor == 1:
        return signals
    half = 4 * factor
    taps = firwin(2 * half + 1, 0.8 / factor)
    padded = np.pad(signals, ((half, half), (0, 0)), mode="edge")
    return np.asarray(upfirdn(taps, padded, down=factor, axis=0)[8 : 8 + -(-len(signals) // factor)])
