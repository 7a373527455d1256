"""Attribution: which part of the evidence moved a score, and where; tables, computed from anomaly maps in batches."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.evaluation.map_values import has_maps
from endline.evaluation.nearest_cycles import Array, nearest_training_rows, rows_of, training_courses
from endline.feature_set import FeatureSet
from endline.robot_signals import axis_of

BATCH = 16
FLOOR = 0.01  # of the mean signal's usual map: what lies below is as good as none
SMOOTH = 0.02  # of a cycle: a map's peak is looked for after a moving mean of this length
CYCLE_COLUMNS = ("sample_id", "signal", "share", "step")
HOTTEST_COLUMNS = ("sample_id", "part", "row", "column", "value")


def cycle_attribution(
    scored: pd.DataFrame, maps: FeatureSet, samples: pd.DataFrame, features: FeatureSet, signals: Sequence[str]
) -> pd.DataFrame:
    """How much each signal counts for the score of each scored cycle, and when.

    A signal counts by how far its map lies above its usual one, the median over the scored cycles: a detector that
    looks at how signals go together moves more with some than with others, in every cycle. Without a map of signals
    it counts by its distance to the nearest training cycle, in training deviations.

    Args:
        scored: the scored cycles, row by row with `maps`; column `sample_id`.
        maps: array `map` (signals or 1, steps) of each, or (0, 0) where the detector has none.
        samples: the sample table, row by row with `features`.
        features: arrays `cycle` (signals, steps) and `valid` (steps,), 1 where the cycle lasts.
        signals: names, in the arrays' order.

    Returns:
        Columns `sample_id, signal, share, step`, one row a scored cycle and signal: shares add up to 1 over a cycle;
        `step` is where the map (of the signal, or the one of all signals) is largest, without maps the distance. Empty
        where neither is known: no map of signals, and no training cycle.

    Example:
        >>> samples = pd.DataFrame({"sample_id": ["n", "a"], "split": ["train", "test"]})
        >>> features = FeatureSet({"cycle": np.zeros((2, 2, 4), "f4"), "valid": np.ones((2, 4), "f4")})
        >>> anomaly_map = np.zeros((1, 2, 4), "f4")
        >>> anomaly_map[0, 1, 3] = 5.0
        >>> cycle_attribution(samples[1:], FeatureSet({"map": anomaly_map}), samples, features, ["force", "way"])
          sample_id signal  share  step
        0         a  force    0.0     0
        1         a    way    1.0     3
    """
    if scored.empty:
        return pd.DataFrame(columns=list(CYCLE_COLUMNS))
    rows = rows_of(samples, scored["sample_id"])
    means, steps = _of_maps(maps, features, rows) if has_maps(maps) else (None, None)
    if means is None or means.shape[1] != len(signals):
        if not (samples["split"] == "train").any():
            return pd.DataFrame(columns=list(CYCLE_COLUMNS))
        means, away_steps = _of_distances(samples, features, rows)
        steps = away_steps if steps is None else np.broadcast_to(steps, means.shape)
    else:
        means = _beyond_usual(means)
    total = means.sum(1, keepdims=True)
    share = np.where(total > 0, means / np.where(total > 0, total, 1.0), 1 / len(signals))
    columns = (scored["sample_id"].repeat(len(signals)), np.tile(signals, len(scored)), share.ravel(), steps.ravel())  # type: ignore[union-attr]
    return pd.DataFrame(dict(zip(CYCLE_COLUMNS, columns, strict=True))).reset_index(drop=True)


def share_by_axis(attribution: pd.DataFrame) -> pd.Series:
    """Share of each robot axis in one cycle's attribution, largest first; `robot` holds the signals of no axis.

    Example:
        >>> table = pd.DataFrame({"signal": ["motor_iq_1", "motor_iq_2", "io_current"], "share": [0.2, 0.5, 0.3]})
        >>> share_by_axis(table).to_dict()
        {'axis 2': 0.5, 'robot': 0.3, 'axis 1': 0.2}
    """
    axes = [f"axis {axis}" if (axis := axis_of(signal)) else "robot" for signal in attribution["signal"]]
    return attribution["share"].groupby(axes).sum().sort_values(ascending=False, kind="stable")


def _of_maps(
    maps: FeatureSet, features: FeatureSet, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean over the steps of each cycle's maps, and the step where they are largest, both (cycles, signals or 1)."""
    lasting = features.only(("valid",))
    means, steps = [], []
    for start in range(0, len(rows), BATCH):
        chosen = np.arange(start, min(start + BATCH, len(rows)))
        anomaly_map = maps.read(chosen)["map"].numpy()
        valid = lasting.read(rows[chosen])["valid"].numpy() > 0
        means.append(anomaly_map.mean(2, dtype=np.float64))
        steps.append(_peaks(np.where(valid[:, None], anomaly_map, 0)))
    return np.concatenate(means), np.concatenate(steps)


def _beyond_usual(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far mean maps (cycles, signals) lie above each signal's usual one, as a multiple of it, at least 0."""
    usual = np.median(means, 0)
    relative = means / (usual + max(FLOOR * float(usual.mean()), 1e-12))
    beyond = np.clip(relative - 1, 0, None)
    alone = ~beyond.any(1, keepdims=True)  # a cycle that was scored alone is its own usual one
    return np.where(alone, relative, beyond)


def _of_distances(
    samples: pd.DataFrame, features: FeatureSet, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean distance of each signal to the nearest training cycle, and where it is largest, both (cycles, signals)."""
    courses = training_courses(samples, features)
    nearest = nearest_training_rows(rows, features, courses)
    arrays = features.only(("cycle", "valid"))
    means, steps = [], []
    for start in range(0, len(rows), BATCH):
        own, other = (arrays.read(which[start : start + BATCH]) for which in (rows, nearest))
        both = (own["valid"].numpy() > 0) & (other["valid"].numpy() > 0)
        away = np.abs((own["cycle"] - other["cycle"]).numpy()) / courses.deviation[:, None] * both[:, None]
        means.append(away.mean(2, dtype=np.float64))
        steps.append(_peaks(away))
    return np.concatenate(means), np.concatenate(steps)


def _peaks(course: Array) -> NDArray[np.int64]:
    """Step where a course (cycles, signals, steps) is largest after a short moving mean, (cycles, signals)."""
    width = max(1, round(SMOOTH * course.shape[2]))
    from scipy.ndimage import uniform_filter1d  # here, since a verdict alone does without

    smooth = uniform_filter1d(course, width, axis=2, mode="constant")
    return np.asarray(smooth.argmax(2), np.int64)


def hottest(maps: FeatureSet, rows: pd.DataFrame) -> pd.DataFrame:
    """Where each anomaly map is largest.

    Args:
        maps: array `map` (rows, h, w). The maps of joint parts (`part` = `fold+unfold`) lie one below the other and
            are looked at one by one.
        rows: the scored rows, row by row with `maps`; columns `sample_id` and, where there are parts, `part`.

    Returns:
        Columns `sample_id, part, row, column, value`, one row a map: the position is the centre of the cell, as a
        share of the height from the top and of the width from the left. Empty where the method has no maps.

    Example:
        >>> maps = np.zeros((1, 2, 4), "f4")
        >>> maps[0, 1, 0] = 3.0
        >>> hottest(FeatureSet({"map": maps}), pd.DataFrame({"sample_id": ["a.png"]}))
          sample_id  part   row  column  value
        0     a.png  None  0.75   0.125    3.0
    """
    if not has_maps(maps) or rows.empty:
        return pd.DataFrame(columns=list(HOTTEST_COLUMNS))
    parts = rows["part"] if "part" in rows else pd.Series(None, index=rows.index, dtype=object)
    results = []
    for start in range(0, len(rows), BATCH):
        batch = maps.read(np.arange(start, min(start + BATCH, len(rows))))["map"].numpy()
        for name, part, whole in zip(rows["sample_id"].iloc[start:], parts.iloc[start:], batch, strict=False):
            for one, anomaly_map in part_maps(part, whole):
                row, column = np.unravel_index(int(anomaly_map.argmax()), anomaly_map.shape)
                height, width = anomaly_map.shape
                results.append((name, one, (row + 0.5) / height, (column + 0.5) / width, float(anomaly_map.max())))
    return pd.DataFrame(results, columns=list(HOTTEST_COLUMNS))


def standing_out(hottest: pd.DataFrame, limits: tuple[float, float] | None) -> pd.DataFrame:
    """Rows of `hottest` whose value lies in the upper half of a colour scale: below, a map shows nothing to point at.

    Example:
        >>> len(standing_out(pd.DataFrame({"value": [0.1, 0.9]}), (0.0, 1.0)))
        1
    """
    return hottest.iloc[:0] if limits is None else hottest[hottest["value"] >= sum(limits) / 2]


def part_maps(part: object, whole: NDArray[np.float32]) -> list[tuple[str | None, NDArray[np.float32]]]:
    """(part, its map (h, w)) of a scored row: the maps of joint parts, as of `fold+unfold`, lie one below the other.

    Args:
        part: of the scored row; missing where the evidence has no parts.
        whole: its map (parts * h, w).

    Example:
        >>> [(name, one.tolist()) for name, one in part_maps("fold+unfold", np.array([[1.0], [2.0]], "f4"))]
        [('fold', [[1.0]]), ('unfold', [[2.0]])]
    """
    if part is None or pd.isna(part):  # type: ignore[call-overload]
        return [(None, whole)]
    names = str(part).split("+")
    return list(zip(names, np.split(whole, len(names)), strict=True))
