"""How high parts stand: a relief is relative to its part's own mean depth, and says nothing of it."""

import logging

import pandas as pd

from endline.evidence.scans.columns import Columns
from endline.evidence.usual_range import UsualRange

LEAST = 0.02  # of the height: by so much a good part may stand higher or lower than all that train
log = logging.getLogger(__name__)


def usual_heights(training: pd.DataFrame) -> UsualRange | None:
    """Range of the mm by which training parts lie before their support on the mean; None where they have none.

    Without it a part which is too thick, or lies on something, looks like a good one.

    Args:
        training: rows of the sample table, `before` and `unit`.

    Example:
        >>> usual_heights(pd.DataFrame({"before": [29.0, 31.0], "unit": ["a", "b"]})).least
        0.62
    """
    low, high = float(training["before"].min()), float(training["before"].max())
    if low == high == 0:
        return None
    return UsualRange(low, high, int(training["unit"].nunique()), LEAST * max(abs(low), abs(high)))


def warn_of_height(name: str, columns: Columns, heights: UsualRange | None) -> None:
    """Name a part whose height is beyond that of those that train.

    Args:
        name: of the part.
        columns: as `scan_columns` gives them.
        heights: see `usual_heights`.
    """
    if heights is not None and heights.beyond(columns["before"]):
        log.warning(
            "%s lies %.4g mm before its support on the mean, those that train %.4g to %.4g mm: that counts as an "
            "anomaly by itself. Look whether it is another part, or lies on something.",
            name,
            columns["before"],
            heights.low,
            heights.high,
        )
