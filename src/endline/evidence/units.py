"""Which physical part each sample shows: no part may be on both sides of a split, a fold or a hold-out."""

import logging
import re
from pathlib import Path

import pandas as pd

from endline.errors import EndlineError
from endline.evidence.tables import read_own_table
from endline.samples import TEST, TRAIN, item_of

UNITS = "units.csv"
ITEM = "item"  # the setting that takes each item for a part of its own
log = logging.getLogger(__name__)


def with_units(samples: pd.DataFrame, folder: Path, setting: str | None) -> pd.DataFrame:
    r"""The sample table with its `unit` column filled.

    Args:
        samples: the sample table; an item whose part is not known stays a part of its own, which is said. What its
            index says of the parts holds where neither a table nor a setting does.
        folder: raw folder; its table `units.csv` (columns `path, unit`) says which part each file shows.
        setting: a regular expression that is searched for in each path and whose groups together name the part, as
            `exp\d_num_(\d+)`, or `([^/]+)/[^/]+$` for the folder that a file lies in; `item` for each item a part of
            its own, whatever table there is; None for the table, where there is one.

    Raises:
        EndlineError: for an expression that is none or has no group, and a table that lacks a column or gives one file
            two parts.

    Example:
        >>> samples = pd.DataFrame({"sample_id": ["a_1.png", "a_2.png"], "path": ["a_1.png", "a_2.png"]})
        >>> with_units(samples, Path("raw"), r"(\w)_\d")["unit"].tolist()
        ['a', 'a']
    """
    items = item_of(samples)
    if setting is None and "unit" in samples and not (folder / UNITS).exists():
        return samples
    if setting == ITEM or (setting is None and not (folder / UNITS).exists()):
        return samples.assign(unit=items)
    known = _by_table(samples, folder / UNITS) if setting is None else _by_expression(samples, setting)
    missing = samples.loc[known.isna(), "path"].unique()
    if len(missing) == samples["path"].nunique():
        said = f"{folder / UNITS} names none of the files" if setting is None else f"unit={setting} matches no path"
        raise EndlineError(
            f"{said}, the first of which is {missing[0]}: correct it, or give unit=item where no part comes twice."
        )
    if len(missing):
        log.warning(
            "Of %d file(s) it is not known which part they show (%s): each counts as a part of its own.",
            len(missing),
            ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else ""),
        )
    return samples.assign(unit=known.fillna(items))


def _by_expression(samples: pd.DataFrame, expression: str) -> pd.Series:
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise EndlineError(f"unit={expression} is no regular expression ({error}): correct it.") from error
    if not pattern.groups:
        raise EndlineError(f"unit={expression} has no group: bracket what names the part, as in num_([0-9]+).")
    found = samples["path"].map(pattern.search)
    return found.map(lambda match: None if match is None else "/".join(name or "" for name in match.groups()))


def _by_table(samples: pd.DataFrame, path: Path) -> pd.Series:
    table = read_own_table(path)
    if lacking := [name for name in ("path", "unit") if name not in table]:
        raise EndlineError(f"{path} has no column '{lacking[0]}': it needs the columns path and unit.")
    table = table.assign(path=table["path"].str.strip().str.replace("\\", "/"), unit=table["unit"].str.strip())
    table = table[table["unit"] != ""].drop_duplicates(["path", "unit"])
    if (twice := table["path"].duplicated()).any():
        name = table.loc[twice, "path"].iloc[0]
        units = ", ".join(table.loc[table["path"] == name, "unit"])
        raise EndlineError(f"{path} says that {name} shows the parts {units}: keep the one that it shows.")
    known = dict(zip(table["path"], table["unit"], strict=True))
    of_item = item_of(samples).map(known)
    return samples["path"].map(known).fillna(of_item)  # a file of many cycles has a unit for each


def without_mixed_units(samples: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str, str]]]:
    """The table without normal items of parts that have faulty ones too, and path, reason and remedy of each.

    Trained on, such a part would be on both sides; tested, what its normal pictures show may be part of the fault.

    Raises:
        EndlineError: when no normal item is left.

    Example:
        >>> samples = pd.DataFrame({"path": ["a", "b", "c"], "unit": ["1", "1", "2"], "label": [0, 1, 0]})
        >>> kept, left_out = without_mixed_units(samples)
        >>> kept["path"].tolist(), left_out[0][:2]
        (['b', 'c'], ('a', "it is normal, but its part '1' has faulty ones too"))
    """
    normal, faulty = (samples["label"] == 0).fillna(False), (samples["label"] == 1).fillna(False)
    mixed = normal & samples["unit"].isin(samples.loc[faulty, "unit"])
    if mixed.any() and not (normal & ~mixed).any():
        raise EndlineError(
            f"Each of the {samples.loc[normal, 'unit'].nunique()} normal parts has faulty items too, so that nothing "
            "is left to learn from: correct units.csv, or give unit=item to split items instead of parts."
        )
    left_out = samples.loc[mixed, ["path", "unit"]].drop_duplicates("path")
    remedy = "nothing is to be done, or correct its label or its part"
    rows = [
        (str(path), f"it is normal, but its part '{unit}' has faulty ones too", remedy)
        for path, unit in zip(left_out["path"], left_out["unit"], strict=True)
    ]
    return samples[~mixed].reset_index(drop=True), rows


def units_on_both_sides(samples: pd.DataFrame) -> list[str]:
    """Names of the parts that a published split has in training and in test, sorted.

    Example:
        >>> units_on_both_sides(pd.DataFrame({"unit": ["a", "a", "b"], "split": ["train", "test", "test"]}))
        ['a']
    """
    sides = {split: set(samples.loc[samples["split"] == split, "unit"]) for split in (TRAIN, TEST)}
    return sorted(sides[TRAIN] & sides[TEST])
