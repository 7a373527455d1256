"""Features of the station `robot_cycle`: cycles resampled, and padded to one length with a mask."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from endline.errors import EndlineError
from endline.evidence.cycles.index import read_cycles
from endline.evidence.cycles.resampling import at_rate, steps_at, to_steps
from endline.evidence.cycles.values import Cycle, CycleFormat
from endline.feature_set import FeatureRecipe
from endline.files import content_key

BATCH = 16
RATES = (10.0, 500.0)  # Hz
ARRAYS = ("cycle", "valid", "scale")


@dataclass(frozen=True)
class CycleSettings:
    """How a cycle becomes arrays.

    Attributes:
        signals: their names, in the arrays' order.
        length: steps of the arrays; a shorter cycle is padded with zeros at its end, a longer one is cut.
        rate: Hz, or None where every cycle is stretched to `length` steps.
        arrays: kinds of arrays: `cycle` (signals, length) in the signals' own units, `valid` (length,), 1 where the
            cycle lasts, and `scale` (signals, 1, length), the cycle as the map of one row that image detectors read.
        form: where the signals of a cycle's own file are found.
    """

    signals: tuple[str, ...]
    length: int
    rate: float | None
    arrays: tuple[str, ...] = ("cycle", "valid")
    form: CycleFormat = field(default_factory=CycleFormat)


def cycle_settings(parameters: Mapping[str, Any]) -> CycleSettings:
    """Settings as `plain` writes them, or as Parquet and JSON give them back."""
    form = CycleFormat(**{**parameters["form"], "normal": tuple(parameters["form"]["normal"])})
    lists = {key: tuple(parameters[key]) for key in ("signals", "arrays")}
    return CycleSettings(**{**parameters, **lists, "form": form})


def plain(settings: CycleSettings) -> dict[str, Any]:
    """Settings as JSON can write them."""
    return asdict(settings)


def common_length(samples: pd.DataFrame, rate: float) -> int:
    """Steps of the longest training cycle at a rate (Hz), at least 2.

    Raises:
        EndlineError: for a rate outside of 10 to 500 Hz.
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise EndlineError(f"rate={rate:g} Hz is out of range: choose {RATES[0]:g} to {RATES[1]:g} Hz.")
    training = samples[samples["split"] == "train"]
    lengths = (steps_at(d, s, rate) for d, s in zip(training["duration"], training["steps"], strict=True))
    return max(2, *lengths)


def cycle_arrays(cycles: list[Cycle], settings: CycleSettings) -> dict[str, NDArray[np.float32]]:
    """Arrays of some cycles, which have the settings' signals: name -> (cycles, ...)."""
    values = np.zeros((len(cycles), len(settings.signals), settings.length), np.float32)
    valid = np.zeros((len(cycles), settings.length), np.float32)
    for number, cycle in enumerate(cycles):
        if settings.rate is None:
            found = to_steps(cycle.times, cycle.values, settings.length)
        else:
            found = at_rate(cycle.times, cycle.values, settings.rate)[:, : settings.length]
        values[number, :, : found.shape[1]] = found
        valid[number, : found.shape[1]] = 1
    made = {"cycle": values, "valid": valid, "scale_0": values[:, :, np.newaxis]}
    return {name: array for name, array in made.items() if name.split("_")[0] in settings.arrays}


def cycle_features(samples: pd.DataFrame, folder: Path, settings: CycleSettings) -> FeatureRecipe:
    """Recipe of the arrays of all cycles: float32, since a collision may be a thousand times what is usual.

    Args:
        samples: the sample table.
        folder: raw folder.
        settings: of the arrays.
    """

    def batches() -> Iterator[dict[str, NDArray[np.float32]]]:
        waiting: list[Cycle] = []
        found = read_cycles(samples, folder, settings.signals, settings.form)
        for number, cycle in enumerate(track(found, "Resampling the cycles", len(samples), transient=True), 1):
            waiting.append(cycle)
            if len(waiting) == BATCH or number == len(samples):
                yield cycle_arrays(waiting, settings)
                waiting = []

    told = {**plain(settings), "recipe": 1}
    return FeatureRecipe(content_key(samples["digest"].tolist(), told), len(samples), batches, "float32")
