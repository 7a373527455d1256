"""The sample table: one row a sample, the same columns for every kind of evidence.

An *item* is what one verdict is about (a recording, a part); its samples are its parts (the two motions).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from endline.errors import EndlineError

if TYPE_CHECKING:
    import pandera.pandas as pa

NORMAL = "normal"
MINIMUM_TRAINING_ITEMS = 3
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


def check_training_items(count: int, otherwise: str) -> None:
    """Say when too few normal items would train; `otherwise` is the remedy besides recording more.

    Raises:
        EndlineError: below `MINIMUM_TRAINING_ITEMS`.
    """
    if count < MINIMUM_TRAINING_ITEMS:
        raise EndlineError(
            f"{count} normal item(s) would train, at least {MINIMUM_TRAINING_ITEMS} are needed: "
            f"record more good parts (forty make a fair start), or {otherwise}."
        )


@dataclass(frozen=True)
class SplitRule:
    """How normal items are divided into training and test, whole units together; every other item is tested.

    Attributes:
        train: number of normal items that train (int >= 1) or their share (float in (0, 1]); ignored with `folds`.
            Whole units are taken until there are as many items or more.
        folds: number of folds (>= 2) of a k-fold division, or None.
        fold: the fold that is tested, 0 <= fold < folds.
        shuffle: seed of the k-fold division: `default_rng(shuffle).permutation` of the names of the units in order,
            then `array_split`, as in the protocol mirror42.

    Example:
        >>> sorted(SplitRule(train=3).training_units({"a": 1, "b": 1, "c": 1, "d": 1}, seed=0))
        ['a', 'b', 'c']
    """

    train: int | float = 0.7
    folds: int | None = None
    fold: int = 0
    shuffle: int = 0

    def training_units(self, normals: Mapping[str, int], seed: int) -> set[str]:
        """Names of the units whose normal items train.

        Args:
            normals: number of normal items of each unit of one group; the order does not matter.
            seed: seed of the division by count or share.

        Raises:
            EndlineError: when the rule cannot be met or leaves too few items to learn from.
        """
        names = np.array(sorted(normals))
        items = np.array([normals[name] for name in names])
        if self.folds is not None:
            if not 2 <= self.folds <= len(names) or not 0 <= self.fold < self.folds:
                raise EndlineError(
                    f"folds={self.folds}, fold={self.fold} does not divide {len(names)} normal parts: "
                    "folds goes from 2 to their number, fold from 0 to folds - 1."
                )
            order = np.random.default_rng(self.shuffle).permutation(len(names))
            tested = np.array_split(order, self.folds)[self.fold]
            chosen = np.setdiff1d(order, tested)
        else:
            count = self.train if isinstance(self.train, int) else round(self.train * int(items.sum()))
            if not 0 < count <= items.sum():
                raise EndlineError(
                    f"train={self.train} asks for {count} of {items.sum()} normal items: "
                    "give a count up to their number, or a share between 0 and 1."
                )
            order = np.random.default_rng(seed).permutation(len(names))
            chosen = order[: int(np.searchsorted(np.cumsum(items[order]), count)) + 1]
        check_training_items(int(items[chosen].sum()), "let more of them train (train=0.9)")
        return {str(name) for name in names[chosen]}


def assign_split(samples: pd.DataFrame, rule: SplitRule, seed: int) -> pd.DataFrame:
    """Copy of the table with its `split` column filled, group by group; no unit is on both sides.

    Raises:
        EndlineError: when a group has no normal item, or the rule cannot be met.
    """
    items, units = item_of(samples), samples["unit"]
    split = pd.Series(TEST, index=samples.index)
    for group, rows in samples.groupby("group", sort=True).groups.items():
        normal = rows[(samples.loc[rows, "label"] == 0).fillna(False)]
        if len(normal) == 0:
            raise EndlineError(
                f"Group '{group}' has no normal item, and endline learns from good parts only: "
                "label good ones '0' (or 'normal') in labels.csv, or put them into a folder named 'normal'."
            )
        counts = items[normal].groupby(units[normal]).nunique().to_dict()
        training = rule.training_units(counts, seed)
        split[normal[units[normal].isin(training)]] = TRAIN
    return samples.assign(split=split)


def divided(index: Index, split: Mapping[str, Any], seed: int, remedy: str) -> pd.DataFrame:
    """Sample table of an index, its split that of the data set, or assigned by the rule in `split`.

    Args:
        index: of the raw folder.
        split: the fields of `SplitRule`, among others.
        seed: of a division by count or share.
        remedy: how more samples of a published split are taken, as a half sentence.

    Raises:
        EndlineError: when too few normal items would train.
    """
    if index.published_split:
        check_training_items(int((index.samples["split"] == TRAIN).sum()), remedy)
        return check_samples(index.samples)
    rule = SplitRule(**{each.name: split[each.name] for each in fields(SplitRule)})
    return check_samples(assign_split(index.samples, rule, seed))
