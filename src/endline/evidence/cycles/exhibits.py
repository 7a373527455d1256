"""Exhibits of cycles: the guilty signals over the nearest normal cycle, the map below, signals and axes ranked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.evidence.cycles.features import CyclePreparation
from endline.feature_set import FeatureSet
from endline.reporting.cycle_figures import CycleView, ranking_figure, signals_figure
from endline.reporting.report import Exhibit, exhibit_of
from endline.reporting.style import encode_png
from endline.robot_signals import axis_of

SEGMENTS = 24  # a cycle's course is compared by the means of so many stretches
SHOWN = 3  # signals drawn in full
FLOOR = 0.01  # of the mean signal's usual map: what lies below is as good as none
SMOOTH = 0.02  # of a cycle: the peak of the map is looked for after a moving mean of this length
BATCH = 64
Array = NDArray[np.float32]


@dataclass(frozen=True)
class _Courses:
    """Mean courses (cycles, signals, segments) of the training cycles, their rows, and each signal's deviation."""

    rows: NDArray[np.int64]
    values: Array
    deviation: Array


def cycle_exhibits(
    shortlist: pd.DataFrame,
    part_scores: pd.DataFrame,
    maps: FeatureSet,
    samples: pd.DataFrame,
    features: FeatureSet,
    settings: CyclePreparation,
) -> list[Exhibit]:
    """Exhibits of the shortlisted cycles, in its order.

    Args:
        shortlist: rows of the scores, with `why`.
        part_scores: the scored cycles, row by row with `maps`.
        maps: array `map` (signals or 1, steps) of each, or (0, 0) where the detector has none.
        samples: the sample table, row by row with `features`.
        features: arrays `cycle` and `valid`.
        settings: how the arrays were made.
    """
    if shortlist.empty:
        return []
    scored = {name: row for row, name in enumerate(part_scores["sample_id"])}
    indexed = {name: row for row, name in enumerate(samples["sample_id"])}
    courses = _training_courses(samples, features)
    usual = _usual_map(maps)
    shown = []
    for row in shortlist.to_dict("records"):
        verdict = {str(column): value for column, value in row.items()}
        name = verdict["sample_id"]
        values, valid = _cycle(features, indexed[name])
        nearest = int(courses.rows[_nearest(values, valid, courses)])
        other, other_valid = _cycle(features, nearest)
        heat = None if usual is None else maps.read([scored[name]])["map"].numpy()[0] / usual[:, None]
        guilt = _guilt(heat, (values - other) / courses.deviation[:, None], valid & other_valid)
        view = CycleView(
            signals=settings.signals,
            values=_measured_only(values, valid),
            nearest=_measured_only(other, other_valid),
            heat=heat,
            seconds=None if settings.rate is None else 1 / settings.rate,
        )
        order = np.argsort(-guilt, kind="stable")
        figures = [("guilty signals, and the nearest normal cycle", encode_png(signals_figure(view, order[:SHOWN])))]
        if len(settings.signals) > 1:
            figures.append(
                ("share of the signals and axes", encode_png(ranking_figure(*signal_ranking(view.signals, guilt))))
            )
        shown.append(
            exhibit_of(verdict, figures, note=_note(view, heat, valid, str(samples["sample_id"].iloc[nearest])))
        )
    return shown


def signal_ranking(signals: Sequence[str], guilt: NDArray[np.floating]) -> tuple[pd.Series, pd.Series]:
    """Shares of the guilt by signal and by axis, largest first; `robot` holds the signals of no axis."""
    share = guilt / max(float(guilt.sum()), 1e-12)
    by_signal = pd.Series(share, index=list(signals)).sort_values(ascending=False, kind="stable")
    axes = [f"axis {axis}" if (axis := axis_of(signal)) else "robot" for signal in signals]
    by_axis = pd.Series(share).groupby(axes).sum().sort_values(ascending=False, kind="stable")
    return by_signal, by_axis


def _cycle(features: FeatureSet, row: int) -> tuple[Array, NDArray[np.bool_]]:
    found = features.read([row])
    return found["cycle"].numpy()[0], found["valid"].numpy()[0] > 0


def _measured_only(values: Array, valid: NDArray[np.bool_]) -> Array:
    return np.where(valid, values, np.nan).astype(np.float32)


def _course(values: Array, valid: NDArray[np.bool_]) -> Array:
    """Means (signals, segments) over equal stretches of the arrays' length, so that steps are compared in time."""
    bounds = np.linspace(0, values.shape[-1], SEGMENTS + 1).astype(int)[:-1]
    bounds = np.minimum(bounds, values.shape[-1] - 1)
    sums = np.add.reduceat(values * valid, bounds, axis=-1)
    counts = np.add.reduceat(valid.astype(np.float32), bounds, axis=-1)
    return (sums / np.maximum(counts, 1)).astype(np.float32)


def _training_courses(samples: pd.DataFrame, features: FeatureSet) -> _Courses:
    rows = np.flatnonzero((samples["split"] == "train").to_numpy())
    courses = []
    for start in range(0, len(rows), BATCH):
        batch = features.read(rows[start : start + BATCH])
        valid = batch["valid"].numpy() > 0
        courses += [_course(values, own) for values, own in zip(batch["cycle"].numpy(), valid, strict=True)]
    values = np.stack(courses)
    deviation = values.std((0, 2))
    return _Courses(rows, values, np.where(deviation > 0, deviation, 1.0).astype(np.float32))


def _nearest(values: Array, valid: NDArray[np.bool_], courses: _Courses) -> int:
    away = np.abs(courses.values - _course(values, valid)) / courses.deviation[:, None]
    return int(away.sum((1, 2)).argmin())


def _usual_map(maps: FeatureSet) -> Array | None:
    """Median over the scored cycles of each signal's mean map, above 0; None without maps.

    A detector that looks at how signals go together moves more with some than with others, in every cycle.
    """
    if not np.prod(maps.shapes["map"]):
        return None
    usual = np.median(np.concatenate([batch["map"].mean(2).numpy() for batch in maps.batches(BATCH)]), 0)
    return np.asarray(usual + max(FLOOR * float(usual.mean()), 1e-12), np.float32)


def _guilt(heat: Array | None, away: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How much each signal counts, (signals,): its map beyond the usual one, else its distance to the nearest cycle.

    Args:
        heat: map (signals, steps) over each signal's usual one; None, or of one row, without a map of signals.
        away: distance to the nearest cycle (signals, steps), in training deviations.
        valid: steps that both cycles have.
    """
    if heat is None or len(heat) != len(away):
        return np.asarray((np.abs(away) * valid).mean(1), np.float64)
    mean = np.asarray(heat.mean(1), np.float64)
    beyond = np.clip(mean - 1, 0, None)
    return beyond if beyond.any() else mean  # a cycle that was scored alone is its own usual one


def _note(view: CycleView, heat: Array | None, valid: NDArray[np.bool_], nearest: str) -> str:
    told = f"Blue: the nearest normal cycle that trained, {nearest}."
    if heat is None:
        return told
    course = np.where(valid, heat.sum(0), 0)
    width = max(1, round(SMOOTH * len(course)))
    peak = int(np.convolve(course, np.ones(width) / width, "same").argmax())
    return f"{told} The map is largest at {view.moment(peak)}."
