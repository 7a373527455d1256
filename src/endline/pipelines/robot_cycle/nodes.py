"""Nodes of the station `robot_cycle`: from a raw folder to features, and from verdicts to exhibits."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from endline.detectors.base import detector_class
from endline.errors import EndlineError
from endline.evaluation.attribution import cycle_attribution
from endline.evaluation.nearest_cycles import nearest_training_cycles
from endline.evidence.cycles.exhibits import CycleTables, cycle_exhibits
from endline.evidence.cycles.features import ARRAYS, CycleSettings, common_length, cycle_features, cycle_settings, plain
from endline.evidence.cycles.index import CycleIndexing, index_cycles
from endline.evidence.cycles.values import CycleFormat
from endline.evidence.raw_folder import locate_raw
from endline.feature_set import FeatureRecipe, FeatureSet
from endline.reporting.exhibit import Exhibit
from endline.samples import SplitRule, assign_split, check_samples, check_training_items
from endline.simulation.robot.robot_cycle import RobotSimulation, simulate

Settings = Mapping[str, Any]


def locate(run: Settings, simulation: Settings) -> dict[str, Any]:
    """Find the cycles, or simulate them where there are none."""
    settings = RobotSimulation(**simulation)
    return locate_raw(run, lambda folder, progress: simulate(folder, settings, progress))


def index(
    source: Settings,
    run: Settings,
    cycles: Settings,
    formats: Mapping[str, Settings],
    split: Settings,
    detectors: Mapping[str, Settings],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """Sample table, rejected cycles, digests of the inputs, and how every cycle becomes arrays."""
    arrays = _arrays(run["detector"], detectors)
    form = _format(cycles["format"], formats)
    found = index_cycles(
        Path(source["folder"]),
        CycleIndexing(
            group=run["group"],
            simulated=source["simulated"],
            signals=cycles["signals"],
            rate=cycles["rate"],
            stretched=cycles["steps"] is not None,
            file=cycles["file"],
            form=form,
            gain=split["training_gain"],
            seed=run["seed"],
        ),
    )
    samples = found.samples
    if found.published_split:
        check_training_items(int((samples["split"] == "train").sum()), "take more of them (training_gain)")
    else:
        rule = SplitRule(**{field.name: split[field.name] for field in fields(SplitRule)})
        samples = assign_split(samples, rule, run["seed"])
    rate = None if cycles["steps"] is not None else cycles["rate"] or float(samples["rate"].median())
    length = cycles["steps"] if rate is None else common_length(samples, rate)
    cycling = plain(CycleSettings(found.signals, length, rate, arrays, form))
    digests = dict(zip(samples["sample_id"], samples["digest"], strict=True))
    return check_samples(samples), found.rejected, {**source, "digests": digests}, cycling


def features(samples: pd.DataFrame, source: Settings, cycling: Settings) -> FeatureRecipe:
    """Recipe of the arrays."""
    return cycle_features(samples, Path(source["folder"]), cycle_settings(cycling))


def attribution(
    shortlist: pd.DataFrame,
    part_scores: pd.DataFrame,
    maps: FeatureSet,
    samples: pd.DataFrame,
    features: FeatureSet,
    cycling: Settings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How much each signal counts in each scored cycle, and the normal cycles nearest to the shortlisted ones.

    Without a shortlist nothing is shown, and no map was made: both tables are then empty.
    """
    scored = part_scores.iloc[:0] if shortlist.empty else part_scores
    signals = cycle_settings(cycling).signals
    nearest = nearest_training_cycles(shortlist["sample_id"].tolist(), samples, features)
    return cycle_attribution(scored, maps, samples, features, signals), nearest


def exhibits(
    shortlist: pd.DataFrame,
    part_scores: pd.DataFrame,
    maps: FeatureSet,
    attribution: pd.DataFrame,
    nearest: pd.DataFrame,
    samples: pd.DataFrame,
    features: FeatureSet,
    cycling: Settings,
) -> list[Exhibit]:
    """The signals of the shortlisted cycles that count most over the nearest normal cycle, with the map below."""
    tables = CycleTables(part_scores, maps, attribution, nearest, samples, features)
    return cycle_exhibits(shortlist, tables, cycle_settings(cycling))


def _arrays(name: str, detectors: Mapping[str, Settings]) -> tuple[str, ...]:
    """Kinds of arrays that the detector reads, and those that the exhibits show.

    Raises:
        EndlineError: for a detector that reads something else than cycles.
    """
    read = detector_class(name, detectors).inputs
    if not set(read) <= set(ARRAYS):
        fitting = [key for key in detectors if set(detector_class(key, detectors).inputs) <= set(ARRAYS)]
        raise EndlineError(f"{name} reads images, not cycles: choose one of {', '.join(sorted(fitting))}.")
    return tuple(kind for kind in ARRAYS if kind in read or kind in ("cycle", "valid"))


def _format(name: str, formats: Mapping[str, Settings]) -> CycleFormat:
    if name not in formats:
        raise EndlineError(f"robot_cycle.formats has no '{name}': choose one of {', '.join(sorted(formats))}.")
    return CycleFormat(**formats[name])
