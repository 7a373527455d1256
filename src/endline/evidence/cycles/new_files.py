"""Cycles of a new file, whose labels nobody knows: of its own, or one of many in a table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pandas as pd

from endline.errors import EndlineError, FileRejected
from endline.evidence.cycles.cycle_files import SUFFIXES, read_cycle
from endline.evidence.cycles.long_tables import read_long_table
from endline.evidence.cycles.readings import measured, sample_row, say_repeated
from endline.evidence.cycles.robot_files import LIE_APART, check_columns, is_robot_file, segments
from endline.evidence.cycles.signal_units import check_units
from endline.evidence.cycles.values import Cycle, CycleFormat, checked
from endline.robot_signals import SIGNALS
from endline.samples import sample_table

ROBOT_SUFFIX = ".parquet"
NewCycle = tuple[pd.DataFrame, Cycle]
Named = tuple[str, NewCycle | EndlineError]
"""A cycle of a file of many and what `new_cycle` would give of it, or what is wrong with it instead."""


def new_cycle(path: Path, form: CycleFormat, signals: tuple[str, ...], units: tuple[str, ...] = ()) -> NewCycle:
    """Sample table of one file whose label is unknown, and its cycle.

    Raises:
        EndlineError: when the file cannot be used, or lacks a signal, or has one in another unit.
    """
    with _one_file(path):
        cycle = read_cycle(path, form, signals)
        _check_signals(cycle, signals, units)
    say_repeated({path.name: cycle.repeated} if cycle.repeated else {})
    return _unlabelled(path.name, cycle), cycle.only(signals)


def cycles_of_table(
    path: Path, form: CycleFormat, signals: tuple[str, ...], units: tuple[str, ...] = ()
) -> Iterator[Named]:
    """The cycles of a table of many.

    Raises:
        EndlineError: when the table cannot be used, or lacks a signal, or has one in another unit.
    """
    with _one_file(path):
        table = read_long_table(path, replace(form, label=None), signals)  # which is of training alone
        pieces = table.pieces()
    for piece in pieces:
        name = f"{path}/{piece.name}"
        try:
            cycle = table.cycle(piece)
        except FileRejected as problem:
            yield name, EndlineError(f"{name}: {problem}")
            continue
        with _one_file(path):
            _check_signals(cycle, signals, units)
        yield name, (_unlabelled(f"{path.name}/{piece.name}", cycle), cycle.only(signals))


def holds_robot_cycles(path: Path, signals: tuple[str, ...]) -> bool:
    """Whether a file holds cycles in the layout of voraus-AD, and the signals are of that layout.

    A file whose signals have names of their own is that of one cycle, whatever else it holds. What is no file of
    Parquet is not opened for it.
    """
    of_layout = path.suffix.lower() == ROBOT_SUFFIX and set(signals) <= set(SIGNALS)
    return of_layout and path.is_file() and is_robot_file(path)


def cycles_of_robot_file(path: Path, signals: tuple[str, ...]) -> Iterator[Named]:
    """The cycles of a file in the layout of voraus-AD, one in memory at a time, whatever its labels say.

    Raises:
        EndlineError: when the file is damaged, or not in the layout.
    """
    check_columns(path)
    seen: set[int] = set()
    for segment in segments(path, signals):
        sample = segment.labels.sample
        name = f"{path}/{sample}"
        try:
            if sample in seen:
                raise FileRejected(*LIE_APART)
            seen.add(sample)
            if segment.problem is not None:
                raise segment.problem
            cycle = checked(segment.cycle)
        except FileRejected as problem:
            yield name, EndlineError(f"{name}: {problem}")
            continue
        yield name, (_unlabelled(f"{path.name}/{sample}", cycle), cycle)


@contextmanager
def _one_file(path: Path) -> Iterator[None]:
    try:
        yield
    except FileRejected as problem:
        raise EndlineError(f"{path}: {problem}") from problem
    except OSError as problem:
        raise EndlineError(f"{path} cannot be read ({problem.strerror}): correct the path.") from problem
    except KeyError as problem:
        kinds = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise EndlineError(f"{path} is none of the files of cycles: export it as {kinds}.") from problem


def _check_signals(cycle: Cycle, signals: Sequence[str], units: Sequence[str]) -> None:
    missing = [name for name in signals if name not in cycle.names]
    if not missing:
        return check_units(cycle.names, cycle.units, signals, units)
    name = missing[0]
    if name in cycle.left_out:
        raise FileRejected(f"its column '{name}' holds no numbers", "export the signal as numbers")
    alike = [other for other in cycle.available if _plain(other) == _plain(name)]
    held = f"'{alike[0]}' is written otherwise" if alike else f"it has {', '.join(cycle.available[:8]) or 'none'}"
    raise FileRejected(
        f"it lacks the signal '{name}' that the model reads ({held})",
        "export it under that name, or train on cycles like this one",
    )


def _plain(name: str) -> str:
    """A name by which those are alike that differ in case, blanks, or how their letters are composed."""
    return "".join(normalize("NFC", name).casefold().split())


def _unlabelled(name: str, cycle: Cycle) -> pd.DataFrame:
    return sample_table([{**sample_row(name, name, None, training=False), "group": "", **measured(cycle)}])
