"""One cycle of signals: what it is, and what makes it unusable."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from endline.errors import EndlineError, FileRejected

MIN_STEPS = 2
LARGEST = 1e15  # of a value: no sensor gives more, and the squares of larger ones leave the range of float32
REPEATED = 0.05  # share of the steps that may repeat the time before them: slips of the recorder, no other clock


@dataclass(frozen=True)
class CycleFormat:
    """Where cycles and their signals are found: in a file of its own each, or many in one table.

    Attributes:
        time: column of the time; in JSON a path such as `steps[0].graph.time values`.
        signals: name -> column (or path) of each signal; None takes all columns of numbers but the time.
        normal: names of folders that hold normal cycles, besides `normal`, `good`, `ok` and `0`.
        unit: of the time, such as `ms`; None: what its column says (`time [ms]`), else seconds.
        ignore: columns of numbers that are no signals, such as a second label.
        cycle: of tables that hold many cycles, one below the other: the column that names the cycle of each row.
        window: of tables that hold a recording that runs on: seconds of the windows that it is cut into, each a cycle.
        label: of tables: the column of what each row shows; None, or where a table lacks it: what its folder says.
        share: in [0, 1): of a window's steps, above which it shows what is not normal; 0: any step.

    Raises:
        EndlineError: for settings that do not go together.

    Example:
        >>> CycleFormat(time="t", signals={"torque": "Md [Nm]"}).signals
        {'torque': 'Md [Nm]'}
    """

    time: str = "time"
    signals: Mapping[str, str] | None = None
    normal: Sequence[str] = ()
    unit: str | None = None
    ignore: Sequence[str] = ()
    cycle: str | None = None
    window: float | None = None
    label: str | None = None
    share: float = 0.0

    def __post_init__(self) -> None:
        if self.cycle is not None and self.window is not None:
            problem = f"cycle={self.cycle} and window={self.window:g}: a table holds cycles or is cut into windows"
        elif self.window is not None and not 0 < self.window < np.inf:
            problem = f"window={self.window:g}: give seconds above 0"
        elif not 0 <= self.share < 1 or (self.share > 0 and self.window is None):
            problem = f"share={self.share:g}: it is of the steps of a window, from 0 to below 1"
        elif self.label is not None and not self.of_tables:
            problem = f"label={self.label}: it is a column of tables of many cycles, so give cycle or window too"
        else:
            return
        raise EndlineError(f"A format of robot_cycle.preparation.formats has {problem}.")

    @property
    def of_tables(self) -> bool:
        """Whether a file is a table of many cycles, or of a recording that is cut into windows."""
        return self.cycle is not None or self.window is not None


@dataclass(frozen=True)
class Cycle:
    """Signals over time.

    Attributes:
        names: of the signals.
        times: (steps,), seconds, strictly increasing.
        values: (signals, steps), finite.
        available: signals that the file holds, those that were not read among them; empty where all were.
        left_out: columns of text, which are no signals.
        repeated: steps that were left out, since they repeat the time before them.
        units: of the signals, empty where one is not known; () where none is.

    Example:
        >>> Cycle(("torque",), np.array([0.0, 0.01, 0.02]), np.zeros((1, 3))).rate
        100.0
    """

    names: tuple[str, ...]
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    available: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    repeated: int = 0
    units: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of names, times and values, 64 hexadecimal digits."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        digest.update(np.ascontiguousarray(self.times).data)
        digest.update(np.ascontiguousarray(self.values).data)
        return digest.hexdigest()

    @property
    def rate(self) -> float:
        """Steps a second, on average."""
        return (len(self.times) - 1) / self.duration

    @property
    def duration(self) -> float:
        """Seconds from the first step to the last."""
        return float(self.times[-1] - self.times[0])

    @property
    def pause(self) -> float:
        """Seconds from one step to the next at most."""
        return float(np.diff(self.times).max())

    def only(self, signals: tuple[str, ...]) -> "Cycle":
        """The cycle with these signals alone, in this order."""
        rows = [self.names.index(name) for name in signals]
        units = tuple(self.units[row] for row in rows) if self.units else ()
        return Cycle(signals, self.times, self.values[rows], units=units)


def checked(cycle: Cycle) -> Cycle:
    """The cycle, without the few steps that repeat the time before them; others are refused.

    Raises:
        FileRejected: for a single step, time that stands still or goes back, and values that are not finite or beyond
            any measurement.
    """
    if len(cycle.times) < MIN_STEPS:
        raise FileRejected(f"a cycle of {len(cycle.times)} step(s)", "record it from its start to its end")
    if not np.isfinite(cycle.times).all():
        raise FileRejected("its time has gaps (NaN or infinite)", "export the time of every step")
    broken = np.argwhere(~np.isfinite(cycle.values))
    if len(broken):
        signal, step = broken[0]
        raise FileRejected(
            f"signal '{cycle.names[signal]}' is not finite at step {step} ({len(broken)} such values)",
            "fill gaps before, or leave the signal out (signals=...)",
        )
    beyond = np.argwhere(np.abs(cycle.values) > LARGEST)
    if len(beyond):
        signal, step = beyond[0]
        raise FileRejected(
            f"signal '{cycle.names[signal]}' is {cycle.values[signal, step]:g} at step {step}, beyond any sensor",
            "look for a broken sensor or a damaged export, or leave the signal out (signals=...)",
        )
    passed = np.diff(cycle.times)
    backward = np.flatnonzero(passed < 0)
    repeated = np.flatnonzero(passed == 0)
    if len(backward) or len(repeated) > REPEATED * len(passed):
        step = int(backward[0] if len(backward) else repeated[0]) + 1
        said = "goes back" if len(backward) else f"stands still at {len(repeated)} of {len(cycle.times)} steps, first"
        raise FileRejected(
            f"its time {said} at step {step} ({cycle.times[step]:g} s)",
            "sort the steps, and keep each once and no other cycle's among them",
        )
    if not len(repeated):
        return cycle
    times, values = np.delete(cycle.times, repeated + 1), np.delete(cycle.values, repeated + 1, axis=1)
    return replace(cycle, times=times, values=values, repeated=len(repeated))
