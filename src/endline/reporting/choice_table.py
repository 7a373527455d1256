"""What the report says of a choice among detectors, in words: how well each told synthetic faults, and at what cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """A row of the table, as text.

    Attributes:
        name: of the detector.
        chosen: whether it was taken.
        criterion: mean AUROC over the kinds of synthetic faults.
        behind: what the best candidate is ahead by, and the standard error of that.
        divisions: the criterion by each division into fitted and held-out parts.
        areas: AUROC of each kind.
        seconds: time that fitting and judging took, with the arrays that were made for it.

    Example:
        >>> Candidate("pca", True, "0.912", "0.004 ± 0.006", "0.910, 0.914", ("0.912",), "3").chosen
        True
    """

    name: str
    chosen: bool
    criterion: str
    behind: str
    divisions: str
    areas: tuple[str, ...]
    seconds: str


@dataclass(frozen=True)
class ChoiceTable:
    """The choice of a run.

    Attributes:
        reason: why the detector was taken, in a sentence.
        kinds: of the synthetic faults.
        rows: of the candidates that were judged, in their order.
        left_out: name and reason of those that were not.

    Example:
        >>> ChoiceTable("pca is the only candidate.", (), (), ()).rows
        ()
    """

    reason: str
    kinds: tuple[str, ...]
    rows: tuple[Candidate, ...]
    left_out: tuple[tuple[str, str], ...]


def choice_table(choice: Mapping[str, Any] | None) -> ChoiceTable | None:
    """Table of a choice; None where the detector was named, and nothing chosen.

    Args:
        choice: as the node `choose` gives it.

    Example:
        >>> choice_table({"chosen": "pca", "chosen_reason": "pca is the only candidate.", "candidates": []}).reason
        'pca is the only candidate.'
    """
    if choice is None or choice["chosen"] is None:
        return None
    judged = [row for row in choice["candidates"] if row["left_out"] is None]
    kinds = tuple(judged[0]["by_kind"]) if judged else ()
    rows = tuple(_row(row, kinds, choice["chosen"]) for row in judged)
    left_out = tuple(
        (row["detector"], row["left_out"].rstrip(".")) for row in choice["candidates"] if row["left_out"] is not None
    )
    return ChoiceTable(choice["chosen_reason"], kinds, rows, left_out)


def _row(row: Mapping[str, Any], kinds: tuple[str, ...], chosen: str) -> Candidate:
    behind = "best" if row["behind"] <= 0 else f"{row['behind']:.3f} ± {row['error']:.3f}"
    return Candidate(
        name=row["detector"],
        chosen=row["detector"] == chosen,
        criterion=f"{row['criterion']:.3f}",
        behind=behind,
        divisions=", ".join(f"{area:.3f}" for area in row["by_division"]),
        areas=tuple(f"{row['by_kind'][kind]:.3f}" for kind in kinds),
        seconds=f"{row['seconds']:.3g}",
    )
