"""Inspect new recordings with the detector of the latest run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import CatalogProtocol

from endline.detectors.fitting import Detectors, are_joint, score_rows, units
from endline.errors import EndlineError
from endline.evaluation.thresholds import Calibration
from endline.feature_set import FeatureSet
from endline.features.backbones import Backbone, load_backbone
from endline.features.mirror_index import index_recording
from endline.features.mirror_sound import recording_maps, sound_settings

STATION = "mirror_audio"


@dataclass(frozen=True)
class Inspector:
    """Everything that a verdict on a new recording needs, loaded once.

    Attributes:
        detectors: the fitted detectors.
        calibration: from scores to verdicts.
        floor: the noise floor and the sound settings of the training.
        backbone: the loaded backbone.
    """

    detectors: Detectors
    calibration: Calibration
    floor: Mapping[str, Any]
    backbone: Backbone

    @classmethod
    def of_latest_run(cls, catalog: CatalogProtocol[Any, Any]) -> "Inspector":
        """Inspector of the newest saved detector.

        Raises:
            EndlineError: when no run has been finished yet.
        """
        names = [f"{STATION}.{name}" for name in ("detectors", "calibration", "noise_floor")]
        if not all(catalog.exists(name) for name in names):
            raise EndlineError(f"There is no fitted detector yet: run `kedro run --pipeline={STATION}` first.")
        detectors, calibration, floor = (catalog.load(name) for name in names)
        sound = sound_settings(floor["sound"])
        return cls(detectors, Calibration(**calibration), floor, load_backbone(sound.backbone, sound.weights))

    def inspect(self, path: Path) -> pd.DataFrame:
        """Verdict on one recording: a row with `sample_id, score, p_value, flagged`.

        Raises:
            EndlineError: when the recording cannot be used.
        """
        rows = index_recording(path)
        maps = recording_maps(rows, path.parent, self.floor, sound_settings(self.floor["sound"]), self.backbone)
        scored = np.flatnonzero(~rows["control"].to_numpy(bool))
        features = FeatureSet({name: x.numpy() for name, x in maps.items()}).take(scored)
        parts, view = units(rows.iloc[scored], features, joint=are_joint(self.detectors))
        scores, _ = score_rows(parts, view, self.detectors, maps=False)
        verdicts = self.calibration.verdicts(parts.assign(score=scores))
        return verdicts[["sample_id", "score", "p_value", "flagged"]]
