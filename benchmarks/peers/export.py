"""Write splits that endline made, and its features of them, for what runs in the environment of the peers.

Into `build/peers/<set>/<seed>/` go `train.csv` and `tested.csv` (the rows of endline's sample table, with the whole
path of each file), `train.npz` and `tested.npz` (vectors, of cycles also their arrays) and `split.json` (what making
the vectors took). Vectors are, of photographs, what endline's `gaussian` pools (EfficientNet-Lite0, `hybrid` pyramid);
of cycles, what `cycle_neighbour` counts of whole cycles: levels, spreads, trends, shapes, duration.
Run in the project's environment: `.venv/bin/python benchmarks/peers/export.py`.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from measuring import EXPORTED, Stopwatch
from numpy.typing import NDArray
from station_split import SEEDS, SETS, StationSplit, station_split

from endline.detectors.base import Detector
from endline.detectors.cycles.cycle_neighbour import CycleNeighbour
from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.detectors.statistics import pooled
from endline.feature_set import Batch, FeatureSet
from endline.samples import TEST, TRAIN

BATCH = 16
VECTORS_OF = {"surface_image": "gaussian", "robot_cycle": "cycle_neighbour"}


def vectors(features: FeatureSet, detector: Detector[Any]) -> NDArray[np.float32]:
    """A vector of each sample, (n, d): pooled maps, or statistics of whole cycles by a fitted detector's scales."""

    def of(batch: Batch) -> torch.Tensor:
        return detector.model.views(batch)[0] if isinstance(detector, CycleNeighbour) else pooled(batch)

    with torch.no_grad():
        made: NDArray[np.float32] = torch.cat([of(batch) for batch in features.batches(BATCH)]).numpy()
    return made


def arrays(split: StationSplit, seed: int) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """Arrays by split and name, and the seconds that those of training and one tested item took."""
    name = VECTORS_OF[split.station.name]
    few = {"kernels": 0} if name == "cycle_neighbour" else {}  # its other view, random convolutions, is not wanted here
    detector = build_detector(name, {name: {**split.detectors[name], **few}})
    preparation = split.preparation(name)
    made: dict[str, dict[str, Any]] = {}
    taken: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as store:
        for part in (TRAIN, TEST):
            rows, watch = split.rows(part), Stopwatch()
            features = split.features(preparation, rows, Path(store)).only(detector.required, detector.optional)
            if "cycle" in features:
                watch.read()  # cycles are read before, for all detectors
            if part == TRAIN and isinstance(detector, CycleNeighbour):
                detector.fit(features, seed=seed, progress=Progress())  # for the scales of the signals
            made[part] = {"vectors": vectors(features, detector)}
            taken[part] = watch.read()
            if "cycle" in features:
                made[part]["cycles"] = features.read()["cycle"].numpy()
    tested = len(made[TEST]["vectors"])
    return made, {"vector_fit_seconds": taken[TRAIN], "vector_item_ms": 1000 * taken[TEST] / tested}


def export(name: str, seed: int) -> Path:
    """Write one split; returns its folder."""
    split, folder = station_split(name, seed), EXPORTED / name / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made, costs = arrays(split, seed)
    for part, file in ((TRAIN, "train"), (TEST, "tested")):
        rows = split.rows(part)
        table: pd.DataFrame = rows.assign(path=[str(split.folder / path) for path in rows["path"]])
        table.to_csv(folder / f"{file}.csv", index=False)
        np.savez(folder / f"{file}.npz", **made[part])
    size = {key: split.own["preparation"].get(key) for key in ("height", "width")}
    about = {"set": name, "seed": seed, "station": split.station.name, **size, **costs}
    (folder / "split.json").write_text(json.dumps(about))
    return folder


def main() -> None:
    """Write the splits that were asked for and are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.sets:
        for seed in sorted(set(given.seeds) & set(SEEDS.get(name, (0, 1, 2)))):
            if not (EXPORTED / name / str(seed) / "split.json").exists():  # written last
                print(export(name, seed), flush=True)


if __name__ == "__main__":
    main()
