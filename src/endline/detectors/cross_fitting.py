"""Fit what a run needs: detectors of all parts, and scores of normal items that their detector never saw."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from endline.detectors.base import Detector
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet
from endline.samples import item_of

CALIBRATIONS = ("auto", "cross_fit", "hold_out")
PARTS = ("auto", "joint", "each", "alike")
BATCH = 64
Detectors = dict[str, Detector[Any]]
NewProgress = Callable[[str], Progress]


@dataclass(frozen=True)
class FitPlan:
    """How detectors are fitted and normal items held out for the threshold.

    Attributes:
        calibration: `hold_out` keeps a share of the training items away from the fit (the stated false-alarm rate
            is then guaranteed); `cross_fit` holds out every training item once, from a detector fitted on the
            other folds, and fits the final detector on all (for few items; the rate then holds nearly, without
            the guarantee); `auto` cross-fits below `few` training items.
        folds: folds of the cross-fit, at most one an item.
        share: share of the training items that is held out.
        few: training items below which `auto` cross-fits.
        parts: `joint` fits one detector on whole items, the maps of their parts one below the other; `each` fits one
            a part (fold, unfold), whose scores are joined afterwards; `alike` fits one for all parts, as published;
            `auto` does what the detector prefers.
        members: detectors with different seeds whose scores are averaged.
    """

    calibration: str = "auto"
    folds: int = 5
    share: float = 0.25
    few: int = 100
    parts: str = "auto"
    members: int = 1

    def __post_init__(self) -> None:
        if self.calibration not in CALIBRATIONS:
            raise EndlineError(
                f"There is no calibration '{self.calibration}': choose one of {', '.join(CALIBRATIONS)}."
            )
        if self.parts not in PARTS:
            raise EndlineError(f"There is no way '{self.parts}' to fit parts: choose one of {', '.join(PARTS)}.")
        if self.folds < 2 or not 0 < self.share < 1 or self.members < 1:
            raise EndlineError(
                f"folds={self.folds} must be at least 2, share={self.share} between 0 and 1, "
                f"members={self.members} at least 1: correct the calibration."
            )


@dataclass(frozen=True)
class Fitted:
    """Result of `fit_detectors`.

    Attributes:
        detectors: by name `<part>/<member>`.
        history: columns `part, member, epoch, loss`, one row an epoch of the final fits; empty for closed forms.
        held_out: rows of the sample table (of the items, if parts are joint) that were held out, with their `score`.
        seconds: time of all fits together.
    """

    detectors: Detectors
    history: pd.DataFrame
    held_out: pd.DataFrame
    seconds: float


def fit_detectors(
    samples: pd.DataFrame,
    features: FeatureSet,
    new_detector: Callable[[], Detector[Any]],
    plan: FitPlan,
    *,
    seed: int,
    new_progress: NewProgress = lambda name: Progress(),
) -> Fitted:
    """Fit on the training rows alone: no test row is read here.

    Args:
        samples: the sample table.
        features: its feature set, row by row.
        new_detector: makes an unfitted detector.
        plan: what to fit.
        seed: of the folds and of every fit.
        new_progress: makes the progress of the fit with this name.

    Raises:
        EndlineError: when too few items are left to learn from.
    """
    training = np.flatnonzero(((samples["split"] == "train") & ~samples["control"]).to_numpy(bool))
    kind = type(new_detector())
    way = kind.parts if plan.parts == "auto" else plan.parts
    table, view = units(samples.iloc[training], features.only(kind.inputs).take(training), joint=way == "joint")
    items = item_of(table).to_numpy()
    names = np.unique(items)
    seconds = 0.0
    histories: list[pd.DataFrame] = []

    def fit(rows: NDArray[np.int64], stage: str, record: bool) -> Detectors:
        nonlocal seconds
        detectors: Detectors = {}
        for part, chosen in _by_part(table, rows, way):
            for member in range(plan.members):
                name = f"{part}/{member}"
                detectors[name] = new_detector()
                history = detectors[name].fit(
                    view.take(chosen), seed=seed + 1000 * member, progress=new_progress(f"{stage}/{name}")
                )
                seconds += history.seconds
                if record and history.losses:
                    epochs = range(1, len(history.losses) + 1)
                    columns = {"part": part, "member": member, "epoch": epochs, "loss": history.losses}
                    histories.append(pd.DataFrame(columns))
        return detectors

    def held_out_scores(detectors: Detectors, rows: NDArray[np.int64]) -> pd.DataFrame:
        scored = score_rows(table.iloc[rows], view.take(rows), detectors, maps=False)
        return table.iloc[rows].assign(score=scored.scores)

    cross = plan.calibration == "cross_fit" or (plan.calibration == "auto" and len(names) < plan.few)
    order = np.random.default_rng(seed).permutation(names)
    everything = np.arange(len(table))
    if cross:
        held = []
        for number, fold in enumerate(np.array_split(order, min(plan.folds, len(names)))):
            inside = np.isin(items, fold)
            held.append(held_out_scores(fit(everything[~inside], f"cross{number}", False), everything[inside]))
        held_out = pd.concat(held).sort_index()
        detectors = fit(everything, "final", True)
    else:
        inside = np.isin(items, order[: max(1, round(plan.share * len(names)))])
        detectors = fit(everything[~inside], "final", True)
        held_out = held_out_scores(detectors, everything[inside])
    columns = ["part", "member", "epoch", "loss"]
    history = pd.concat(histories, ignore_index=True) if histories else pd.DataFrame(columns=columns)
    return Fitted(detectors, history, held_out, seconds)


def are_joint(detectors: Detectors) -> bool:
    """Whether the detectors were fitted on whole items, see `units`."""
    return any("+" in name for name in detectors)


def units(samples: pd.DataFrame, features: FeatureSet, *, joint: bool) -> tuple[pd.DataFrame, FeatureSet]:
    """What detectors see: the rows as they are, or one row an item, joined from its parts in their names' order.

    Args:
        samples: rows of the sample table, without controls.
        features: their feature set, row by row.
        joint: whether parts are joined; the `part` of a joined row tells them all, as in `fold+unfold`.

    Raises:
        EndlineError: when the items differ in their parts.
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


class ScoredRows(NamedTuple):
    """Scores (rows,), anomaly maps (rows, H, W) or None, and the seconds of those maps that are no by-product."""

    scores: NDArray[np.float64]
    maps: NDArray[np.float32] | None
    map_seconds: float


def score_rows(samples: pd.DataFrame, features: FeatureSet, detectors: Detectors, *, maps: bool = True) -> ScoredRows:
    """Scores and anomaly maps of rows, the mean over the members of each row's detector.

    Args:
        samples: rows of the sample table.
        features: their feature set, row by row.
        detectors: by name `<part>/<member>`.
        maps: whether maps are wanted; some cost much more than the scores.
    """
    scores = np.full(len(samples), np.nan)
    heat: NDArray[np.float32] | None = None
    map_seconds = 0.0
    parts = {name.split("/")[0] for name in detectors}
    with torch.no_grad():
        for part, rows in _by_part(samples, np.arange(len(samples)), "alike" if "all" in parts else "each"):
            members = [detector for name, detector in sorted(detectors.items()) if name.split("/")[0] == part]
            if not members:
                raise EndlineError(f"No detector was fitted on part '{part}', only on {', '.join(sorted(parts))}.")
            view = features.only(members[0].inputs).take(rows)
            for start in range(0, len(rows), BATCH):
                inside = rows[start : start + BATCH]
                scored = [member.score(view.read(np.arange(start, start + len(inside)))) for member in members]
                scores[inside] = torch.stack([one.score for one in scored]).mean(0).numpy()
                if not maps:
                    continue
                begun = time.perf_counter()
                found = [one.map for one in scored if one.map is not None]
                map_seconds += time.perf_counter() - begun
                if found:
                    mean = torch.stack(found).mean(0).numpy()
                    if heat is None:
                        heat = np.zeros((len(samples), *mean.shape[1:]), np.float32)
                    heat[inside] = mean
    return ScoredRows(scores, heat, map_seconds)


def _by_part(samples: pd.DataFrame, rows: NDArray[np.int64], way: str) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """(part, its rows) for each part of the table, or ("all", rows) where all are alike."""
    parts = samples["part"].fillna("whole").to_numpy(str)[rows]
    if way == "alike":
        yield "all", rows
        return
    for part in np.unique(parts):
        yield str(part), rows[parts == part]
