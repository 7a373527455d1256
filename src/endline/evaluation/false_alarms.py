"""False alarms among the tested normals, of all and of each domain, counted by physical part."""

from dataclasses import dataclass

import pandas as pd

from endline.evaluation.metrics import is_normal
from endline.evaluation.thresholds import binomial_interval


@dataclass(frozen=True)
class FalseAlarms:
    """Flagged ones of some normals.

    Attributes:
        alarms: number of flagged normals.
        normals: number of normals.
        units: number of physical parts that they show.

    Example:
        >>> few = FalseAlarms(alarms=2, normals=12, units=6)
        >>> few.of_units, [round(end, 3) for end in few.interval]
        (1, [0.004, 0.641])
    """

    alarms: int
    normals: int
    units: int

    @property
    def rate(self) -> float | None:
        """Share of the normals that is flagged; None without a normal."""
        return self.alarms / self.normals if self.normals else None

    @property
    def of_units(self) -> int:
        """Flagged parts: several pictures of one are alarms together or not at all, so parts are what is counted."""
        return round(self.alarms / self.normals * self.units) if self.normals else 0

    @property
    def interval(self) -> tuple[float, float] | tuple[None, None]:
        """95 % interval of the rate; without ends where there is no normal."""
        return binomial_interval(self.of_units, self.units) if self.normals else (None, None)


def false_alarms(scores: pd.DataFrame) -> FalseAlarms:
    """False alarms of a table of verdicts, columns `flagged, label, unit`.

    Example:
        >>> false_alarms(pd.DataFrame({"flagged": [True, False, True], "label": [0, 0, 1], "unit": list("abc")}))
        FalseAlarms(alarms=1, normals=2, units=2)
    """
    normals = scores[is_normal(scores)]
    alarms = normals["flagged"].fillna(False).astype(bool)
    return FalseAlarms(int(alarms.sum()), len(normals), int(normals["unit"].nunique()))


def false_alarms_by_domain(scores: pd.DataFrame) -> dict[str, FalseAlarms]:
    """False alarms of each domain that has a tested normal; none where the column `domain` is empty.

    Example:
        >>> table = pd.DataFrame({"flagged": [True, False], "label": [0, 0], "unit": list("ab")})
        >>> false_alarms_by_domain(table.assign(domain=["target", None]))
        {'target': FalseAlarms(alarms=1, normals=1, units=1)}
    """
    normals = scores[is_normal(scores)]
    return {str(domain): false_alarms(rows) for domain, rows in normals.groupby("domain", sort=True)}
