"""The acceptance set: labelled parts that train nobody, by which a champion is chosen."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from endline.array_store import ArrayStore
from endline.errors import EndlineError
from endline.evaluation.summary import peak_memory_mb, restart_peak_memory
from endline.evidence.rejected import after_rejections
from endline.evidence.station import IndexRequest, Station
from endline.evidence.units import with_units
from endline.operations.batch import Judge, targets_in
from endline.operations.inspection import Inspector
from endline.operations.promotion import Judged
from endline.operations.verdicts import NONE, NUMBERS
from endline.samples import item_of
from endline.tracking import data_digest

SHOWN = 3  # files that a refusal names


@dataclass(frozen=True)
class Acceptance:
    """Labelled items of a folder.

    Attributes:
        folder: of them.
        items: one row each: `sample_id, path, unit, label, digest`.
        samples: the sample table of these items, which may have a row for each of their parts.
        simulated: whether they were simulated.
        rejected: number of files that could not be used.

    Example:
        `read_acceptance(Path("acceptance"), find_station("mirror_audio"), parameters, "mirror").digest`
    """

    folder: Path
    items: pd.DataFrame
    samples: pd.DataFrame
    simulated: bool
    rejected: int

    @property
    def digests(self) -> dict[str, str]:
        """Item -> digest of what it holds."""
        return dict(zip(self.items["sample_id"], self.items["digest"], strict=True))

    @property
    def digest(self) -> str:
        """One digest of all: another one means that the set has changed."""
        return data_digest(self.digests)

    @property
    def line(self) -> str:
        """What it holds, in words."""
        counts = self.items["label"].value_counts()
        simulated = "SIMULATED " if self.simulated else ""
        left_out = f", {self.rejected} files left out" if self.rejected else ""
        return (
            f"{simulated}acceptance set {self.folder}: {counts.get(0, 0)} normal and {counts.get(1, 0)} faulty items"
            f"{left_out}, digest {self.digest[:12]}"
        )

    def check_unseen(self, training: Mapping[str, str], name: str) -> None:
        """Refuse files that a model has learned from.

        Args:
            training: path -> digest of those.
            name: of the model.

        Raises:
            EndlineError: naming the first of them.
        """
        learned = set(training.values())
        seen = self.items.loc[self.items["digest"].isin(learned), "path"].unique().tolist()
        if seen:
            named = ", ".join(map(str, seen[:SHOWN])) + (", ..." if len(seen) > SHOWN else "")
            raise EndlineError(
                f"{name} has learned from {len(seen)} file(s) of the acceptance set {self.folder} ({named}): take them "
                "out of the training data or of the set, for nobody is judged by what he knows."
            )


def read_acceptance(folder: Path, station: Station, parameters: Mapping[str, Any], group: str | None) -> Acceptance:
    """Labelled items of a folder, read as the station reads its raw files.

    Args:
        folder: of the set, with `labels.csv` or one folder a kind.
        station: whose parts they are.
        parameters: of the station.
        group: of the run.

    Raises:
        EndlineError: where there is no folder, or no labelled item in it.
    """
    if not folder.is_dir():
        raise EndlineError(f"There is no folder {folder} of an acceptance set: correct it (--acceptance).")
    simulated = (folder / "simulation.json").exists()
    request = IndexRequest(group, simulated, 0, parameters["split"], parameters["preparation"])
    index = station.index(folder, request)
    with after_rejections(index.rejected):
        samples = with_units(index.samples, folder, parameters["split"]["unit"])
    samples = samples[samples["label"].notna()].reset_index(drop=True)
    items = samples.assign(sample_id=item_of(samples)).drop_duplicates("sample_id")
    items = items[["sample_id", "path", "unit", "label", "digest"]]
    if items.empty:
        raise EndlineError(
            f"The acceptance set {folder} has no labelled {station.evidence}: label them in its labels.csv, or by "
            "folders."
        )
    return Acceptance(folder, items.reset_index(drop=True), samples, simulated, len(index.rejected))


def judge(acceptance: Acceptance, inspector: Inspector, station: Station) -> Judged:
    """What a model says of the set; each of its files is read once.

    Args:
        acceptance: the set.
        inspector: with the model.
        station: of both.
    """
    found: dict[str, dict[str, Any]] = {}
    seconds = []
    wanted = set(acceptance.items["path"])
    restart_peak_memory()
    judging = Judge(inspector, acceptance.folder)
    for target in targets_in(acceptance.folder, station):
        if target.name not in wanted:
            continue
        begun = time.perf_counter()
        rows = judging.judge(target)
        seconds.append((time.perf_counter() - begun) / len(rows))
        for row in rows:
            flagged = None if row.verdict == NONE else bool(row.flagged)
            found[row.sample_id] = _row(row.score, row.p_value, flagged, row.reason)
    begun = time.perf_counter()
    if apart := _of_large_files(acceptance, inspector, found):
        found |= apart
        seconds.append((time.perf_counter() - begun) / len(apart))
    memory = peak_memory_mb()
    gone = _row(nan, nan, None, "A file of the acceptance set has gone.")
    names = acceptance.items[["sample_id", "path"]].itertuples(index=False)
    verdicts = pd.DataFrame([found.get(name) or found.get(path) or gone for name, path in names])
    items = acceptance.items.assign(**{str(name): verdicts[name].to_numpy(object) for name in verdicts})
    items = items.astype(NUMBERS)
    return Judged(items, inspector.model.calibration, median(seconds) if seconds else inf, memory)


def _of_large_files(
    acceptance: Acceptance, inspector: Inspector, found: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Verdicts on items of files that are too large to be inspected as one, read piece by piece as a run does."""
    items = item_of(acceptance.samples)
    rows = acceptance.samples[~items.isin(found.keys()) & (items != acceptance.samples["path"])]
    if rows.empty:
        return {}
    rows = rows.reset_index(drop=True)
    with TemporaryDirectory() as folder:
        store = ArrayStore(Path(folder))
        try:
            recipe = inspector.model.preparation.recipe(rows, acceptance.folder, store, inspector.compute)
            verdicts = inspector.judge(rows, store.make(recipe))
        except EndlineError as error:
            return {name: _row(nan, nan, None, str(error)) for name in item_of(rows)}
    columns = verdicts[["sample_id", "score", "p_value", "flagged"]].itertuples(index=False)
    return {str(name): _row(float(score), float(p), bool(flagged), None) for name, score, p, flagged in columns}


def _row(score: float, p_value: float, flagged: bool | None, reason: str | None) -> dict[str, Any]:
    return {"score": score, "p_value": p_value, "flagged": flagged, "reason": reason}
