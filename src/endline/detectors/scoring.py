"""Scores and anomaly maps of rows of a sample table, batch by batch."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from endline.detectors.base import Detector
from endline.errors import EndlineError
from endline.feature_set import FeatureSet
from endline.samples import item_of

BATCH = 64
ALL = "all"  # the part of detectors that are shared by all parts
Detectors = Mapping[str, Detector[Any]]  # by name `<part>/<fold>`, or `<part>/<fold>/<member>` of an ensemble


class ScoredBatch(NamedTuple):
    """What the detectors say of some rows.

    Attributes:
        rows: (n,) where the rows stand in the table that was scored, rising.
        scores: (n, folds), of the detectors of each fold.
        maps: (n, H, W), float32, or None where the method has none or none is wanted.
        map_seconds: time that the maps took beyond the scores.

    Example:
        >>> ScoredBatch(np.arange(2), np.zeros((2, 5)), None, 0.0).scores.shape
        (2, 5)
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    maps: NDArray[np.float32] | None
    map_seconds: float


def score_batches(
    samples: pd.DataFrame, features: FeatureSet, detectors: Detectors, *, maps: bool = True
) -> Iterator[ScoredBatch]:
    """Score rows batch by batch, by each fold's detectors of their part: the mean over the ensemble of a fold.

    Only the maps of one batch are in memory. Where the detectors are joint or shared, or there is one part, the
    batches come in the order of the table; else one part comes after the other, and `rows` says where they belong.

    Args:
        samples: rows of the sample table.
        features: their feature set, row by row.
        detectors: by name, see `Detectors`.
        maps: whether maps, the means over all detectors, are wanted; some cost much more than the scores.

    Raises:
        EndlineError: for a part that no detector was fitted on, and for a sample whose score is not finite.

    Example:
        >>> from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
        >>> from endline.detectors.progress import Progress
        >>> table = pd.DataFrame({"sample_id": [f"{row}.png" for row in range(100)], "part": None})
        >>> arrays = {"scale_0": np.random.default_rng(0).standard_normal((100, 3, 4, 4)).astype("f4")}
        >>> features, detector = FeatureSet(arrays), Gaussian(GaussianConfig())
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> [len(batch.rows) for batch in score_batches(table, features, {"whole/0": detector})]
        [64, 36]
    """
    parts = {name.split("/")[0] for name in detectors}
    names = samples["sample_id"].to_numpy(str)
    for part, rows in by_part(samples, np.arange(len(samples)), shared=ALL in parts):
        named = [name for name in sorted(detectors) if name.split("/")[0] == part]
        ensemble, fold_of = [detectors[name] for name in named], [int(name.split("/")[1]) for name in named]
        if not ensemble:
            raise EndlineError(f"No detector was fitted on part '{part}', only on {', '.join(sorted(parts))}.")
        view = features.only(*ensemble[0].reads).take(rows)
        for start in range(0, len(rows), BATCH):
            inside = rows[start : start + BATCH]
            batch = view.read(np.arange(start, start + len(inside)))
            scored = [detector.score(batch, names[inside].tolist()) for detector in ensemble]
            by_fold: dict[int, list[Tensor]] = {fold: [] for fold in sorted(set(fold_of))}  # in the order of numbers
            for fold, one in zip(fold_of, scored, strict=True):
                by_fold[fold].append(one.score)
            means = [torch.stack(scores).mean(0) for scores in by_fold.values()]
            scores = torch.stack(means, 1).numpy().astype(np.float64)
            begun = time.perf_counter()
            drawn = [one.map for one in scored if one.map is not None] if maps else []
            mean = torch.stack(drawn).mean(0).numpy() if drawn else None
            yield ScoredBatch(inside, scores, mean, time.perf_counter() - begun if maps else 0.0)


def score_rows(samples: pd.DataFrame, features: FeatureSet, detectors: Detectors) -> NDArray[np.float64]:
    """Scores (rows, folds) alone; arguments and errors as `score_batches`.

    Example:
        >>> score_rows(pd.DataFrame({"sample_id": [], "part": []}), FeatureSet({"x": np.zeros((0, 1), "f4")}), {})
        array([], shape=(0, 1), dtype=float64)
    """
    batches = list(score_batches(samples, features, detectors, maps=False))
    scores = np.full((len(samples), batches[0].scores.shape[1] if batches else 1), np.nan)
    for batch in batches:
        scores[batch.rows] = batch.scores
    return scores


def with_scores(samples: pd.DataFrame, scores: NDArray[np.float64]) -> pd.DataFrame:
    """The rows with `score`, the mean of scores (rows, folds), and where there are several folds `score_<fold>`.

    Example:
        >>> with_scores(pd.DataFrame({"sample_id": ["a"]}), np.array([[1.0, 2.0]])).to_dict("records")
        [{'sample_id': 'a', 'score': 1.5, 'score_0': 1.0, 'score_1': 2.0}]
    """
    several = scores.shape[1] > 1
    each = {f"score_{fold}": scores[:, fold] for fold in range(scores.shape[1]) if several}
    return samples.assign(score=scores.mean(1), **each)


def fold_scores(scored: pd.DataFrame) -> NDArray[np.float64]:
    """Scores (rows, folds) of a table that `with_scores` made.

    Example:
        >>> fold_scores(pd.DataFrame({"score": [1.0, 2.0]})).shape
        (2, 1)
    """
    names = [name for name in scored if str(name).startswith("score_")]
    ordered = sorted(names, key=lambda name: int(str(name).removeprefix("score_")))
    return scored[ordered or ["score"]].to_numpy(np.float64)


def are_joint(detectors: Detectors) -> bool:
    """Whether the detectors were fitted on whole items, see `detector_rows`.

    Example:
        >>> from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
        >>> are_joint({"fold+unfold/0": Gaussian(GaussianConfig())})
        True
    """
    return any("+" in name for name in detectors)


def detector_rows(samples: pd.DataFrame, features: FeatureSet, *, joint: bool) -> tuple[pd.DataFrame, FeatureSet]:
    """What detectors see: the rows as they are, or one row an item, joined from its parts in their names' order.

    Args:
        samples: rows of the sample table, without controls.
        features: their feature set, row by row.
        joint: whether parts are joined; the `part` of a joined row names them all, as in `fold+unfold`.

    Raises:
        EndlineError: when the items differ in their parts.

    Example:
        >>> table = pd.DataFrame({"sample_id": ["a#fold", "a#unfold"], "part": ["fold", "unfold"]})
        >>> rows, view = detector_rows(table, FeatureSet({"x": np.zeros((2, 3), "f4")}), joint=True)
        >>> rows["part"].tolist(), view.shapes
        (['fold+unfold'], {'x': (6,)})
    """
    table = samples.reset_index(drop=True)
    if not joint or table["part"].isna().all():
        return table, features
    ordered = table.assign(item=item_of(table)).sort_values("part", kind="stable")
    grouped = ordered.groupby("item", sort=False)
    parts = grouped["part"].agg("+".join)
    if parts.nunique() > 1:
        raise EndlineError(f"Items differ in their parts ({', '.join(parts.unique())}): fit parts='each' instead.")
    rows = np.stack(list(grouped.indices.values())) if len(parts) else np.zeros((0, 1), np.int64)
    rows = ordered.index.to_numpy()[rows]
    first = ordered.loc[rows[:, 0]].assign(part=parts.to_numpy()).drop(columns="item")
    order = np.argsort(rows.min(1))  # the items' order in the table
    joined = first.assign(sample_id=item_of(first)).iloc[order].reset_index(drop=True)
    return joined, features.take(rows[order])


def by_part(samples: pd.DataFrame, rows: NDArray[np.int64], *, shared: bool) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """(part, its rows) of each part of the table, or ("all", rows) where one detector is shared by all.

    Example:
        >>> table = pd.DataFrame({"part": ["unfold", "fold", "fold"]})
        >>> [(part, rows.tolist()) for part, rows in by_part(table, np.arange(3), shared=False)]
        [('fold', [1, 2]), ('unfold', [0])]
    """
    if shared:
        yield ALL, rows
        return
    parts = samples["part"].fillna("whole").to_numpy(str)[rows]
    for part in np.unique(parts):
        yield str(part), rows[parts == part]
