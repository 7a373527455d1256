"""An exhibit: one item shown in full by the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from endline.reporting.turning_view import TurningView

Table = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Exhibit:
    """One item shown in full.

    Attributes:
        sample_id: the item.
        why: heads its group ("most anomalous", "borderline", "missed", "false alarm", or any other words).
        score, p_value, flagged: its verdict.
        label: 0 normal, 1 anomalous, None unknown.
        kind: of fault, None where it is not known.
        figures: (caption, PNG file), 200 pixels an inch.
        sound: an encoded file of the media type `sound_type`, or None.
        sound_type: such as `audio/flac`.
        note: a sentence or two above the figures.
        table: rows of a small table below the figures, the first its heads; () for none.
        turning: a surface that the reader can turn, or None.
        remark: what should be known of the item beside its score.

    Example:
        >>> Exhibit("7.png", "missed", 0.3, 0.4, False, 1, "scratch", figures=()).note
        ''
    """

    sample_id: str
    why: str
    score: float
    p_value: float
    flagged: bool
    label: int | None
    kind: str | None
    figures: tuple[tuple[str, bytes], ...]
    sound: bytes | None = None
    sound_type: str = "audio/flac"
    note: str = ""
    table: Table = ()
    turning: TurningView | None = None
    remark: str = ""


def exhibit_of(
    verdict: Mapping[str, Any],
    figures: Sequence[tuple[str, bytes]],
    *,
    sound: bytes | None = None,
    note: str = "",
    table: Table = (),
    turning: TurningView | None = None,
) -> Exhibit:
    """Exhibit of a row of the shortlist.

    Args:
        verdict: `sample_id, why, score, p_value, flagged, label, kind`; the last two may be missing values.
        figures: (caption, PNG file).
        sound: encoded as FLAC, or None.
        note: a sentence or two above the figures.
        table: as `Exhibit` has it.
        turning: as `Exhibit` has it.

    Example:
        >>> row = {"sample_id": "7.png", "why": "missed", "score": 0.3, "p_value": 0.4, "flagged": False}
        >>> exhibit_of({**row, "label": 1, "kind": None}, []).kind is None
        True
    """
    return Exhibit(
        sample_id=str(verdict["sample_id"]),
        why=str(verdict["why"]),
        score=float(verdict["score"]),
        p_value=float(verdict["p_value"]),
        flagged=bool(verdict["flagged"]),
        label=known_label(verdict["label"]),
        kind=None if pd.isna(verdict["kind"]) else str(verdict["kind"]),
        figures=tuple(figures),
        sound=sound,
        note=note,
        table=table,
        turning=turning,
    )


def known_label(value: Any) -> int | None:
    """0 normal, 1 anomalous, None for a missing value.

    Example:
        >>> known_label(pd.NA) is None, known_label(1)
        (True, 1)
    """
    return None if value is None or pd.isna(value) else int(value)
