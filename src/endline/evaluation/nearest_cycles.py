"""The normal training cycle that is nearest to a cycle, by the means of short segments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.feature_set import FeatureSet

SEGMENTS = 24  # a cycle's course is compared by the means of N segments
BATCH = 64
Array = NDArray[np.float32]


@dataclass(frozen=True)
class TrainingCourses:
    """Courses of the training cycles.

    Attributes:
        rows: of the feature set, (cycles,).
        values: means over the segments, (cycles, signals, segments).
        deviation: of each signal over all cycles and segments, (signals,); 1 where there is none.

    Example:
        >>> courses = TrainingCourses(np.array([0]), np.zeros((1, 2, 24), "f4"), np.ones(2, "f4"))
        >>> courses.values.shape
        (1, 2, 24)
    """

    rows: NDArray[np.int64]
    values: Array
    deviation: Array


def nearest_training_cycles(names: Sequence[str], samples: pd.DataFrame, features: FeatureSet) -> pd.DataFrame:
    """The nearest training cycle of some cycles: the smallest sum of distances, in each signal's deviations.

    Args:
        names: sample ids of the cycles.
        samples: the sample table, row by row with `features`.
        features: arrays `cycle` (signals, steps) and `valid` (steps,), 1 where the cycle lasts.

    Returns:
        Columns `sample_id` and `nearest`, a sample id too; empty where no cycle is a training one.

    Example:
        >>> samples = pd.DataFrame({"sample_id": ["n1", "n2", "a"], "split": ["train", "train", "test"]})
        >>> cycles = np.array([0.0, 5.0, 4.0], "f4")[:, None, None] * np.ones((1, 2, 30), "f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((3, 30), "f4")})
        >>> nearest_training_cycles(["a"], samples, features)["nearest"].tolist()
        ['n2']
    """
    if not len(names) or not (samples["split"] == "train").any():
        return pd.DataFrame({"sample_id": [], "nearest": []}, dtype=str)
    nearest = nearest_training_rows(rows_of(samples, names), features, training_courses(samples, features))
    return pd.DataFrame({"sample_id": list(names), "nearest": samples["sample_id"].to_numpy()[nearest]})


def rows_of(samples: pd.DataFrame, names: Sequence[str] | pd.Series) -> NDArray[np.int64]:
    """Row of each sample id in the sample table, (names,).

    Example:
        >>> rows_of(pd.DataFrame({"sample_id": ["a", "b"]}), ["b"]).tolist()
        [1]
    """
    row_of = {name: row for row, name in enumerate(samples["sample_id"])}
    return np.array([row_of[name] for name in names], np.int64)


def training_courses(samples: pd.DataFrame, features: FeatureSet) -> TrainingCourses:
    """Courses of the training cycles; arguments as of `nearest_training_cycles`."""
    rows = np.flatnonzero((samples["split"] == "train").to_numpy())
    values = _courses(features, rows)
    deviation = values.std((0, 2))
    return TrainingCourses(rows, values, np.where(deviation > 0, deviation, 1.0).astype(np.float32))


def nearest_training_rows(rows: NDArray[np.int64], features: FeatureSet, courses: TrainingCourses) -> NDArray[np.int64]:
    """Row of the nearest training cycle of each row of the feature set, (rows,)."""
    from scipy.spatial.distance import cdist  # here, since a verdict alone does without

    known = (courses.values / courses.deviation[:, None]).reshape(len(courses.rows), -1)
    nearest = []
    for start in range(0, len(rows), BATCH):
        own = _courses(features, rows[start : start + BATCH]) / courses.deviation[:, None]
        nearest.append(cdist(own.reshape(len(own), -1), known, "cityblock").argmin(1))
    return np.asarray(courses.rows[np.concatenate(nearest)], np.int64)


def _courses(features: FeatureSet, rows: NDArray[np.int64]) -> Array:
    """Means (rows, signals, segments) over equal segments of the arrays' length, so that steps are compared in time."""
    courses = []
    for batch in features.only(("cycle", "valid")).batches(BATCH, rows):
        values, valid = batch["cycle"].numpy(), batch["valid"].numpy() > 0
        bounds = np.linspace(0, values.shape[2], SEGMENTS + 1).astype(int)[:-1]
        bounds = np.minimum(bounds, values.shape[2] - 1)
        sums = np.add.reduceat(values * valid[:, None], bounds, axis=2)
        counts = np.add.reduceat(valid.astype(np.float32), bounds, axis=1)[:, None]
        courses.append((sums / np.maximum(counts, 1)).astype(np.float32))
    return np.concatenate(courses)
