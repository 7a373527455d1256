"""Inspect new files with the published model of a station's latest run."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from endline.compute import CPU, Compute
from endline.detectors.scoring import are_joint, detector_rows, score_rows, with_scores
from endline.errors import EndlineError
from endline.evidence.station import find_station
from endline.feature_set import FeatureSet
from endline.published import ABOUT, PublishedModel


@dataclass(frozen=True)
class Inspector:
    """Everything that a verdict on a new file needs, loaded once.

    Attributes:
        model: the published model.
        compute: device and precision.

    Example:
        `Inspector.of_latest_run(Path("."), "mirror_audio").inspect(Path("new.wav"))`
    """

    model: PublishedModel
    compute: Compute = CPU

    @classmethod
    def of_latest_run(
        cls, project: Path, station: str = "mirror_audio", *, env: str | None = None, compute: Compute = CPU
    ) -> "Inspector":
        """Inspector of the newest published model of a station; errors as `latest_model` and `PublishedModel.load`."""
        return cls(PublishedModel.load(latest_model(project, station, env), compute), compute)

    def inspect(self, path: Path) -> pd.DataFrame:
        """Verdict on one file: a row with `sample_id, score, p_value, flagged`.

        Raises:
            EndlineError: when the file cannot be used.
        """
        return self.judge(*self.model.preparation.inspect(path, self.compute))

    def inspect_each(self, path: Path) -> Iterator[tuple[str, pd.Series | EndlineError]]:
        """Verdict on each item of a file, by name: a row of `inspect`, or what is wrong with the item.

        Raises:
            EndlineError: when the file cannot be used at all.
        """
        for name, found in self.model.preparation.inspect_each(path, self.compute):
            yield name, found if isinstance(found, EndlineError) else self.judge(*found).iloc[0]

    def judge(self, rows: pd.DataFrame, features: FeatureSet) -> pd.DataFrame:
        """Verdicts on rows of the sample table with their arrays, columns as those of `inspect`."""
        detectors = dict(self.model.detectors)
        parts, view = detector_rows(rows, features, joint=are_joint(detectors))
        scores = score_rows(parts, view, detectors)
        verdicts = self.model.calibration.verdicts(with_scores(parts, scores))
        return verdicts[["sample_id", "score", "p_value", "flagged"]]


def latest_model(project: Path, station: str, env: str | None = None) -> Path:
    """Folder of the newest published model of a station.

    Args:
        project: the project's folder.
        station: its name.
        env: overlay of the configuration, which may name another folder.

    Raises:
        EndlineError: for an unknown station, when no run has been finished yet, and when the newest model has lost its
            `model.json`: an older one would judge in its stead, and nobody would know.
    """
    find_station(station)
    # Read as plain YAML: Kedro's own loader takes longer to import than a verdict does.
    files = [project / "conf" / name / "catalog.yml" for name in ("base", env) if name is not None]
    entries = [yaml.safe_load(file.read_text()).get("{station}.model") for file in files if file.exists()]
    named = [str(entry["filepath"]) for entry in entries if entry]
    if not named:
        raise EndlineError(f"{project} has no catalog that names the model: call this in the project's folder.")
    path = project / named[-1].replace("{station}", station)
    for version in sorted(path.glob("[!.]*"), reverse=True):
        model = version / path.name
        if (model / ABOUT).exists():
            return model
        # A run that goes on, or was killed, has no such folder: it appears in one step, whole. Asked last, for pruning
        # may have removed it meanwhile.
        if os.path.lexists(model):
            raise EndlineError(
                f"The newest published model, {model}, is damaged, it has lost {ABOUT}: run "
                f"`kedro run --pipeline={station}` again, or remove {version} to judge by the model before it."
            )
    raise EndlineError(f"There is no fitted detector yet: run `kedro run --pipeline={station}` first.")
