"""The baseline of ignorance: how far a few summary numbers of the raw evidence go, without any detector."""

import numpy as np
import pandas as pd

from endline.evaluation.controls import items_of, labelled_auroc
from endline.evaluation.metrics import Auroc

SUMMARY = "summary"  # array of a few numbers of the raw evidence
NEIGHBOURS = 5


def with_baseline(verdicts: pd.DataFrame, samples: pd.DataFrame, numbers: pd.DataFrame | None) -> pd.DataFrame:
    """Verdicts with a column `baseline`, what a glance at the summary numbers alone says of each item; NaN without any.

    It is the mean distance to the five nearest training items, each number in units of its spread.

    Args:
        verdicts: one row a tested item, column `sample_id`.
        samples: the sample table.
        numbers: summary numbers of the items, see `item_numbers`; None where the evidence has none.

    Example:
        >>> samples = pd.DataFrame({"sample_id": list("abcd"), "split": ["train"] * 2 + ["test"] * 2, "label": 0})
        >>> torque = pd.DataFrame({"minimum": [1.0, 3.0, 2.0, 9.0]}, index=list("abcd"))
        >>> with_baseline(samples[2:], samples, torque)["baseline"].tolist()
        [1.0, 7.0]
    """
    distances = None if numbers is None or numbers.empty else _distances(samples, numbers)
    known = {} if distances is None else distances.to_dict()
    return verdicts.assign(baseline=verdicts["sample_id"].map(known).astype(float))


def baseline_auroc(scores: pd.DataFrame) -> Auroc | None:
    """AUROC of the column `baseline`; None where there is none, or a class is not in the test set.

    A detector that does not beat it has found nothing that a glance at the signal would not show.

    Args:
        scores: verdicts with their labels, as `with_baseline` gives them.

    Example:
        >>> baseline_auroc(pd.DataFrame({"baseline": [1.0, 7.0], "label": [0, 1]})).auroc
        1.0
    """
    known = scores[scores["baseline"].notna()]
    return labelled_auroc(known["baseline"].to_numpy(np.float64), known)


def _distances(samples: pd.DataFrame, numbers: pd.DataFrame) -> pd.Series | None:
    """Distances of the tested items, by item."""
    training, tested = (items_of(samples, numbers, split) for split in ("train", "test"))
    if len(training) < 2 or tested.empty:
        return None
    known, new = (numbers.loc[items.index].to_numpy(np.float64) for items in (training, tested))
    spread = known.std(0)
    spread[spread == 0] = 1.0  # in its own units: a departure from what was constant still counts
    from scipy.spatial import KDTree  # takes longer than a verdict, which does without

    near = min(NEIGHBOURS, len(known))
    distances = np.asarray(KDTree(known / spread).query(new / spread, k=near)[0]).reshape(len(new), near).mean(1)
    return pd.Series(distances, tested.index)
