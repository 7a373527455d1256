"""Nodes of the station `robot_cycle`: from a raw folder to features, and from verdicts to exhibits."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from endline.detectors.registry import build_detector
from endline.errors import EndlineError
from endline.evidence.cycles.exhibits import cycle_exhibits
from endline.evidence.cycles.features import ARRAYS, CycleSettings, common_length, cycle_features, cycle_settings, plain
from endline.evidence.cycles.index import CycleIndexing, index_cycles
from endline.evidence.cycles.values import CycleFormat
from endline.evidence.raw_folder import locate_raw
from endline.feature_set import FeatureRecipe, FeatureSet
from endline.reporting.report import Exhibit
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


def exhibits(
    shortlist: pd.DataFrame,
    part_scores: pd.DataFrame,
    maps: FeatureSet,
    samples: pd.DataFrame,
    features: FeatureSet,
    cycling: Settings,
) -> list[Exhibit]:
    """The guilty signals of the shortlisted cycles over the nearest normal cycle, with the map below."""
    return cycle_exhibits(shortlist, part_scores, maps, samples, features, cycle_settings(cycling))


def _arrays(name: str, detectors: Mapping[str, Settings]) -> tuple[str, ...]:
    """Arrays that the detector reads, and those that the exhibits show.

    Raises:
        EndlineError: for a detector that reads something else than cycles.
    """
    read = build_detector(name, detectors).required
    if not set(read) <= set(ARRAYS):
        fitting = [key for key in detectors if set(build_detector(key, detectors).required) <= set(ARRAYS)]
        raise EndlineError(f"{name} reads images, not cycles: choose one of {', '.join(sorted(fitting))}.")
    return tuple(array for array in ARRAYS if array in read or array in ("cycle", "valid"))


def _format(name: str, formats: Mapping[str, Settings]) -> CycleFormat:
    if name not in formats:
        raise EndlineError(f"robot_cycle.formats has no '{name}': choose one of {', '.join(sorted(formats))}.")
    return CycleFormat(**formats[name])
