"""Nodes of the station `mirror_audio`: from a raw folder to features, and from verdicts to exhibits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from endline.evidence.raw_folder import locate_raw
from endline.evidence.sound.exhibits import sound_exhibits
from endline.evidence.sound.mirror_features import measure_noise_floor, sound_features, sound_settings
from endline.evidence.sound.mirror_index import index_recordings
from endline.feature_set import FeatureRecipe, FeatureSet
from endline.pipelines.resolved import resolved
from endline.reporting.exhibit import Exhibit
from endline.samples import SplitRule, assign_split, check_samples
from endline.simulation.sound.mirror_audio import MirrorSimulation, simulate

Settings = Mapping[str, Any]


def locate(run: Settings, simulation: Settings) -> dict[str, Any]:
    """Find the recordings, or simulate them where there are none."""
    settings = MirrorSimulation(**simulation)
    return locate_raw(run, lambda folder, progress: simulate(folder, settings, progress))


def index(source: Settings, run: Settings, split: Settings) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Sample table, rejected files, and digests of the inputs."""
    found = index_recordings(Path(source["folder"]), group=run["group"], simulated=source["simulated"])
    samples = check_samples(assign_split(found.samples, SplitRule(**split), run["seed"]))
    digests = dict(zip(samples["path"], samples["digest"], strict=True))
    return samples, found.rejected, {**source, "digests": digests}


def noise_floor(
    samples: pd.DataFrame, source: Settings, sound: Settings, run: Settings, detectors: Mapping[str, Settings]
) -> dict[str, Any]:
    """The floor that the recordings are raised to, with the settings that a later recording must be heard with."""
    heard = resolved(sound, run, detectors)
    rate = sound["mel"]["sample_rate"]
    return {**measure_noise_floor(samples, Path(source["folder"]), sound["noise_floor"], rate), "sound": heard}


def features(samples: pd.DataFrame, source: Settings, floor: Settings) -> FeatureRecipe:
    """Recipe of the arrays."""
    return sound_features(samples, Path(source["folder"]), floor, sound_settings(floor["sound"]))


def exhibits(
    shortlist: pd.DataFrame,
    samples: pd.DataFrame,
    part_scores: pd.DataFrame,
    maps: FeatureSet,
    attribution: pd.DataFrame,
    source: Settings,
    floor: Settings,
) -> list[Exhibit]:
    """Waveform, mel images with their maps, and sound of the shortlisted recordings."""
    mel = sound_settings(floor["sound"]).mel
    return sound_exhibits(shortlist, samples, part_scores, maps, attribution, Path(source["folder"]), floor, mel)
