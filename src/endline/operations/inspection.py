"""Inspect new files with the detector of a station's latest run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import CatalogProtocol

from endline.backbones.networks import load_backbone
from endline.detectors.scoring import Detectors, are_joint, detector_rows, score_rows
from endline.errors import EndlineError
from endline.evaluation.thresholds import Calibration
from endline.evidence.cycles.features import cycle_arrays, cycle_settings
from endline.evidence.cycles.index import index_cycle
from endline.evidence.images.features import image_settings, photograph_arrays
from endline.evidence.images.index import index_image
from endline.evidence.sound.mirror_features import recording_maps, sound_settings
from endline.evidence.sound.mirror_index import index_recording
from endline.feature_set import FeatureSet

Catalog = CatalogProtocol[Any, Any]
Prepared = tuple[pd.DataFrame, FeatureSet]  # rows of the sample table, and their arrays
Prepare = Callable[[Path], Prepared]


def _recordings(floor: Mapping[str, Any]) -> Prepare:
    sound = sound_settings(floor["sound"])
    backbone = load_backbone(sound.arrays.pyramid.backbone, sound.arrays.pyramid.weights)

    def prepare(path: Path) -> Prepared:
        rows = index_recording(path)
        arrays = recording_maps(rows, path.parent, floor, sound, backbone)
        return rows, FeatureSet({name: x.numpy() for name, x in arrays.items()})

    return prepare


def _photographs(imaging: Mapping[str, Any]) -> Prepare:
    settings = image_settings(imaging)
    backbone = load_backbone(settings.arrays.pyramid.backbone, settings.arrays.pyramid.weights)

    def prepare(path: Path) -> Prepared:
        rows = index_image(path)
        arrays = photograph_arrays([path], settings, backbone)
        return rows, FeatureSet({name: x.numpy() for name, x in arrays.items()})

    return prepare


def _cycles(cycling: Mapping[str, Any]) -> Prepare:
    settings = cycle_settings(cycling)

    def prepare(path: Path) -> Prepared:
        rows, cycle = index_cycle(path, settings.form, settings.signals)
        return rows, FeatureSet(cycle_arrays([cycle], settings))

    return prepare


# Station -> the output of its run that says how evidence becomes arrays, and what makes them of a new file.
STATIONS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Prepare]]] = {
    "mirror_audio": ("noise_floor", _recordings),
    "robot_cycle": ("cycling", _cycles),
    "surface_image": ("imaging", _photographs),
}


@dataclass(frozen=True)
class Inspector:
    """Everything that a verdict on a new file needs, loaded once.

    Attributes:
        detectors: the fitted detectors.
        calibration: from scores to verdicts.
        prepare: from a file to its rows of the sample table and their arrays.
    """

    detectors: Detectors
    calibration: Calibration
    prepare: Prepare

    @classmethod
    def of_latest_run(cls, catalog: Catalog, station: str = "mirror_audio") -> "Inspector":
        """Inspector of the newest saved detector of a station.

        Raises:
            EndlineError: for a station without inspection, and when no run has been finished yet.
        """
        if station not in STATIONS:
            raise EndlineError(f"There is no station '{station}' to inspect at: choose one of {', '.join(STATIONS)}.")
        settings, prepared_by = STATIONS[station]
        names = [f"{station}.{name}" for name in ("detectors", "calibration", settings)]
        if not all(catalog.exists(name) for name in names):
            raise EndlineError(f"There is no fitted detector yet: run `kedro run --pipeline={station}` first.")
        detectors, calibration, described = (catalog.load(name) for name in names)
        return cls(detectors, Calibration(**calibration), prepared_by(described))

    def inspect(self, path: Path) -> pd.DataFrame:
        """Verdict on one file: a row with `sample_id, score, p_value, flagged`.

        Raises:
            EndlineError: when the file cannot be used.
        """
        rows, features = self.prepare(path)
        scored = np.flatnonzero(~rows["control"].to_numpy(bool))
        parts, view = detector_rows(rows.iloc[scored], features.take(scored), joint=are_joint(self.detectors))
        verdicts = self.calibration.verdicts(parts.assign(score=score_rows(parts, view, self.detectors)))
        return verdicts[["sample_id", "score", "p_value", "flagged"]]
