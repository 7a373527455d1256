"""Nodes of every station: they call the record of the station and the layers below, and hold no mathematics."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from endline.array_store import ArrayStore
from endline.detectors.registry import build_detector
from endline.detectors.scoring import Detectors
from endline.evaluation.calibration import Calibration
from endline.evidence.decoded import DECODED
from endline.evidence.near_duplicates import COLUMNS, near_duplicates
from endline.evidence.raw_folder import locate_raw
from endline.evidence.rejected import after_rejections
from endline.evidence.station import IndexRequest, Preparation, Shown, Station
from endline.evidence.units import units_on_both_sides, with_units, without_mixed_units
from endline.feature_set import FeatureSet
from endline.pipelines.choosing import arrays_of
from endline.pipelines.detection.nodes import compute_of
from endline.published import PublishedModel
from endline.reporting.exhibit import Exhibit
from endline.reporting.provenance import git_commit, package_versions
from endline.samples import TRAIN, item_of, rejected_table
from endline.splits import divided

Settings = Mapping[str, Any]
log = logging.getLogger(__name__)


def locate(station: Station, run: Settings, simulation: Settings) -> dict[str, Any]:
    """Find the raw files, or simulate them where there are none."""
    return locate_raw(run, lambda folder, progress: station.simulate(folder, simulation, progress))


def index(
    station: Station, source: Settings, run: Settings, split: Settings, preparation: Settings
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Sample table, rejected files, and digests and facts of the inputs."""
    request = IndexRequest(run["group"], source["simulated"], run["seed"], split, preparation)
    folder = Path(source["folder"])
    found = station.index(folder, request)
    with after_rejections(found.rejected):
        parts, mixed = without_mixed_units(with_units(found.samples, folder, split["unit"]))
    if mixed:
        log.warning("%d normal file(s) of parts that have faulty ones too are left out.", len(mixed))
    rejected = pd.concat([found.rejected, rejected_table(mixed)], ignore_index=True)
    with after_rejections(rejected):
        samples = divided(replace(found, samples=parts), split, run["seed"], station.more_training)
    if both := units_on_both_sides(samples):
        log.warning("%d part(s) are in training and in test (%s, ...): the figures are too good.", len(both), both[0])
    # A file of many cycles has a digest for each.
    several = bool((samples.groupby("path")["digest"].nunique() > 1).any())
    digests = dict(zip(samples["sample_id" if several else "path"], samples["digest"], strict=True))
    return samples, rejected, {**source, "facts": dict(found.facts), "digests": digests}


def look_alikes(samples: pd.DataFrame) -> pd.DataFrame:
    """Tested items that look like one that trained, where the index says how a sample looks."""
    if "look_hash" not in samples:
        return pd.DataFrame(columns=list(COLUMNS)).astype({"training": str, "tested": str, "distance": float})
    item = dict(zip(samples["sample_id"], item_of(samples), strict=True))
    pairs = near_duplicates(samples)
    pairs = pairs.assign(training=pairs["training"].map(item), tested=pairs["tested"].map(item))
    if len(pairs):
        log.warning(
            "%d tested sample(s) look like one that trained (%s and %s first): if they show one physical part, say so "
            "in units.csv, for the figures say nothing about new parts then.",
            pairs["tested"].nunique(),
            pairs["tested"].iloc[0],
            pairs["training"].iloc[0],
        )
    return pairs


def prepare(
    station: Station,
    samples: pd.DataFrame,
    source: Settings,
    inputs: Settings,
    choice: Settings,
    preparation: Settings,
    detectors: Mapping[str, Settings],
) -> Preparation:
    """How evidence becomes arrays: what the settings say, and what is fitted on the set."""
    wanted = arrays_of(build_detector(choice["detector"], detectors))
    return station.prepare(samples, Path(source["folder"]), inputs["facts"], preparation, wanted)


def extract(samples: pd.DataFrame, source: Settings, preparation: Preparation, run: Settings) -> FeatureSet:
    """The arrays that the detector reads: found in the store, or made in one pass over the raw files."""
    store, compute = ArrayStore(Path(run["store"])), compute_of(run)
    features = store.make(preparation.recipe(samples, Path(source["folder"]), store, compute))
    DECODED.forget()
    return features


def masks(
    station: Station, part_scores: pd.DataFrame, source: Settings, preparation: Preparation, run: Settings
) -> FeatureSet:
    """Defect masks of the scored rows, as the array `defect`."""
    assert station.masks is not None  # the node is there only then
    made = station.masks(part_scores, Path(source["folder"]), preparation)
    return ArrayStore(Path(run["store"])).keep("defect", made, len(part_scores), "bool")


def attribute(
    station: Station,
    shortlist: pd.DataFrame,
    samples: pd.DataFrame,
    features: FeatureSet,
    part_scores: pd.DataFrame,
    maps: FeatureSet,
    source: Settings,
    preparation: Preparation,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the verdicts come from, and the training sample nearest to each shortlisted item."""
    shown = Shown(shortlist, samples, features, part_scores, maps, Path(source["folder"]))
    return station.attribute(shown, preparation)


def remarks(station: Station, samples: pd.DataFrame, scores: pd.DataFrame, preparation: Preparation) -> dict[str, str]:
    """What of each tested item counts by itself, or was left out, by its `sample_id`; of most there is nothing."""
    items = item_of(samples)
    tested = items.isin(scores["sample_id"])
    found: dict[str, list[str]] = {}
    for name, row in zip(items[tested], samples[tested].to_dict("records"), strict=True):
        found.setdefault(name, []).extend(f"It {remark}" for remark in preparation.remarks(row))
    said = {name: " ".join(sentences) for name, sentences in found.items() if sentences}
    if said:
        first = next(iter(said))
        log.warning(
            "The report remarks on %d of the %d tested %s, such as %s: %s",
            len(said),
            len(scores),
            station.evidence,
            first,
            said[first],
        )
    return said


def exhibits(
    station: Station,
    shortlist: pd.DataFrame,
    samples: pd.DataFrame,
    features: FeatureSet,
    part_scores: pd.DataFrame,
    maps: FeatureSet,
    source: Settings,
    attribution: pd.DataFrame,
    nearest: pd.DataFrame,
    preparation: Preparation,
    remarks: Mapping[str, str],
) -> list[Exhibit]:
    """What the report shows of the shortlisted items."""
    folder = Path(source["folder"])
    shown = Shown(shortlist, samples, features, part_scores, maps, folder, attribution, nearest)
    drawn = station.exhibits(shown, preparation)
    return [replace(each, remark=remarks.get(each.sample_id, "")) for each in drawn]


def publish(
    station: Station,
    detectors: Detectors,
    preparation: Preparation,
    calibration: Settings,
    samples: pd.DataFrame,
    features: FeatureSet,
    held_out: pd.DataFrame,
    metrics: Settings,
    report: str,
    choice: Settings,
    run: Settings,
) -> PublishedModel:
    """The model that `inspect` and `stream` read. It waits for metrics and report: a run that ends early has none."""
    training = samples["split"] == TRAIN
    unseen = np.flatnonzero(training & samples["sample_id"].isin(held_out["sample_id"]))
    keeps = preparation.segments and len(unseen) < int(training.sum())
    return PublishedModel(
        station=station.name,
        run="",  # the dataset knows it: Kedro's version of the folder
        detectors=detectors,
        preparation=preparation,
        calibration=Calibration.from_json(calibration),
        normals=features.take(unseen) if keeps else None,
        about={
            "detector": choice["detector"],
            "seed": run["seed"],
            "git_commit": git_commit(),
            "versions": package_versions(),
        },
    )
