"""Verdicts on items, and the table of them."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

NORMAL, ANOMALOUS, NONE = "normal", "anomalous", "none"


@dataclass(frozen=True)
class Verdict:
    """What is said of one item: a row of a table of verdicts.

    Attributes:
        sample_id: the item.
        path: of its file, as given, or relative to the folder that was given.
        digest: SHA-256 of the file, or a digest of those of several; empty where one could not be read.
        verdict: `normal`, `anomalous`, or `none`, which is not normal.
        score: raw, larger = more anomalous; NaN without a verdict.
        p_value: share of normal parts that score as high; NaN without a verdict.
        flagged: whether it is anomalous; None without a verdict.
        reason: why there is no verdict, and the remedy; None where there is one.
        run: of the model that judged.
        station: of that model.
        model: its name and version in the registry, `NAME/3`; empty where it is not registered.
        alias: by which it was chosen, such as `champion`; empty where it was not by one.
        remark: what should be known of it though it was judged, such as a second part in its photograph; empty where
            there is nothing.

    Example:
        >>> Verdict.refused("b.png", "a/b.png", "", "a/b.png is empty: record it again.", "1", "mirror").verdict
        'none'
    """

    sample_id: str
    path: str
    digest: str
    verdict: str
    score: float
    p_value: float
    flagged: bool | None
    reason: str | None
    run: str
    station: str
    model: str = ""
    alias: str = ""
    remark: str = ""

    @classmethod
    def refused(cls, sample_id: str, path: str, digest: str, reason: str, run: str, station: str) -> "Verdict":
        """An item that cannot be judged."""
        return cls(sample_id, path, digest, NONE, math.nan, math.nan, None, reason, run, station)

    @property
    def shown(self) -> str:
        """Path and item in one, as a line names it."""
        if self.sample_id.startswith(self.path):
            return self.sample_id
        return self.path + self.sample_id.removeprefix(Path(self.path).name)

    @property
    def line(self) -> str:
        """The verdict as one line."""
        if self.verdict == NONE:
            return f"NONE       {self.reason}"
        word = "ANOMALOUS" if self.flagged else self.verdict
        return f"{word:9}  score {self.score:8.3f}  p {self.p_value:.4f}  {self.shown}"


COLUMNS = tuple(field.name for field in fields(Verdict))
NUMBERS = {"score": "float64", "p_value": "float64", "flagged": "boolean"}  # types of columns that are no text
ADDED = ("model", "alias", "remark")  # columns that tables of an older endline lack, in the order of their coming


def verdict_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Verdicts as a table, a row an item; columns are the attributes of `Verdict`.

    Example:
        >>> verdict_table([Verdict("a", "a", "e3", "normal", 1.0, 0.5, False, None, "1", "mirror")])["p_value"].tolist()
        [0.5]
    """
    table = pd.DataFrame([asdict(verdict) for verdict in verdicts], columns=list(COLUMNS))
    return table.astype({name: NUMBERS.get(name, object) for name in COLUMNS})
