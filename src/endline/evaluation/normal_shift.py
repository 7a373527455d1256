"""Whether tested normal parts are like the held-out ones: if not, the stated false-alarm rate is not theirs."""

import math
from dataclasses import dataclass

import pandas as pd

from endline.evaluation.metrics import is_normal

SIGNIFICANT = 0.05  # probability of N false alarms or more, below which they are not chance
UNLIKELY = 0.01  # probability of such a shift among parts of one production, below which it is said


@dataclass(frozen=True)
class NormalShift:
    """How far the scores of tested normal parts lie above those of the held-out ones.

    Attributes:
        exceeded: mean share in [0, 1] of the held-out normals that a tested normal part exceeds; 0.5 where
            they are alike.
        p_value: probability of as large a share or a larger one, if both come from one production.

    Example:
        >>> NormalShift(exceeded=0.64, p_value=0.003).p_value < UNLIKELY
        True
    """

    exceeded: float
    p_value: float


def normal_shift(scores: pd.DataFrame, held_out: int) -> NormalShift | None:
    """Compare tested normals with held-out ones by the rank-sum test (Mann and Whitney 1947), a part counting once.

    A conformal p-value is (k + 1) / (n + 1) where k of n held-out normals are as anomalous as an item or more, which
    gives the share that it exceeds. If all come from one production the mean of m parts is 0.5, with variance
    (n + m + 1) / (12 n m). Where a rate is kept in every domain the p-value is the largest of the domains, so that the
    shift is taken to be smaller than it is.

    Args:
        scores: verdicts, columns `p_value, label, unit`.
        held_out: number n of the held-out parts behind the p-values.

    Returns:
        The shift; None without a tested normal that has a p-value.

    Example:
        >>> table = pd.DataFrame({"p_value": [0.1, 0.3] * 10, "label": 0, "unit": range(20)})
        >>> shift = normal_shift(table, held_out=40)
        >>> round(shift.exceeded, 3), shift.p_value < UNLIKELY
        (0.82, True)
    """
    normals = scores[is_normal(scores)].dropna(subset="p_value")
    if normals.empty or held_out < 1:
        return None
    own = (1 - normals.groupby("unit", dropna=False)["p_value"].mean()) * (held_out + 1) / held_out
    deviation = math.sqrt((held_out + len(own) + 1) / (12 * held_out * len(own)))
    exceeded = float(own.mean())
    return NormalShift(exceeded, math.erfc((exceeded - 0.5) / deviation / math.sqrt(2)) / 2)


def is_shifted(p_value: float | None, false_alarm_p_value: float | None = None) -> bool:
    """Whether chance hardly explains how the tested normals lie, less so where it does not explain their alarms.

    Args:
        p_value: of the shift; None where it is not known, and nothing is said.
        false_alarm_p_value: probability of as many false alarms or more; too many of them have a reason.

    Example:
        >>> is_shifted(0.03), is_shifted(0.03, false_alarm_p_value=0.001), is_shifted(0.003)
        (False, True, True)
    """
    expected = false_alarm_p_value is not None and false_alarm_p_value < SIGNIFICANT
    return p_value is not None and p_value < (SIGNIFICANT if expected else UNLIKELY)
