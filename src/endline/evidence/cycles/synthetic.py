"""Synthetic faults of cycles: what drifts, jumps, holds, comes twice or comes late, in some of the signals."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from endline.evidence.cycles.features import CyclePreparation
from endline.evidence.cycles.index import read_cycles
from endline.evidence.cycles.resampling import to_steps
from endline.evidence.cycles.times import UNITS, time_column
from endline.evidence.cycles.values import Cycle, CycleFormat
from endline.evidence.synthetic import Alter, altered_copies, items_of
from endline.files import file_digest

Values = NDArray[np.float64]
STEPS = 200  # to which cycles are stretched for their spread
LARGEST = 8.0  # standard deviations between normal cycles, by which the clearest fault alters a signal
SHARES = (0.05, 0.3)  # of a cycle that an event lasts


def synthesise(
    samples: pd.DataFrame, folder: Path, target: Path, preparation: CyclePreparation, seed: int
) -> pd.DataFrame:
    """Altered copies of normal cycles as Parquet files; see `Station.synthesise`."""
    form = preparation.form
    of_time = tuple(name for name, column in (form.signals or {}).items() if column == form.time)

    def write(rows: pd.DataFrame, cycle: Cycle, name: str) -> pd.DataFrame:
        path = target / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        _table(cycle, form).to_parquet(path, index=False)
        own = rows.assign(sample_id=f"{name}.parquet", path=f"{name}.parquet", digest=file_digest(path))
        return own.assign(first_row=None, rows=None)  # a file of its own

    read = list(read_cycles(samples, folder, preparation.signals, form))
    faults = cycle_faults(spread_of(read), [row for row, name in enumerate(preparation.signals) if name not in of_time])
    return altered_copies(zip(items_of(samples), read, strict=True), faults, write, seed)


def spread_of(cycles: list[Cycle]) -> Values:
    """How far normal cycles lie from their median course, (signals,): the standard deviation over steps and cycles.

    A signal that is the same in all cycles has the hundredth of its range, and a constant one 1.

    Example:
        >>> flat = [Cycle(("a",), np.arange(3.0), np.full((1, 3), value)) for value in (-1.0, 0.0, 1.0)]
        >>> spread_of(flat).round(3).tolist()
        [0.816]
    """
    courses = np.stack([to_steps(cycle.times, cycle.values, STEPS) for cycle in cycles]).astype(np.float64)
    spread = np.sqrt(np.mean((courses - np.median(courses, 0)) ** 2, (0, 2)))
    reach = np.ptp(courses, (0, 2))
    usual = np.where(reach > 0, 0.01 * reach, 1.0)
    return np.where(spread > 1e-3 * reach, spread, usual)


def cycle_faults(spread: Values, signals: list[int]) -> dict[str, Alter[Cycle]]:
    """Faults of cycles whose normals have a spread, in some of the given signals at once.

    Args:
        spread: (signals,), in the signals' own units.
        signals: rows that may be altered.

    Example:
        >>> cycle = Cycle(("a",), np.arange(50.0), np.zeros((1, 50)))
        >>> drifted = cycle_faults(np.ones(1), [0])["drift"](cycle, 1.0, np.random.default_rng(0))
        >>> bool(abs(drifted.values).max() > 1)
        True
    """
    changes: dict[str, Callable[[Values, Values, float, Generator], Values]] = {
        "drift": _drift,
        "spike": _spike,
        "gain": _gain,
        "offset": _offset,
        "missing event": _missing_event,
        "added event": _added_event,
        "delay": _delay,
    }

    def altered(change: Callable[..., Values], cycle: Cycle, strength: float, rng: Generator) -> Cycle:
        count = 1 + int(rng.integers(len(signals)))
        chosen = np.sort(rng.permutation(signals)[:count])
        values = cycle.values.copy()
        values[chosen] = change(values[chosen], LARGEST * strength * spread[chosen, None], strength, rng)
        return replace(cycle, values=values)

    return {name: partial(altered, change) for name, change in changes.items()} if signals else {}


def _signs(values: Values, rng: Generator) -> Values:
    return rng.choice([-1.0, 1.0], (len(values), 1))


def _stretch(steps: int, rng: Generator) -> slice:
    """A stretch of a cycle, two steps at least."""
    length = min(steps, max(2, round(float(rng.uniform(*SHARES)) * steps)))
    start = int(rng.integers(steps - length + 1))
    return slice(start, start + length)


def _drift(values: Values, size: Values, strength: float, rng: Generator) -> Values:
    steps = values.shape[1]
    start = float(rng.uniform(0, 0.5)) * steps
    ramp = np.clip((np.arange(steps) - start) / max(1.0, steps - 1 - start), 0, 1)
    return np.asarray(values + _signs(values, rng) * size * ramp, np.float64)


def _spike(values: Values, size: Values, strength: float, rng: Generator) -> Values:
    steps = values.shape[1]
    at = rng.permutation(steps)[: max(1, round(0.01 * steps))]
    spiked = values.copy()
    spiked[:, at] += 2 * _signs(values, rng) * size
    return spiked


def _gain(values: Values, size: Values, strength: float, rng: Generator) -> Values:
    middle = np.median(values, 1, keepdims=True)
    around = np.sqrt(np.mean((values - middle) ** 2, 1, keepdims=True))
    factor = 1 + _signs(values, rng) * np.minimum(0.9, size / np.maximum(around, 1e-12))
    return np.asarray(middle + factor * (values - middle), np.float64)


def _offset(values: Values, size: Values, strength: float, rng: Generator) -> Values:
    return values + 0.5 * _signs(values, rng) * size


def _missing_event(values: Values, size: Values, strength: float, rng: Generator) -> Values:
    """The value from before a stretch is held through it, as far as the strength goes."""
    at = _stretch(values.shape[1], rng)
    held = values.copy()
    held[:, at] += strength * (values[:, at.start : at.start + 1] - values[:, at])
    return held


def _added_event(values: Values, size: Values, strength: float, rng: Generator) -> Values:
    at = _stretch(values.shape[1], rng)
    length = at.stop - at.start
    with_bump = values.copy()
    with_bump[:, at] += _signs(values, rng) * size * np.sin(np.pi * (np.arange(length) + 0.5) / length)
    return with_bump


def _delay(values: Values, size: Values, strength: float, rng: Generator) -> Values:
    """All comes later from some moment on, by up to a tenth of the cycle, which ends when it did."""
    steps = values.shape[1]
    start, late = float(rng.uniform(0, 0.6)) * steps, 0.1 * strength * steps
    now = np.arange(steps, dtype=np.float64)
    then = np.where(now < start, now, np.maximum(start, now - late))
    return np.stack([np.interp(then, now, row) for row in values])


def _table(cycle: Cycle, form: CycleFormat) -> pd.DataFrame:
    """A table that `read_cycle` reads by the same form."""
    columns = {(form.signals or {}).get(name, name): row for name, row in zip(cycle.names, cycle.values, strict=True)}
    time, unit = time_column([form.time], form.time)
    unit = form.unit or unit
    if unit is None and form.time not in columns:  # whole seconds without a unit would be refused
        time, unit = f"{form.time} [s]", "s"
    return pd.DataFrame({str(time): cycle.times / UNITS[(unit or "s").lower()], **columns})
