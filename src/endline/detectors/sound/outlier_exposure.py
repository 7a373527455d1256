"""What the detectors share that learn from normal clips of other machines."""

import torch

from endline.detectors.fitting import Training
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet


def required_outliers(training: Training, detector: str) -> FeatureSet:
    """The outliers of a training.

    Args:
        training: of the detector.
        detector: its name in the error.

    Raises:
        EndlineError: when there are none.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.fitting import known_rows
        >>> from endline.detectors.progress import Progress
        >>> features = FeatureSet({"log_mel": np.zeros((2, 4, 9), "f4")})
        >>> training = Training(features, known_rows(None, 2), seed=0, progress=Progress(), outliers=features)
        >>> len(required_outliers(training, "autoencoder_outlier_exposure"))
        2
    """
    if training.outliers is None:
        raise EndlineError(
            f"{detector} learns from another machine's normal clips: name one with --params=outliers=<machine>."
        )
    return training.outliers


def drawn_samples(features: FeatureSet, count: int) -> Batch:
    """A batch of `count` samples, drawn with replacement by torch's generator of the CPU.

    Example:
        >>> import numpy as np
        >>> drawn_samples(FeatureSet({"log_mel": np.zeros((2, 4, 9), "f4")}), 3)["log_mel"].shape
        torch.Size([3, 4, 9])
    """
    return features.read(torch.randint(len(features), (count,), device="cpu").numpy())
