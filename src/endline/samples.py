"""The sample table: one row a sample, the same columns for every kind of evidence.

An *item* is what one verdict is about (a recording, a part); its samples are its parts (the two motions).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.errors import EndlineError

if TYPE_CHECKING:
    import pandera.pandas as pa

NORMAL = "normal"
REJECTED_COLUMNS = ("path", "reason", "remedy")

TRAIN, TEST, OUTLIER = "train", "test", "outlier"

# Column -> value where an index says nothing else; None is missing.
DEFAULTS: Mapping[str, object] = {
    "sample_id": None,  # unique
    "path": None,  # of the file, relative to the raw folder
    "unit": None,  # the physical part that was recorded; by default the item itself
    "group": None,
    "section": None,  # a part of a group that is judged by itself, as in DCASE
    "domain": None,
    "attributes": None,  # what file name or table say of working conditions, as text
    "split": TEST,  # `train`, `test`, or `outlier`: normals of other classes, for methods that learn from them
    "label": None,
    "kind": None,
    "part": None,
    "mask_path": None,
    "simulated": False,
}
TEXTS = ("section", "domain", "attributes", "kind", "part", "mask_path")  # may be missing


def check_samples(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the table as it is, if it keeps the contract.

    Raises:
        EndlineError: naming the column and the first offending value.
    """
    import pandera.errors

    try:
        return _schema().validate(samples)
    except pandera.errors.SchemaError as error:
        raise EndlineError(f"The sample table breaks its contract: {error}") from error


@cache
def _schema() -> "pa.DataFrameSchema":
    import pandera.pandas as pa  # half a second of import, which a verdict on one file need not wait for

    texts = {name: pa.Column(str, nullable=True) for name in TEXTS}
    return pa.DataFrameSchema(
        {
            "sample_id": pa.Column(str, unique=True),
            "path": pa.Column(str),
            "unit": pa.Column(str),
            "group": pa.Column(str),
            "split": pa.Column(str, pa.Check.isin([TRAIN, TEST, OUTLIER])),
            "label": pa.Column("Int8", pa.Check.isin([0, 1]), nullable=True),
            "simulated": pa.Column(bool),
            **texts,
        },
        checks=pa.Check(
            lambda table: ~((table["split"] != TEST) & (table["label"] != 0).fillna(True)),
            name="only samples known to be normal are learned from",
        ),
        strict=False,
    )


def sample_table(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Sample table of rows that give what they know; `DEFAULTS` stand for the rest, and the item for the unit.

    Example:
        >>> table = sample_table([{"sample_id": "a.wav#fold", "path": "a.wav", "group": "mirror", "part": "fold"}])
        >>> table.loc[0, ["unit", "split"]].tolist()
        ['a.wav', 'test']
    """
    table = pd.DataFrame([{**DEFAULTS, **row} for row in rows])
    texts = dict.fromkeys(TEXTS, object)
    table = table.astype({"label": "Int8", "simulated": bool, **texts})
    return table.assign(unit=table["unit"].fillna(item_of(table)))


def item_of(samples: pd.DataFrame) -> pd.Series:
    """Item of every row, (rows,): the sample id without the `#part` of the row's own part (or one of several joined).

    A `#` of a file's name stays, so that `a#1.png` and `a#2.png` are two items. Of a table without the column `part`,
    which no sample table is, every `#` begins a part.
    """
    if "part" not in samples:
        return samples["sample_id"].str.rsplit("#", n=1).str[0]
    parts = samples["part"]
    items = [_item(name, part) for name, part in zip(samples["sample_id"], parts, strict=True)]
    return pd.Series(items, index=samples.index, name="sample_id", dtype=samples["sample_id"].dtype)


def _item(sample_id: str, part: object) -> str:
    item, _, end = sample_id.rpartition("#")
    return item if isinstance(part, str) and item and end in part.split("+") else sample_id


def regular_rows(table: pd.DataFrame, by: Sequence[str], most: int) -> NDArray[np.int64]:
    """Positions (n,), rising, of at most `most` rows of each group of a table, at regular distances.

    Example:
        >>> regular_rows(pd.DataFrame({"domain": ["source"] * 6 + [None]}), ["domain"], 3).tolist()
        [0, 2, 5, 6]
    """
    groups = table.groupby(list(by), dropna=False, sort=False).indices.values()
    taken = [rows[np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))] for rows in groups]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *taken]))


def rejected_table(rows: Sequence[tuple[str, str, str]]) -> pd.DataFrame:
    """Table of the files that could not be used, columns `path, reason, remedy`."""
    return pd.DataFrame(list(rows), columns=list(REJECTED_COLUMNS), dtype=str)


@dataclass(frozen=True)
class Index:
    """What lies in a raw folder.

    Attributes:
        samples: the sample table, with the columns of its kind of evidence beside those of `DEFAULTS`, and `digest`
            (of what the file holds).
        rejected: the files that cannot be used, with reason and remedy.
        published_split: whether `split` is that of the data set; otherwise it is still to be assigned.
        facts: what holds for all samples and a preparation needs (the names of the signals), as JSON can write it.

    Example:
        >>> Index(sample_table([{"sample_id": "a", "path": "a"}]), rejected_table([])).published_split
        False
    """

    samples: pd.DataFrame
    rejected: pd.DataFrame
    published_split: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
