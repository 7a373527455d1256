"""Which inputs of a detector make samples unlikely to it, in what it flags and in what it passes."""

import numpy as np
import pandas as pd
import torch

from endline.detectors.explaining import RanksInputs, first_detectors
from endline.detectors.scoring import Detectors, are_joint, detector_rows
from endline.feature_set import FeatureSet
from endline.samples import TEST, item_of, regular_rows

COLUMNS = ("part", "input", "passed", "flagged", "rank")
BATCH = 8
OF_EACH = 40  # samples of a verdict: an importance is a gradient, which costs more than a score


def importance_table(
    samples: pd.DataFrame, features: FeatureSet, scores: pd.DataFrame, detectors: Detectors
) -> pd.DataFrame:
    """Mean importance of each input over tested samples that were passed, and over those that were flagged.

    Inputs are ranked by how much more they count where the detector itself flags: no label is read. Where all are
    passed, or all flagged, the mean of these ranks. The detector is that of the first fold; of each verdict at most 40
    samples are looked at, at regular distances.

    Args:
        samples: the sample table.
        features: row by row with it.
        scores: verdicts, columns `sample_id, flagged`.
        detectors: by name.

    Returns:
        Columns `part, input, passed, flagged, rank`, inputs in the detector's order, rank 1 the largest; a mean of no
        sample is NaN. Empty where the detector offers no importances.

    Example:
        >>> from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
        >>> scores = pd.DataFrame({"sample_id": ["a"], "flagged": [True]})
        >>> table = pd.DataFrame({"sample_id": ["a"], "split": ["test"], "part": [None]})
        >>> features = FeatureSet({"scale_0": np.zeros((1, 2, 1, 1), "f4")})
        >>> len(importance_table(table, features, scores, {"whole/0": Gaussian(GaussianConfig())}))
        0
    """
    if not any(isinstance(detector, RanksInputs) for detector in detectors.values()):
        return pd.DataFrame(columns=list(COLUMNS))
    verdicts = scores.set_index("sample_id")["flagged"].astype(bool)
    tested = np.flatnonzero(samples["split"] == TEST)
    rows, view = detector_rows(samples.iloc[tested], features.take(tested), joint=are_joint(detectors))
    rows = rows.assign(flagged=verdicts.loc[item_of(rows)].to_numpy())
    chosen = regular_rows(rows, ["part", "flagged"], OF_EACH)
    rows, view = rows.iloc[chosen], view.take(chosen)
    tables = []
    for part, own, given, detector in first_detectors(rows, view, detectors):
        assert isinstance(detector, RanksInputs)
        each = torch.cat([detector.importances(batch) for batch in given.batches(BATCH)]).double().numpy()
        flagged = rows["flagged"].iloc[own].to_numpy(bool)
        empty = np.full(each.shape[1], np.nan)
        passed, raised = (each[those].mean(0) if those.any() else empty for those in (~flagged, flagged))
        by = np.nan_to_num(raised) - np.nan_to_num(passed) if flagged.any() else passed
        rank = pd.Series(by).rank(ascending=False, method="first").astype(int)
        table = {"part": part, "input": list(detector.inputs), "passed": passed, "flagged": raised, "rank": rank}
        tables.append(pd.DataFrame(table))
    return pd.concat([pd.DataFrame(columns=list(COLUMNS)), *tables], ignore_index=True)
