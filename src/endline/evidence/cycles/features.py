"""Features of the station `robot_cycle`: cycles resampled, and padded to one length with a mask."""

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
from endline.evidence.cycles.index import index_cycle, read_cycles
from endline.evidence.cycles.resampling import at_rate, steps_at, to_steps
from endline.evidence.cycles.values import Cycle, CycleFormat
from endline.evidence.station import Inspected, Preparation
from endline.feature_set import FeatureSet
from endline.files import content_key

BATCH = 16
RATES = (10.0, 500.0)  # Hz
ARRAYS = ("cycle", "valid", "scale")


@dataclass(frozen=True)
class CyclePreparation(Preparation):
    """How a cycle becomes arrays: float32, since a collision may be a thousand times what is usual.

    Attributes:
        signals: their names, in the arrays' order.
        length: steps of the arrays; a shorter cycle is padded with zeros at its end, a longer one is cut.
        rate: Hz, or None where each cycle is stretched to `length` steps.
        arrays: `cycle` (signals, length) in the signals' own units, `valid` (length,), 1 where the cycle lasts, and
            `scale` (signals, 1, length), the cycle as the map of one row that image detectors read. The array `summary`
            (smallest value and standard deviation of each signal) is always made.
        form: where the signals of a cycle's own file are found.

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

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The preparation that `plain` wrote."""
        form = CycleFormat(**{**plain["form"], "normal": tuple(plain["form"]["normal"])})
        lists = {key: tuple(plain[key]) for key in ("signals", "arrays")}
        return cls(**{**plain, **lists, "form": form})

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

        evidence = content_key(samples["digest"].tolist(), {**self.plain(), "arrays": None}, "recipe 1")
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
            EndlineError: when it cannot be used.
        """
        rows, cycle = index_cycle(path, self.form, self.signals)
        return rows, FeatureSet(self.made([cycle]))

    def made(self, cycles: Sequence[Cycle]) -> dict[str, NDArray[np.float32]]:
        """Arrays of some cycles, which have the preparation's signals: name -> (cycles, ...)."""
        values = np.zeros((len(cycles), len(self.signals), self.length), np.float32)
        valid = np.zeros((len(cycles), self.length), np.float32)
        for number, cycle in enumerate(cycles):
            if self.rate is None:
                resampled = to_steps(cycle.times, cycle.values, self.length)
            else:
                resampled = at_rate(cycle.times, cycle.values, self.rate)[:, : self.length]
            values[number, :, : resampled.shape[1]] = resampled
            valid[number, : resampled.shape[1]] = 1
        made = {"cycle": values, "valid": valid, "scale_0": values[:, :, np.newaxis]}
        wanted = {name: array for name, array in made.items() if name.split("_")[0] in self.arrays}
        return {**wanted, SUMMARY: np.stack([summary(cycle.values) for cycle in cycles])}


def summary(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Smallest value and standard deviation of each signal, (2 x signals,), of values (signals, steps).

    Example:
        >>> summary(np.array([[0.0, 2.0], [5.0, 5.0]])).tolist()
        [0.0, 5.0, 1.0, 0.0]
    """
    return np.concatenate([values.min(1), values.std(1)]).astype(np.float32)


def common_length(samples: pd.DataFrame, rate: float) -> int:
    """Steps of the longest of some cycles at a rate (Hz), at least 2.

    Raises:
        EndlineError: for a rate outside of 10 to 500 Hz.
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise EndlineError(f"rate={rate:g} Hz is out of range: choose {RATES[0]:g} to {RATES[1]:g} Hz.")
    lengths = (steps_at(d, s, rate) for d, s in zip(samples["duration"], samples["steps"], strict=True))
    return max(2, *lengths)
