"""Who trains and who is tested: rules that divide whole units, so that no part is on both sides."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.errors import EndlineError
from endline.samples import OUTLIER, TEST, TRAIN, Index, check_samples, item_of

MINIMUM_TRAINING_ITEMS = 3
log = logging.getLogger(__name__)


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
            chosen = _drawn(items, count, seed)
        check_training_items(int(items[chosen].sum()), "let more of them train (train=0.9)")
        return {str(name) for name in names[chosen]}


def _drawn(items: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Numbers of units, drawn until they have `count` items or more together, by the items (units,) of each."""
    order = np.random.default_rng(seed).permutation(len(items))
    return order[: int(np.searchsorted(np.cumsum(items[order]), count)) + 1]


def few_shots(samples: pd.DataFrame, shots: int, seed: int) -> pd.DataFrame:
    """The table of a published split with a few training items of each domain, or of the group where there are none.

    Whole units are drawn until there are `shots` items or more; the others are left out.

    Raises:
        EndlineError: for more shots than there are training items, or none.

    Example:
        >>> from endline.samples import sample_table
        >>> known = {"group": "g", "label": 0, "split": "train"}
        >>> samples = sample_table({"sample_id": f"{n}.png", "path": f"{n}.png", **known} for n in range(9))
        >>> len(few_shots(samples, 4, seed=0))
        4
    """
    training = samples[samples["split"] == TRAIN]
    kept: set[str] = set()
    names = training["domain"].fillna(training["group"])
    for name, rows in training.groupby(names, sort=True):
        counts = item_of(rows).groupby(rows["unit"]).nunique().sort_index()
        if not 1 <= shots <= counts.sum():
            raise EndlineError(
                f"shots={shots} does not go with the {counts.sum()} training items of {name}: "
                "give a number from 1 to theirs."
            )
        kept |= set(counts.index[_drawn(np.asarray(counts, np.int64), shots, seed)])
    stays = (samples["split"] != TRAIN) | samples["unit"].isin(kept)
    return samples[stays].reset_index(drop=True)


def assign_split(samples: pd.DataFrame, rule: SplitRule, seed: int) -> pd.DataFrame:
    """Copy of the table with its `split` column filled, group by group, and in a group domain by domain.

    No unit is on both sides: one that was recorded in several domains counts to the first of them. Outliers, normal
    samples of other classes, stay what they are.

    Raises:
        EndlineError: when a group has no normal item, or the rule cannot be met.
    """
    items, units = item_of(samples), samples["unit"]
    split = samples["split"].where(samples["split"] == OUTLIER, TEST)
    for group, rows in samples.groupby("group", sort=True).groups.items():
        normal = rows[(samples.loc[rows, "label"] == 0).fillna(False) & (split[rows] == TEST)]
        if len(normal) == 0:
            raise EndlineError(
                f"Group '{group}' has no normal item, and endline learns from good parts only: "
                "label good ones '0' (or 'normal') in labels.csv, or put them into a folder named 'normal'."
            )
        domains = samples.loc[normal, "domain"].fillna("").groupby(units[normal]).transform("min")
        for rows_of_domain in samples.loc[normal].groupby(domains).groups.values():
            counts = items[rows_of_domain].groupby(units[rows_of_domain]).nunique().to_dict()
            training = rule.training_units(counts, seed)
            split[rows_of_domain[units[rows_of_domain].isin(training)]] = TRAIN
    return samples.assign(split=split)


def divided(index: Index, split: Mapping[str, Any], seed: int, remedy: str) -> pd.DataFrame:
    """Sample table of an index, its split that of the data set, or assigned by the rule in `split`.

    That of the data set holds where it tests anything: of `train/good` alone a share of the normal ones is tested.

    Args:
        index: of the raw folder.
        split: the fields of `SplitRule`, and `shots`, see `few_shots`, where the station has it.
        seed: of a division by count or share.
        remedy: how more samples of a published split are taken, as a half sentence.

    Raises:
        EndlineError: when too few normal items would train, or none is left to be tested.
    """
    samples = index.samples
    published = index.published_split and bool((samples["split"] == TEST).any())
    if index.published_split and not published:
        log.info("The data set names none that is tested: the normal ones are divided by the settings (train, folds).")
        samples = samples.assign(split=samples["split"].where(samples["split"] != TRAIN, TEST))
    if not published:
        samples = assign_split(samples, SplitRule(**{each.name: split[each.name] for each in fields(SplitRule)}), seed)
    if (shots := split.get("shots")) is not None:
        samples = few_shots(samples, shots, seed)
    check_training_items(int((samples["split"] == TRAIN).sum()), remedy)
    if not (samples["split"] == TEST).any():
        raise EndlineError(
            f"All {len(samples)} samples train, and none is left to be tested: let fewer of them train (train=0.8), or "
            "add some that are tested, good ones or unknown."
        )
    return check_samples(samples)
