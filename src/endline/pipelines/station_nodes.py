"""Nodes of every station: they call the record of the station and the layers below, and hold no mathematics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from endline.array_store import ArrayStore
from endline.compute import Compute
from endline.detectors.base import build_detector
from endline.detectors.fitting import Detectors
from endline.evaluation.thresholds import Calibration
from endline.evidence.decoded import DECODED
from endline.evidence.raw_folder import locate_raw
from endline.evidence.station import Arrays, IndexRequest, Preparation, Shown, Station
from endline.feature_set import FeatureSet
from endline.published import PublishedModel
from endline.reporting.provenance import git_commit, package_versions
from endline.reporting.report import Exhibit
from endline.samples import TRAIN, divided

Settings = Mapping[str, Any]


def locate(station: Station, run: Settings, simulation: Settings) -> dict[str, Any]:
    """Find the raw files, or simulate them where there are none."""
    return locate_raw(run, lambda folder, progress: station.simulate(folder, simulation, progress))


def index(
    station: Station, source: Settings, run: Settings, split: Settings, preparation: Settings
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Sample table, rejected files, and digests and facts of the inputs."""
    request = IndexRequest(run["group"], source["simulated"], run["seed"], split, preparation)
    found = station.index(Path(source["folder"]), request)
    samples = divided(found, split, run["seed"], station.more_training)
    digests = dict(zip(samples["sample_id"], samples["digest"], strict=True))
    return samples, found.rejected, {**source, "facts": dict(found.facts), "digests": digests}


def prepare(
    station: Station,
    samples: pd.DataFrame,
    source: Settings,
    inputs: Settings,
    run: Settings,
    preparation: Settings,
    detectors: Mapping[str, Settings],
) -> Preparation:
    """How evidence becomes arrays: what the settings say, and what is fitted on the set."""
    detector = build_detector(run["detector"], detectors)
    wanted = Arrays(detector.required, detector.optional, detector.input_type)
    return station.prepare(samples, Path(source["folder"]), inputs["facts"], preparation, wanted)


def extract(samples: pd.DataFrame, source: Settings, preparation: Preparation, run: Settings) -> FeatureSet:
    """The arrays that the detector reads: found in the store, or made in one pass over the raw files."""
    store, compute = ArrayStore(Path(run["store"])), Compute(run["device"], run["precision"])
    features = store.make(preparation.recipe(samples, Path(source["folder"]), store, compute))
    DECODED.forget()
    return features


def exhibits(
    station: Station,
    shortlist: pd.DataFrame,
    samples: pd.DataFrame,
    features: FeatureSet,
    part_scores: pd.DataFrame,
    maps: FeatureSet,
    source: Settings,
    preparation: Preparation,
) -> list[Exhibit]:
    """What the report shows of the shortlisted items."""
    shown = Shown(shortlist, samples, features, part_scores, maps, Path(source["folder"]))
    return station.exhibits(shown, preparation)


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
    run: Settings,
) -> PublishedModel:
    """The model that `inspect` and `stream` read. It waits for metrics and report: a run that ends early has none."""
    training = samples["split"] == TRAIN
    unseen = np.flatnonzero(training & samples["sample_id"].isin(held_out["sample_id"]))
    keeps = preparation.segments and len(unseen) < int(training.sum())
    return PublishedModel(
        station=station.name,
        run=str(metrics.get("run", "")),
        detectors=detectors,
        preparation=preparation,
        calibration=Calibration(**calibration),
        normals=features.take(unseen) if keeps else None,
        about={
            "detector": run["detector"],
            "seed": run["seed"],
            "git_commit": git_commit(),
            "versions": package_versions(),
        },
    )
