"""Photographs with the same pixels, whatever their files: one counts, and none where their labels contradict."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from endline.evidence.rejected import Rejections
from endline.samples import TRAIN

Row = dict[str, Any]


def leave_out_copies(rows: Iterable[Row], rejections: Rejections) -> list[Row]:
    """Rows without those of copies, which become rows of the rejected table.

    Of copies one stays, sooner one that trains than one that is tested, sooner one with a label than one without, and
    then the first. A photograph that is both normal and faulty is nothing that can be learned or counted: all its
    copies go, and each says which other one it contradicts.

    Args:
        rows: of the sample table, with `path, split, label`, `category` (copies in another one are none) and `picture`
            (digest of the pixels).
        rejections: where copies are said by name.
    """
    every = list(rows)
    copies: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in every:
        copies[row["category"], row["picture"]].append(row)
    gone: set[int] = set()
    for group in copies.values():
        first, *others = sorted(group, key=lambda row: (row["label"] is None, row["split"] != TRAIN))
        if {0, 1} <= {row["label"] for row in group}:
            rejections.rows += [(row["path"], *_contradiction(row, group)) for row in group]
            gone |= {id(row) for row in group}
            continue
        remedy = "keep one of them, with the right label"
        rejections.rows += [(row["path"], f"the same image as {first['path']}", remedy) for row in others]
        gone |= {id(row) for row in others}
    return [row for row in every if id(row) not in gone]


def _contradiction(row: Mapping[str, Any], group: list[Row]) -> tuple[str, str]:
    other = next(each for each in group if each["label"] is not None and each["label"] != row["label"])
    said = {0: "normal", 1: "faulty", None: "without a label"}
    return (
        f"the same image as {other['path']}, and one is {said[row['label']]}, the other {said[other['label']]}",
        "keep the one with the right label",
    )
