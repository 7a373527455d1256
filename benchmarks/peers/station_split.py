"""A set as a station of endline reads, divides and prepares it, by the settings of its sweep."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.startup import bootstrap_project

from endline.array_store import ArrayStore
from endline.detectors.registry import build_detector
from endline.errors import EndlineError
from endline.evidence.decoded import DECODED
from endline.evidence.station import Preparation, Station, find_station
from endline.feature_set import FeatureSet
from endline.operations.sweep.definitions import find_sweep
from endline.operations.sweep.resolved import configuration
from endline.pipelines.choosing import arrays_of
from endline.pipelines.station_nodes import index

ROOT = Path(__file__).parents[2]
# Name -> its sweep in benchmarks/sweeps.yml, and what of it is taken. The small ones first.
SETS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "force_torque_lp1": ("force_torque", {"group": "lp1"}),
    "dobot_cubes": ("dobot_cubes", {}),
    "unscrewing": ("unscrewing", {}),
    "kolektor": ("kolektor", {}),
    "mtd_tiles": ("mtd_tiles", {}),
}
SEEDS: Mapping[str, tuple[int, ...]] = {"mtd_tiles": (0,)}  # of the others 0, 1, 2


@dataclass(frozen=True)
class StationSplit:
    """A set, divided.

    Attributes:
        station: its station.
        samples: the sample table, with the column `split`.
        folder: of the raw files.
        facts: of the index, which a preparation needs.
        own: the station's settings.
        detectors: settings of all detectors.

    Example:
        >>> StationSplit.__dataclass_params__.frozen
        True
    """

    station: Station
    samples: pd.DataFrame
    folder: Path
    facts: Mapping[str, Any]
    own: Mapping[str, Any]
    detectors: Mapping[str, Mapping[str, Any]]

    def rows(self, split: str) -> pd.DataFrame:
        """Rows of `train` or `test`."""
        return self.samples[self.samples["split"] == split].reset_index(drop=True)

    def preparation(self, detector: str) -> Preparation:
        """How evidence becomes what a detector reads, fitted as in a run."""
        wanted = arrays_of(build_detector(detector, self.detectors))
        return self.station.prepare(self.samples, self.folder, self.facts, self.own["preparation"], wanted)

    def features(self, preparation: Preparation, rows: pd.DataFrame, store: Path) -> FeatureSet:
        """Arrays of some rows, made anew where the store is empty."""
        return ArrayStore(store).make(preparation.recipe(rows, self.folder, ArrayStore(store)))


def station_split(name: str, seed: int) -> StationSplit:
    """The set of a name, divided by a seed.

    Raises:
        EndlineError: where its files are not there.
    """
    bootstrap_project(ROOT)
    sweep_name, changes = SETS[name]
    sweep = find_sweep(sweep_name, ROOT)
    raw = Path(os.environ.get("ENDLINE_DATA", ROOT.parent / "shared/data")) / str(sweep.data)
    if not raw.is_dir():
        raise EndlineError(f"There is no folder {raw}: say by ENDLINE_DATA where the sets are. {sweep.source}")
    known = configuration(ROOT, "base", {**sweep.fixed, **changes, "seed": seed})["parameters"]
    own, station = known[sweep.station], find_station(sweep.station)
    source = {"folder": str(raw), "simulated": False}
    samples, _, inputs = index(station, source, own["run"], own["split"], own["preparation"])
    DECODED.forget()  # pictures of the index: every file is to be read again, and timed
    return StationSplit(station, samples, raw, inputs["facts"], own, known["detectors"])
