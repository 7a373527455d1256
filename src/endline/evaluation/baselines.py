"""The baseline of ignorance: how far a few summary numbers of the raw evidence go, without any detector."""

import numpy as np
import pandas as pd

from endline.evaluation.controls import items_of, labelled_auroc
from endline.evaluation.metrics import Auroc

SUMMARY = "summary"  # array of a few numbers of the raw evidence
NEIGHBOURS = 5


def baseline_auroc(samples: pd.DataFrame, numbers: pd.DataFrame | None) -> Auroc | None:
    """AUROC of the mean distance to the five nearest training items in the summary numbers alone, each standardised.

    A detector that does not beat it has found nothing that a glance at the signal would not show.

    Args:
        samples: the sample table.
        numbers: summary numbers of the items, see `item_numbers`; None where the evidence has none.

    Returns:
        None where there are no numbers, or a class is not in the test set.

    Example:
        >>> samples = pd.DataFrame({"sample_id": list("abcdef"), "split": ["train"] * 3 + ["test"] * 3})
        >>> samples["label"] = [0, 0, 0, 0, 1, 1]
        >>> torque = pd.DataFrame({"minimum": [1.0, 2.0, 3.0, 2.0, 9.0, 8.0]}, index=list("abcdef"))
        >>> baseline_auroc(samples, torque).auroc
        1.0
    """
    scores = baseline_scores(samples, numbers)
    if scores is None or numbers is None:
        return None
    tested = items_of(samples, numbers, "test")
    return labelled_auroc(scores.loc[tested.index].to_numpy(np.float64), tested)


def baseline_scores(samples: pd.DataFrame, numbers: pd.DataFrame | None) -> pd.Series | None:
    """Score of each tested item, by item, whose AUROC `baseline_auroc` is; None where there are no numbers.

    Example:
        >>> samples = pd.DataFrame({"sample_id": list("abcd"), "split": ["train"] * 2 + ["test"] * 2})
        >>> torque = pd.DataFrame({"minimum": [1.0, 3.0, 2.0, 9.0]}, index=list("abcd"))
        >>> baseline_scores(samples.assign(label=[0, 0, 0, 1]), torque).to_dict()
        {'c': 1.0, 'd': 7.0}
    """
    if numbers is None or numbers.empty:
        return None
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
