"""The published model of a run: everything that a verdict on a new sample needs, in one folder."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from endline.compute import CPU, Compute
from endline.detectors.base import Detector
from endline.detectors.registry import DAMAGE, load_detector
from endline.errors import EndlineError
from endline.evaluation.calibration import JOINS, RULES, Calibration
from endline.evidence.station import Preparation, find_station
from endline.feature_set import FeatureSet
from endline.field_types import check_fields

Detectors = Mapping[str, Detector[Any]]
FORMAT = 1  # of the folder; raised when an older endline would read a model wrongly
ABOUT, CALIBRATION, PREPARATION, NORMALS = "model.json", "calibration.json", "preparation.json", "normals"


@dataclass(frozen=True)
class PublishedModel:
    """What one run publishes; a reader never meets halves of two runs, since the folder appears in one step.

    Attributes:
        station: its name.
        run: id of the run: Kedro's version of all its outputs.
        detectors: by name, see `scoring.Detectors`.
        preparation: from a new file to arrays.
        calibration: from scores to verdicts.
        normals: arrays of normal samples that no detector has learned from, for the alarm of a stream; None where each
            was learned from, or samples do not run along time.
        about: what else is known of the run (seed, versions, commit), as JSON can write it.

    Example:
        `PublishedModel.load(Path("data/06_models/mirror_audio/model/<version>/model"))`
    """

    station: str
    run: str
    detectors: Detectors
    preparation: Preparation
    calibration: Calibration
    normals: FeatureSet | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the folder; whoever calls this makes it appear in one step (`files.whole`)."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, detector in self.detectors.items():
            detector.save(folder / "detectors" / name)
        write_preparation(self.preparation, folder / PREPARATION)
        (folder / CALIBRATION).write_text(json.dumps(self.calibration.as_json(), indent=1))
        if self.normals is not None:
            arrays = {name: values.numpy() for name, values in self.normals.read().items()}
            np.savez(folder / f"{NORMALS}.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub takes bools too
        named = {"station": self.station, "run": self.run, "detectors": sorted(self.detectors)}
        about = {"format": FORMAT, **named, "about": self.about}
        (folder / ABOUT).write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, folder: Path, compute: Compute = CPU) -> "PublishedModel":
        """The model of a folder.

        Raises:
            EndlineError: when a file is missing or damaged, or a newer endline wrote the folder.
        """
        try:
            about = json.loads((folder / ABOUT).read_text())
            if int(about.get("format", 1)) > FORMAT:  # models from before the format was written are of the first
                raise EndlineError(
                    f"The model in {folder} is of a newer endline (format {about['format']}, this one reads {FORMAT}): "
                    "install that version, or run the station again."
                )
            detectors = {name: load_detector(folder / "detectors" / name, compute) for name in about["detectors"]}
            if not detectors:
                raise ValueError(f"{ABOUT} names no detector")
            calibration = _read_calibration(folder / CALIBRATION)
            normals = None
            if (folder / f"{NORMALS}.npz").exists():
                # Opened here, for numpy leaves a damaged file open.
                with (folder / f"{NORMALS}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                    normals = FeatureSet(dict(arrays))
            preparation = read_preparation(folder / PREPARATION)
            station, run, more = preparation.station, str(about["run"]), dict(about["about"])
            if about["station"] != station:
                raise ValueError(f"{ABOUT} is of the station {about['station']}, {PREPARATION} of {station}")
            return cls(station, run, detectors, preparation, calibration, normals, more)
        except (*DAMAGE, AttributeError, BadZipFile) as error:
            said = str(error) or type(error).__name__
            raise EndlineError(f"The model in {folder} cannot be read ({said}): run the station again.") from error


def _read_calibration(path: Path) -> Calibration:
    """The calibration of a file; ValueError for one that no run writes: it would give no verdict, or any."""
    calibration = Calibration.from_json(json.loads(path.read_text()))
    check_fields(replace(calibration, scores=()))  # the scores of missing parts are NaN, so they are looked at below
    scores, folds, units = calibration.scores, calibration.folds, calibration.units
    if calibration.join not in JOINS or calibration.rule not in RULES or not 0 < calibration.stated_rate < 1:
        said = f"join {calibration.join}, rule {calibration.rule}, rate {calibration.stated_rate}"
        raise ValueError(f"{path.name} gives no verdict: {said}")
    if not scores or not calibration.parts or {len(scores), len(folds), len(units)} != {len(scores)}:
        raise ValueError(f"{path.name} gives no verdict: {len(scores)} scores, {len(folds)} folds, {len(units)} units")
    if any(sorted(set(numbers)) != list(range(len(set(numbers)))) for numbers in (folds, units)):
        raise ValueError(f"{path.name} counts its folds or units with gaps")
    if any(len(row) != len(calibration.parts) or not any(map(math.isfinite, row)) for row in scores):
        raise ValueError(f"{path.name} holds a normal without a finite score of its parts {[*calibration.parts]}")
    if any(map(math.isinf, chain.from_iterable(scores))):
        raise ValueError(f"{path.name} holds an infinite value")
    return calibration


def write_preparation(preparation: Preparation, path: Path) -> None:
    """Write a preparation beside the name of its class's station."""
    path.write_text(json.dumps({"station": preparation.station, **preparation.plain()}, indent=1))


def read_preparation(path: Path) -> Preparation:
    """The preparation of a file.

    Raises:
        EndlineError: when the file is missing or damaged, or of a station that is not there.
    """
    try:
        plain = json.loads(path.read_text())
        preparation = find_station(plain.pop("station")).preparation.from_plain(plain)
        check_fields(preparation)
        return preparation
    except (*DAMAGE, AttributeError) as error:
        raise EndlineError(f"The preparation {path} cannot be read ({error}): run the station again.") from error
