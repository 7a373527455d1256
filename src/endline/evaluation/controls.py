"""The control: does the part of the evidence that cannot show the fault tell the label all the same?"""

import numpy as np
import pandas as pd

from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
from endline.detectors.progress import Progress
from endline.evaluation.metrics import Auroc, auroc, is_anomalous, is_normal
from endline.feature_set import FeatureSet

WARNING_LEVEL = 0.6
BATCH = 64


def control_auroc(samples: pd.DataFrame, features: FeatureSet) -> Auroc | None:
    """AUROC of a Gaussian on the control rows alone, fitted on those of the training items.

    Near 0.5 all is well. Above `WARNING_LEVEL` the recordings tell the label without the fault (another sitting,
    another room), and the AUROC of the whole evidence says nothing about the fault.

    Args:
        samples: the sample table.
        features: its feature set, row by row.

    Returns:
        None where there is no control part, or a class is not in the test set.
    """
    control = samples["control"].to_numpy(bool)
    training = np.flatnonzero(control & (samples["split"] == "train").to_numpy())
    tested = np.flatnonzero(control & (samples["split"] == "test").to_numpy())
    if len(training) < 2 or len(tested) == 0:
        return None
    gaussian = Gaussian(GaussianConfig())
    features = features.only(gaussian.required)
    gaussian.fit(features.take(training), seed=0, progress=Progress())
    scores = np.concatenate([gaussian.score(batch).score.numpy() for batch in features.batches(BATCH, tested)])
    table = samples.iloc[tested].assign(score=scores.astype(float))
    normal, anomalous = table.loc[is_normal(table), "score"], table.loc[is_anomalous(table), "score"]
    return auroc(normal.to_numpy(float), anomalous.to_numpy(float))
