"""How high parts stand: a relief is relative to its part's own mean depth, and says nothing of it."""

import pandas as pd

from endline.evidence.usual_range import UsualRange

LEAST = 0.02  # of the height: by so much a good part may stand higher or lower than all that train


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


def height_remark(before: float, heights: UsualRange | None) -> str:
    """What is to be said of a part's height: nothing where it is not beyond that of those that train.

    Args:
        before: mm by which it lies before its support, see `Relief`.
        heights: see `usual_heights`.

    Example:
        >>> height_remark(30.0, UsualRange(29.0, 31.0, count=50, least=0.6))
        ''
    """
    if heights is None or not heights.beyond(before):
        return ""
    return (
        f"lies {before:.4g} mm before its support on the mean, those that train {heights.low:.4g} to "
        f"{heights.high:.4g} mm: that counts as an anomaly by itself. Look whether it is another part, or lies on "
        "something."
    )
