"""Faults made of normal evidence: altered copies by which detectors are compared where no real fault is known."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.random import Generator

from endline.errors import EndlineError
from endline.samples import NORMAL, TEST, item_of

ContentT = TypeVar("ContentT")
Alter = Callable[[ContentT, float, Generator], ContentT]
SUBTLEST = 0.1  # strength of a fault that hardly shows; the clearest has 1
LENT = ("unit", "group", "section", "domain", "attributes")  # columns that a copy has of its original


def altered_copies(
    originals: Iterable[tuple[pd.DataFrame, ContentT]],
    faults: Mapping[str, Alter[ContentT]],
    write: Callable[[pd.DataFrame, ContentT, str], pd.DataFrame],
    seed: int,
) -> pd.DataFrame:
    """Copies of normal items, each once as it is and once with each fault, of a strength drawn from subtle to clear.

    The copy without a fault is written in the same way as the others: nothing but the fault tells them apart. What is
    drawn depends on the seed, the item's digest and the fault alone.

    Args:
        originals: rows of the sample table of each item, with their `digest`, and what its file holds.
        faults: name -> content, strength in [`SUBTLEST`, 1] and generator to the altered content.
        write: writes a copy under a name without ending, and returns its rows. An EndlineError says that the station
            no longer knows the copy for what it was: it is left out.
        seed: of all faults.

    Returns:
        Rows of the sample table: `kind` is the name of the fault, or `normal`; all are simulated, and none trains.

    Example:
        >>> rows = pd.DataFrame({"sample_id": ["a"], "part": None, "digest": "ff" * 32, "unit": "a"})
        >>> def write(rows, content, name):
        ...     return rows.assign(sample_id=name, content=content)
        >>> copies = altered_copies([(rows, 1.0)], {"gain": lambda content, strength, rng: 9.0}, write, seed=0)
        >>> copies[["sample_id", "kind", "label", "content"]].values.tolist()
        [['normal/00000', 'normal', 0, 1.0], ['gain/00000', 'gain', 1, 9.0]]
    """
    kinds: Mapping[str, Alter[ContentT]] = {NORMAL: lambda content, strength, rng: content, **faults}
    copies: list[pd.DataFrame] = []
    for number, (rows, content) in enumerate(originals):
        own = int(str(rows["digest"].iloc[0])[:12], 16)
        for order, (kind, alter) in enumerate(kinds.items()):
            rng = np.random.default_rng([seed, own, order])
            strength = float(np.exp(rng.uniform(np.log(SUBTLEST), 0.0)))
            try:
                made = write(rows, alter(content, strength, rng), f"{kind}/{number:05d}")
            except EndlineError:
                continue
            lent: dict[str, Any] = {name: rows[name].iloc[0] for name in LENT if name in rows}
            known: dict[str, Any] = {
                "split": TEST,
                "label": int(kind != NORMAL),
                "kind": kind,
                "mask_path": None,
                "simulated": True,
            }
            copies.append(made.assign(**lent, **known))
    return pd.concat(copies, ignore_index=True).astype({"label": "Int8"}) if copies else pd.DataFrame()


def items_of(samples: pd.DataFrame) -> list[pd.DataFrame]:
    """Rows of each item, in the order of the table.

    Example:
        >>> table = pd.DataFrame({"sample_id": ["a#fold", "a#unfold", "b#fold"], "part": ["fold", "unfold", "fold"]})
        >>> [len(rows) for rows in items_of(table)]
        [2, 1]
    """
    return [rows for _, rows in samples.groupby(item_of(samples), sort=False)]
