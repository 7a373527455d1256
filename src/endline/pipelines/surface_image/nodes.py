"""Nodes of the station `surface_image`: from a raw folder to features, and from verdicts to exhibits."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from endline.evidence.images.defect_masks import mask_features
from endline.evidence.images.exhibits import image_exhibits
from endline.evidence.images.features import image_settings, surface_features
from endline.evidence.images.index import index_images
from endline.evidence.raw_folder import locate_raw
from endline.feature_set import FeatureRecipe, FeatureSet
from endline.pipelines.resolved import resolved
from endline.reporting.exhibit import Exhibit
from endline.samples import SplitRule, assign_split, check_samples, check_training_items
from endline.simulation.images.surface_image import SurfaceSimulation, simulate

Settings = Mapping[str, Any]


def locate(run: Settings, simulation: Settings) -> dict[str, Any]:
    """Find the photographs, or simulate them where there are none."""
    settings = SurfaceSimulation(**simulation)
    return locate_raw(run, lambda folder, progress: simulate(folder, settings, progress))


def index(source: Settings, run: Settings, split: Settings) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Sample table, rejected files, and digests of the inputs."""
    found = index_images(
        Path(source["folder"]),
        group=run["group"],
        simulated=source["simulated"],
        shots=split["shots"],
        seed=run["seed"],
    )
    samples = found.samples
    if found.published_split:
        check_training_items(int((samples["split"] == "train").sum()), "take more of them (shots)")
    else:
        rule = SplitRule(**{field.name: split[field.name] for field in fields(SplitRule)})
        samples = assign_split(samples, rule, run["seed"])
    digests = dict(zip(samples["path"], samples["digest"], strict=True))
    return check_samples(samples), found.rejected, {**source, "digests": digests}


def imaging(images: Settings, run: Settings, detectors: Mapping[str, Settings]) -> dict[str, Any]:
    """How photographs become arrays for the run's detector; a later photograph must be treated alike."""
    return resolved(images, run, detectors)


def features(samples: pd.DataFrame, source: Settings, imaging: Settings) -> FeatureRecipe:
    """Recipe of the arrays."""
    return surface_features(samples, Path(source["folder"]), image_settings(imaging))


def masks(part_scores: pd.DataFrame, source: Settings) -> FeatureRecipe:
    """Recipe of the defect masks of the scored photographs."""
    return mask_features(part_scores, Path(source["folder"]))


def exhibits(
    shortlist: pd.DataFrame, part_scores: pd.DataFrame, maps: FeatureSet, attribution: pd.DataFrame, source: Settings
) -> list[Exhibit]:
    """Photograph, anomaly map and mask of the shortlisted items."""
    return image_exhibits(shortlist, part_scores, maps, attribution, Path(source["folder"]))
