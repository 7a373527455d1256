"""Features of the station `robot_cycle`: cycles resampled, and padded to one length with a mask."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from endline.array_store import ArrayStore, FeatureRecipe
from endline.compute import CPU, Compute
from endline.errors import EndlineError
from endline.evaluation.baselines import SUMMARY
from endline.evidence.cycles.durations import Durations, seconds_of_step
from endline.evidence.cycles.index import read_cycles
from endline.evidence.cycles.new_files import cycles_of_robot_file, cycles_of_table, holds_robot_cycles, new_cycle
from endline.evidence.cycles.resampling import at_rate, steps_at, to_steps
from endline.evidence.cycles.values import Cycle, CycleFormat
from endline.evidence.station import Inspected, Preparation
from endline.feature_set import FeatureSet
from endline.files import content_key

BATCH = 16
FEW_STEPS, SPARSE = 8, 4  # steps of the arrays, and times as many that were recorded: what is left shows nothing
ARRAYS = ("cycle", "valid", "outside", "duration", "scale")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CyclePreparation(Preparation):
    """How a cycle becomes arrays: float32, since a collision may be a thousand times what is usual.

    Attributes:
        signals: their names, in the arrays' order.
        length: steps of the arrays; a shorter cycle is padded with zeros at its end, a longer one is cut.
        rate: Hz, or None where each cycle is stretched to `length` steps.
        arrays: `cycle` (signals, length) in the signals' own units, `valid` (length,), 1 where the cycle lasts,
            `outside` (1,), as the method of that name, `duration` (1,), seconds, and `scale` (signals, 1, length), the
            cycle as the map of one row that image detectors read. The array `summary` (smallest value and standard
            deviation of each signal) is always made.
        form: where the signals of a cycle's own file are found.
        offsets: what each signal is less of in the arrays; empty for nothing.
        units: of the signals where their files say them; a new file that says another one is refused.
        durations: of the training cycles; None where they are not known.

    Example:
        >>> CyclePreparation(("torque",), length=100, rate=50.0).arrays
        ('cycle', 'valid')
    """

    station: ClassVar[str] = "robot_cycle"
    segments: ClassVar[bool] = True
    signals: tuple[str, ...]
    length: int
    rate: float | None
    arrays: tuple[str, ...] = ("cycle", "valid")
    form: CycleFormat = field(default_factory=CycleFormat)
    offsets: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    durations: Durations | None = None

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The preparation that `plain` wrote."""
        named: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in plain["form"].items()
        }
        form = CycleFormat(**named)
        lists = {key: tuple(plain[key]) for key in ("signals", "arrays", "offsets", "units") if key in plain}
        durations = plain.get("durations")
        if durations is not None:
            # Of runs from before their count was kept there are two numbers.
            durations = Durations(**durations) if isinstance(durations, Mapping) else Durations(*durations)
        return cls(**{**plain, **lists, "form": form, "durations": durations})

    def recipe(self, samples: pd.DataFrame, folder: Path, store: ArrayStore, compute: Compute = CPU) -> FeatureRecipe:
        """Recipe of the arrays of all cycles."""

        def batches(wanted: Collection[str]) -> Iterator[dict[str, NDArray[np.float32]]]:
            waiting: list[Cycle] = []
            read = read_cycles(samples, folder, self.signals, self.form)
            for number, cycle in enumerate(track(read, "Resampling the cycles", len(samples), transient=True), 1):
                waiting.append(cycle)
                if len(waiting) == BATCH or number == len(samples):
                    yield self.made(waiting)
                    waiting = []

        evidence = content_key(samples["digest"].tolist(), {**self.plain(), "arrays": None}, "recipe 2")
        names = {"scale": "scale_0"}
        arrays = [*(names.get(name, name) for name in self.arrays), SUMMARY]
        return FeatureRecipe(
            arrays={name: (name,) for name in arrays},
            keys={name: content_key(evidence, name) for name in arrays},
            length=len(samples),
            batches=batches,
            dtypes=dict.fromkeys(arrays, "float32"),
        )

    def inspect(self, path: Path, compute: Compute = CPU) -> Inspected:
        """Row of the sample table, and arrays, of one new file of a cycle.

        Raises:
            EndlineError: when it cannot be used, or holds several cycles.
        """
        each = self.inspect_each(path)
        name, found = next(each)
        if others := sum(1 for _ in each):
            raise EndlineError(
                f"{path} is a table of {1 + others} cycles, the first of which is {name}: here one is wanted, "
                "so put it into a table of its own."
            )
        if isinstance(found, EndlineError):
            raise found
        return found

    def inspect_each(self, path: Path, compute: Compute = CPU) -> Iterator[tuple[str, Inspected | EndlineError]]:
        """`inspect` of the file of a cycle, or of each cycle of a table, or of a file in the layout of voraus-AD."""
        if self.form.of_tables:
            several = cycles_of_table(path, self.form, self.signals, self.units)
        elif holds_robot_cycles(path, self.signals):
            several = cycles_of_robot_file(path, self.signals)
        else:
            several = iter([(str(path), new_cycle(path, self.form, self.signals, self.units))])
        for name, found in several:
            if isinstance(found, EndlineError):
                yield name, found
                continue
            rows, cycle = found
            self.warn_of(name, rows.to_dict("records")[0])
            yield name, (rows, FeatureSet(self.made([cycle])))

    def made(self, cycles: Sequence[Cycle]) -> dict[str, NDArray[np.float32]]:
        """Arrays of some cycles, which have the preparation's signals: name -> (cycles, ...)."""
        values = np.zeros((len(cycles), len(self.signals), self.length), np.float32)
        valid = np.zeros((len(cycles), self.length), np.float32)
        # Before the cast to float32, which keeps seven digits: a counter may start at 2147483648.
        offsets = np.array(self.offsets or np.zeros(len(self.signals)))[:, np.newaxis]
        for number, cycle in enumerate(cycles):
            if self.rate is None:
                resampled = to_steps(cycle.times, cycle.values - offsets, self.length)
            else:
                resampled = at_rate(cycle.times, cycle.values - offsets, self.rate)[:, : self.length]
            values[number, :, : resampled.shape[1]] = resampled
            valid[number, : resampled.shape[1]] = 1
        outside = np.array([[self.outside(cycle)] for cycle in cycles], np.float32).reshape(-1, 1)
        durations = np.array([[cycle.duration] for cycle in cycles], np.float32).reshape(-1, 1)
        about = {"outside": outside, "duration": durations}
        made = {"cycle": values, "valid": valid, **about, "scale_0": values[:, :, np.newaxis]}
        wanted = {name: array for name, array in made.items() if name.split("_")[0] in self.arrays}
        return {**wanted, SUMMARY: np.stack([summary(cycle.values) for cycle in cycles])}

    def outside(self, cycle: Cycle) -> float:
        """How far the cycle's duration and its longest pause lie beyond those of training, together, see `Durations`; 0
        where they do not.
        """
        if self.durations is None:
            return 0.0
        step = seconds_of_step(cycle.duration, self.rate, self.length)
        return self.durations.beyond(cycle.duration) + self.durations.unrecorded(cycle.pause, step)

    def remarks(self, row: Mapping[Any, Any]) -> list[str]:
        """What is to be said of a cycle's length, by `duration, pause, steps` of its row in the sample table."""
        duration, said = row["duration"], []
        if self.durations is not None:
            step = seconds_of_step(duration, self.rate, self.length)
            said = [self.durations.pause_remark(row["pause"], step), self.durations.remark(duration)]
        if self.rate is not None and (lost := steps_at(duration, row["steps"], self.rate) - self.length) > 0:
            said.append(f"is longer than all training cycles: its last {lost} steps are not judged.")
        return [remark for remark in said if remark]


def summary(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Smallest value and standard deviation of each signal, (2 x signals,), of values (signals, steps).

    Example:
        >>> summary(np.array([[0.0, 2.0], [5.0, 5.0]])).tolist()
        [0.0, 5.0, 1.0, 0.0]
    """
    return np.concatenate([values.min(1), values.std(1)]).astype(np.float32)


def check_length(training: pd.DataFrame, length: int, rate: float | None) -> None:
    """Refuse arrays that keep next to nothing of what was recorded, as where times are in another unit.

    Args:
        training: rows of the sample table, `duration` and `steps`.
        length: steps of the arrays.
        rate: at which they are, Hz; None: cycles are stretched to `length`, as somebody has said.

    Raises:
        EndlineError: for fewer than 8 steps of cycles that were recorded with four times as many.

    Example:
        >>> check_length(pd.DataFrame({"duration": [2e-5], "steps": [100]}), 2, 100.0)
        Traceback (most recent call last):
        endline.errors.EndlineError: The cycles last 2e-05 s and were recorded with 100 steps, of which 2 are left at \
100 Hz. Is their time in another unit? Name it in its column ('time [ms]'), or as unit in \
robot_cycle.preparation.formats; else choose a higher rate (--params=rate=...).
    """
    recorded = float(training["steps"].median())
    if rate is None or length >= FEW_STEPS or recorded < SPARSE * length:
        return
    raise EndlineError(
        f"The cycles last {training['duration'].median():.4g} s and were recorded with {recorded:g} steps, of which "
        f"{length} are left at {rate:g} Hz. Is their time in another unit? Name it in its column ('time [ms]'), or as "
        "unit in robot_cycle.preparation.formats; else choose a higher rate (--params=rate=...)."
    )


def common_length(samples: pd.DataFrame, rate: float) -> int:
    """Steps of the longest of some cycles at a rate (Hz), at least 2."""
    lengths = (steps_at(d, s, rate) for d, s in zip(samples["duration"], samples["steps"], strict=True))
    return max(2, *lengths)
