"""Digital dropouts: stretches of a sounding recording that hold one and the same value."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.evidence.sound.signals import Signal

SHORTEST = 0.02  # s; shorter ones are hardly heard, and a buffer that is lost is longer
BESIDE = 5e-4  # s on either side of a stretch, where a sound breaks off or fades
FAINT = 3.0  # steps of the recording's own rounding, within which a sound fades out into silence
CAUSE = "look for a loose plug, or for a computer too busy to record"
log = logging.getLogger(__name__)


def longest_dropout(signal: Signal, rate: int) -> dict[str, float]:
    """Where a recording (samples,) at ``rate`` Hz longest holds one and the same value, 20 ms or more.

    A quiet recording of few bits holds 0 between its sounds, which fade into it step by step, as a machine's sound does
    behind a noise gate. A dropout breaks the sound off. Where any of the stretches is no such break, none counts: the
    silence is then that of the recording itself.

    Returns:
        `dropout_start` and `dropout_seconds`, both 0 where there is none.

    Example:
        >>> signal = np.sin(np.arange(16_000, dtype="f4"))
        >>> signal[4_000:5_600] = 0
        >>> longest_dropout(signal, 16_000)
        {'dropout_start': 0.25, 'dropout_seconds': 0.1}
    """
    edges = np.flatnonzero(np.diff(signal)) + 1
    starts, stops = np.append(0, edges), np.append(edges, len(signal))
    held = np.flatnonzero(stops - starts >= SHORTEST * rate)
    longest = max(held, key=lambda number: int(stops[number] - starts[number]), default=None)
    if longest is None or not len(edges):
        return {"dropout_start": 0.0, "dropout_seconds": 0.0}
    faint = FAINT * float(np.abs(signal[edges] - signal[edges - 1]).min())
    if not all(_breaks_off(signal, starts[number], stops[number], round(BESIDE * rate), faint) for number in held):
        return {"dropout_start": 0.0, "dropout_seconds": 0.0}
    start, stop = int(starts[longest]), int(stops[longest])
    return {"dropout_start": round(start / rate, 4), "dropout_seconds": round((stop - start) / rate, 4)}


def dropout_remark(row: Mapping[Any, Any], usual: float = 0.0) -> list[str]:
    """What is to be said of a recording's longest dropout, by its row of the sample table.

    Args:
        row: with what `longest_dropout` gives, or without.
        usual: seconds of it in the middle one of the training recordings, as where a recorder begins with zeros; up to
            twice as many are none.

    Example:
        >>> dropout_remark({"dropout_start": 1.25, "dropout_seconds": 0.1})[0].split(":")[0]
        'holds one and the same value for 0.1 s from 1.25 s on, as a dropout does'
    """
    if row.get("dropout_seconds", 0.0) <= 2 * usual:
        return []
    return [f"{_words(row)}, as a dropout does: it may be anomalous by that alone, {CAUSE}."]


def warn_of_dropouts(samples: pd.DataFrame, evidence: str) -> None:
    """Warn, once for all, of rows of a sample table with a dropout; `evidence` is what they are, in the plural."""
    dropped = samples[samples["dropout_seconds"] > 0]
    if len(dropped):
        first = dropped.to_dict("records")[0]
        log.warning(
            "%d of %d %s hold one and the same value for 20 ms or more, as a dropout does. The first, %s, %s: %s.",
            len(dropped), len(samples), evidence, first["path"], _words(first), CAUSE,
        )  # fmt: skip


def _words(row: Mapping[Any, Any]) -> str:
    return f"holds one and the same value for {row['dropout_seconds']:.2g} s from {row['dropout_start']:.2f} s on"


def _breaks_off(signal: Signal, start: int, stop: int, reach: int, faint: float) -> bool:
    """Whether the sound on both sides of a stretch of one value, as far as there are two, is more than faint."""
    sides: list[NDArray[np.float32]] = [signal[max(0, start - reach) : start], signal[stop : stop + reach]]
    return all(float(np.abs(side - signal[start]).max()) > faint for side in sides if len(side))
