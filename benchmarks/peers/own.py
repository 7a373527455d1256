"""Endline's own detectors on the splits of `export.py`, fitted and timed as the peers are.

Each is fitted once to all training parts, as the peers are: nothing is held out for a threshold and nothing averaged
over folds, so its AUROC may differ a little from that of a run. Files of photographs are read, and their features made,
within the times; cycles are read before, as for the peers.
Run in the project's environment: `.venv/bin/python benchmarks/peers/own.py`.
"""

import json
import tempfile
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from measuring import EXPORTED, Stopwatch, Trial, are_due, cpu_seconds, parser, run_apart
from station_split import SEEDS, SETS, StationSplit, station_split

from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.detectors.scoring import BATCH
from endline.samples import TEST, TRAIN

LIBRARY = "endline"
DETECTORS = {
    "surface_image": ("position_gaussian", "gaussian", "patchcore"),
    "robot_cycle": ("cycle_neighbour", "rocket_neighbour"),
}
NOTES = {
    "surface_image": "from files; no anomaly map drawn",
    "robot_cycle": "from arrays",
}


def fitted_and_scored(blank: Trial, split: StationSplit, seed: int, store: Path) -> Trial:
    """The trial with its results."""
    reads_files = split.station.name == "surface_image"
    watch = Stopwatch()
    detector = build_detector(blank.detector, split.detectors)
    preparation = split.preparation(blank.detector)
    train = split.features(preparation, split.rows(TRAIN), store)
    if not reads_files:
        watch.read()
    detector.fit(train, seed=seed, progress=Progress(), rows=split.rows(TRAIN), pyramid=preparation.pyramid)
    fit_seconds = watch.read()
    tested = split.features(preparation, split.rows(TEST), store).only(*detector.reads)
    if not reads_files:
        watch.read()
    scores = [float(score) for batch in tested.batches(BATCH) for score in detector.score(batch).score]
    item_ms = 1000 * watch.read() / len(scores)
    return replace(
        blank, fit_seconds=fit_seconds, item_ms=item_ms, scores=tuple(scores), note=NOTES[split.station.name]
    )


def main() -> None:
    """Run the trials that have no result yet."""
    given = parser(__doc__.splitlines()[0], list(SETS)).parse_args()
    torch.set_num_threads(1)
    for name in given.sets:
        for seed in sorted(set(given.seeds) & set(SEEDS.get(name, (0, 1, 2)))):
            folder = EXPORTED / name / str(seed)
            station = json.loads((folder / "split.json").read_text())["station"]
            blanks = [Trial(LIBRARY, version(LIBRARY), detector) for detector in DETECTORS[station]]
            if not (due := are_due(blanks, folder, given)) or cpu_seconds() > 60 * given.minutes:
                continue
            split = station_split(name, seed)
            for blank in due:
                with tempfile.TemporaryDirectory() as store:
                    run = partial(fitted_and_scored, blank, split, seed, Path(store))
                    print(run_apart(blank, run, folder), flush=True)


if __name__ == "__main__":
    main()
