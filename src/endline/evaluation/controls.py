"""The control: does the part of the evidence that cannot show the fault give the label away all the same?"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from endline.detectors.statistics import shrunk_gaussian
from endline.evaluation.metrics import Auroc, auroc, is_anomalous, is_normal
from endline.feature_set import FeatureSet
from endline.samples import item_of

WARNING_LEVEL = 0.6
SHRINKAGE = 0.05  # share of the mean variance that is mixed into the covariance
CONTROL = "control"  # array of numbers in which nothing of a fault can be


def control_auroc(samples: pd.DataFrame, control: pd.DataFrame | None) -> Auroc | None:
    """AUROC of a shrunk Gaussian on the control numbers alone, fitted on those of the training items.

    Near 0.5 all is well. Above `WARNING_LEVEL` the label shows without the fault (another sitting, another room), and
    the AUROC of the whole evidence says nothing about the fault.

    Args:
        samples: the sample table.
        control: numbers of the items, float columns, indexed by item (the sample id without its `#part`); None where
            the evidence has none.

    Returns:
        None where there is no control, or a class is not in the test set.

    Example:
        >>> samples = pd.DataFrame({"sample_id": list("abcdef"), "split": ["train"] * 3 + ["test"] * 3})
        >>> samples["label"] = [0, 0, 0, 0, 1, 1]
        >>> loudness = pd.DataFrame({"level": [1.0, 2.0, 3.0, 2.0, 9.0, 8.0]}, index=list("abcdef"))
        >>> control_auroc(samples, loudness).auroc  # the faulty ones were recorded louder
        1.0
    """
    if control is None or missing_for_control(samples, control):
        return None
    training, tested = (items_of(samples, control, split) for split in ("train", "test"))
    scores = _distances(control.loc[training.index].to_numpy(float), control.loc[tested.index].to_numpy(float))
    return labelled_auroc(scores, tested)


def labelled_auroc(scores: NDArray[np.float64], items: pd.DataFrame) -> Auroc | None:
    """AUROC of scores (items,) by the `label` of the items, resampled by their `unit` where they have one."""
    normal, anomalous = is_normal(items).to_numpy(), is_anomalous(items).to_numpy()
    units = items["unit"].to_numpy(str) if "unit" in items else None
    of = None if units is None else (units[normal], units[anomalous])
    return auroc(scores[normal], scores[anomalous], units=of)


def missing_for_control(samples: pd.DataFrame, control: pd.DataFrame | None) -> str | None:
    """Why there is no control AUROC; None where there is one. Arguments as of `control_auroc`."""
    if control is None or control.empty:
        return "no control in these data"
    if (control == control.iloc[0]).all(axis=None):
        return "the control numbers are the same for all items"
    if len(items_of(samples, control, "train")) < 2:
        return "fewer than two training items have a control"
    tested = items_of(samples, control, "test")
    if not is_normal(tested).any() or not is_anomalous(tested).any():
        return "no labelled normal or no labelled anomaly with a control in the test"
    return None


def item_numbers(samples: pd.DataFrame, features: FeatureSet, array: str) -> pd.DataFrame | None:
    """Numbers of the items: an array of their first rows; None where the evidence has no such array.

    Args:
        samples: the sample table.
        features: its feature set, row by row.
        array: its name, `control` or `summary`, whose rows are the same for all parts of an item.

    Example:
        >>> samples = pd.DataFrame({"sample_id": ["a#fold", "a#unfold", "b#fold", "b#unfold"]})
        >>> features = FeatureSet({"control": np.array([[1.0], [1.0], [2.0], [2.0]], "f4")})
        >>> item_numbers(samples, features, "control")[0].to_dict()
        {'a': 1.0, 'b': 2.0}
    """
    if array not in features:
        return None
    items = item_of(samples)
    rows = np.flatnonzero(~items.duplicated().to_numpy())
    values = features.only((array,)).read(rows)[array].numpy()
    return pd.DataFrame(values, index=items.iloc[rows].to_numpy())


def items_of(samples: pd.DataFrame, numbers: pd.DataFrame, split: str) -> pd.DataFrame:
    """Label, and unit where there is one, of the items of a split that have numbers, indexed by item."""
    columns = [name for name in ("label", "unit") if name in samples]
    chosen = samples.loc[(samples["split"] == split).to_numpy(), columns]
    labels = chosen.set_axis(item_of(samples).loc[chosen.index], axis=0)
    labels = labels[~labels.index.duplicated()]
    return labels[labels.index.isin(numbers.index)]


def _distances(training: NDArray[np.float64], tested: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared Mahalanobis distances (m,) of tested (m, d) to training vectors (n, d), in their units of deviation."""
    spread = training.std(0)
    spread[spread == 0] = 1.0
    centre = training.mean(0)
    standardised: list[Tensor] = [torch.from_numpy((vectors - centre) / spread) for vectors in (training, tested)]
    mean, precision = shrunk_gaussian(standardised[0], SHRINKAGE)
    away = standardised[1] - mean
    return np.asarray(((away @ precision) * away).sum(1).numpy(), np.float64)
