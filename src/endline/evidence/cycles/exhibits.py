"""Exhibits of cycles: the signals that count most over the nearest normal cycle, the map below, signals ranked."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.evaluation.attribution import share_by_axis
from endline.evaluation.map_values import has_maps
from endline.evidence.cycles.features import CyclePreparation
from endline.feature_set import FeatureSet
from endline.reporting.cycle_figures import CycleView, ranking_figure, signals_figure
from endline.reporting.exhibit import Exhibit, exhibit_of
from endline.reporting.style import encode_png

Array = NDArray[np.float32]


class CycleTables(NamedTuple):
    """What the exhibits of cycles are drawn from.

    Attributes:
        scored: the scored cycles, row by row with `maps`; column `sample_id`.
        maps: array `map` (signals or 1, steps) of each, or (0, 0) where the detector has none.
        attribution: `sample_id, signal, share, step`, as `cycle_attribution` gives it.
        nearest: `sample_id, nearest`, as `nearest_training_cycles` gives it.
        samples: the sample table, row by row with `features`.
        features: arrays `cycle` and `valid`.

    Example:
        >>> samples = pd.DataFrame({"sample_id": ["n", "a"], "split": ["train", "test"]})
        >>> features = FeatureSet({"cycle": np.zeros((2, 1, 4), "f4"), "valid": np.ones((2, 4), "f4")})
        >>> attribution = pd.DataFrame({"sample_id": ["a"], "signal": ["force"], "share": [1.0], "step": [2]})
        >>> nearest = pd.DataFrame({"sample_id": ["a"], "nearest": ["n"]})
        >>> maps = FeatureSet({"map": np.zeros((1, 0, 0), "f4")})
        >>> CycleTables(samples[1:], maps, attribution, nearest, samples, features).nearest["nearest"].tolist()
        ['n']
    """

    scored: pd.DataFrame
    maps: FeatureSet
    attribution: pd.DataFrame
    nearest: pd.DataFrame
    samples: pd.DataFrame
    features: FeatureSet


def cycle_exhibits(shortlist: pd.DataFrame, tables: CycleTables, settings: CyclePreparation) -> list[Exhibit]:
    """Exhibits of the shortlisted cycles, in its order.

    Args:
        shortlist: rows of the scores, with `why`.
        tables: what is shown.
        settings: how the arrays were made.
    """
    attributions = {str(name): rows.set_index("signal") for name, rows in tables.attribution.groupby("sample_id")}
    nearest = dict(zip(tables.nearest["sample_id"], tables.nearest["nearest"], strict=True))
    shown = []
    for row in shortlist.to_dict("records"):
        verdict = {str(column): value for column, value in row.items()}
        name = str(verdict["sample_id"])
        attribution = attributions[name].loc[list(settings.signals)]
        view = _view(name, nearest[name], attribution["share"].to_numpy(), tables, settings)
        note = _note(view, nearest[name], attribution)
        shown.append(exhibit_of(verdict, _figures(view, attribution), note=note))
    return shown


def _view(
    name: str, nearest: str, share: NDArray[np.float64], tables: CycleTables, settings: CyclePreparation
) -> CycleView:
    return CycleView(
        signals=settings.signals,
        values=_measured(tables, name),
        nearest=_measured(tables, nearest),
        anomaly_map=_shown_map(tables, name, share),
        seconds=None if settings.rate is None else 1 / settings.rate,
    )


def _measured(tables: CycleTables, name: str) -> Array:
    """Values (signals, steps) of a cycle, NaN where it is over."""
    (row,) = np.flatnonzero((tables.samples["sample_id"] == name).to_numpy())
    arrays = tables.features.only(("cycle", "valid")).read([int(row)])
    return np.where(arrays["valid"].numpy()[0] > 0, arrays["cycle"].numpy()[0], np.nan).astype(np.float32)


def _shown_map(tables: CycleTables, name: str, share: NDArray[np.float64]) -> Array | None:
    """Map of a cycle, each signal's row as bright as the signal counts; None without maps."""
    if not has_maps(tables.maps):
        return None
    (row,) = np.flatnonzero((tables.scored["sample_id"] == name).to_numpy())
    anomaly_map = tables.maps.read([int(row)])["map"].numpy()[0]
    if len(anomaly_map) != len(share):
        return np.asarray(anomaly_map, np.float32)
    mean = anomaly_map.mean(1)
    return np.asarray(anomaly_map * (share / np.where(mean > 0, mean, 1))[:, None], np.float32)


def _figures(view: CycleView, attribution: pd.DataFrame) -> list[tuple[str, bytes]]:
    by_signal = attribution["share"].sort_values(ascending=False, kind="stable")
    order = [view.signals.index(signal) for signal in by_signal.index]
    figures = [("attribution, and the nearest normal cycle", encode_png(signals_figure(view, order)))]
    if len(order) > 1:
        ranking = ranking_figure(by_signal, share_by_axis(attribution.reset_index()))
        figures.append(("share of the signals and axes", encode_png(ranking)))
    return figures


def _note(view: CycleView, nearest: str, attribution: pd.DataFrame) -> str:
    most = str(attribution["share"].idxmax())
    moment = view.moment(int(attribution["step"][most]))
    stands_out = "All signals together stand" if _is_joint(view) else f"{most} counts most and stands"
    return f"Blue: the nearest normal training cycle, {nearest}. {stands_out} out at {moment}."


def _is_joint(view: CycleView) -> bool:
    """Whether the map is one of all signals together."""
    return view.anomaly_map is not None and len(view.anomaly_map) != len(view.signals)
