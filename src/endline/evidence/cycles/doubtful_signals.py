"""Columns of numbers that are taken for signals and look like something else: numbers of parts, clocks, labels."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEW = 8  # cycles below which nothing is said: two or three constants may differ by chance
log = logging.getLogger(__name__)


def warn_of_doubtful(names: Sequence[str], spans: NDArray[np.float64], normal: Sequence[bool | None]) -> None:
    """Warn of signals that look like none, see `doubtful`."""
    for name, looks in doubtful(names, spans, normal).items():
        log.warning(
            "The column '%s' %s. It is taken for a signal: if it is none, name it as ignore in "
            'robot_cycle.preparation.formats, or choose the signals (--params="signals=NAME NAME").',
            name,
            looks,
        )


def doubtful(names: Sequence[str], spans: NDArray[np.float64], normal: Sequence[bool | None]) -> dict[str, str]:
    """Signal -> what it looks like, of those that a machine hardly gives.

    By such a column new good cycles are anomalous, as by a part's number that is not yet known, or all tested faults
    are found, as by a label among the signals.

    Args:
        names: of the signals.
        spans: (cycles, 2, signals), their smallest and largest values.
        normal: whether each cycle shows a normal one; None where it is not known.

    Example:
        >>> numbers = np.arange(8.0)
        >>> doubtful(["part"], np.stack([numbers, numbers], 1)[:, :, np.newaxis], [True] * 8)
        {'part': 'stands still within every cycle and is another in most, as the number of a part is'}
    """
    if len(spans) < FEW:
        return {}
    low, high = spans[:, 0], spans[:, 1]
    found = {}
    for column, name in enumerate(names):
        if looks := _looks(low[:, column], high[:, column], normal):
            found[name] = looks
    return found


def _looks(low: NDArray[np.float64], high: NDArray[np.float64], normal: Sequence[bool | None]) -> str:
    if (low == high).all():
        if len(np.unique(low)) > len(low) / 2:
            return "stands still within every cycle and is another in most, as the number of a part is"
        good = {value for value, known in zip(low.tolist(), normal, strict=True) if known}
        others = {value for value, known in zip(low.tolist(), normal, strict=True) if known is False}
        if len(good) == 1 and others and not good & others:
            return f"is {good.pop():g} in all normal cycles and in no other, as a label is"
    order = np.argsort(low, kind="stable")
    apart = (low[order][1:] >= high[order][:-1]).all() and (low < high).all()
    return "goes on from one cycle to the next and never comes back, as a clock or a counter does" if apart else ""
