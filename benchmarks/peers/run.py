"""What a user would pick instead of endline, on the splits of `export.py`: anomalib, PyOD or aeon.

Settings are the libraries' own defaults; what had to be adapted or capped stands in the note of the result. Of PyOD
there are those that its authors' own papers put first: ECOD (Li et al. 2022, first on average of the eleven compared)
and, of ADBench (Han et al. 2022), which finds none that is best everywhere, isolation forest, k nearest neighbours
and local outlier factor, the last two for global and for local anomalies. They read endline's vectors.
Run in their environment: `benchmarks/peers/.venv/bin/python benchmarks/peers/run.py {anomalib,pyod,aeon}`.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from measuring import EXPORTED, Stopwatch, Trial, are_due, cpu_seconds, parser, run_apart

DETECTORS = {
    ("anomalib", "surface_image"): ("patchcore", "padim", "efficient_ad", "stfpm"),
    ("pyod", "surface_image"): ("ecod", "iforest", "knn", "lof"),
    ("pyod", "robot_cycle"): ("ecod", "iforest", "knn", "lof"),
    ("aeon", "robot_cycle"): ("rockad",),
}


def of_pyod(blank: Trial, split: Path, about: dict[str, Any]) -> Trial:
    """A detector of PyOD on endline's vectors; making these counts as a part of its time."""
    from pyod.models.ecod import ECOD
    from pyod.models.iforest import IForest
    from pyod.models.knn import KNN
    from pyod.models.lof import LOF

    new: dict[str, Callable[[], Any]] = {
        "ecod": ECOD,
        "iforest": lambda: IForest(random_state=about["seed"]),
        "knn": KNN,
        "lof": LOF,
    }
    train, tested = (np.load(split / f"{name}.npz")["vectors"] for name in ("train", "tested"))
    watch = Stopwatch()
    detector = new[blank.detector]()
    detector.fit(train)
    fit_seconds = watch.read()
    scores = detector.decision_function(tested)
    item_ms = 1000 * watch.read() / len(tested)
    made = f"of which making endline's {train.shape[1]} numbers {about['vector_fit_seconds']:.3g} s and "
    return replace(
        blank,
        fit_seconds=fit_seconds + about["vector_fit_seconds"],
        item_ms=item_ms + about["vector_item_ms"],
        scores=tuple(map(float, scores)),
        note=f"{made}{about['vector_item_ms']:.3g} ms",
    )


def of_aeon(blank: Trial, split: Path, about: dict[str, Any]) -> Trial:
    """ROCKAD on whole cycles; it is compiled by a first fit to a few, which is not counted."""
    from aeon.anomaly_detection.collection import ROCKAD

    train, tested = (np.load(split / f"{name}.npz")["cycles"].astype(np.float64) for name in ("train", "tested"))
    ROCKAD(random_state=0).fit(train[:8]).predict(tested[:2])
    watch = Stopwatch()
    detector = ROCKAD(random_state=about["seed"])
    detector.fit(train)
    fit_seconds = watch.read()
    scores = detector.predict(tested)
    item_ms = 1000 * watch.read() / len(tested)
    note = "from arrays; compilation not counted"
    return replace(blank, fit_seconds=fit_seconds, item_ms=item_ms, scores=tuple(map(float, scores)), note=note)


def of_anomalib(blank: Trial, split: Path, about: dict[str, Any]) -> Trial:
    """A model of anomalib on the files."""
    from anomalib_models import fitted_and_scored

    return fitted_and_scored(blank, split, about["height"], about["seed"])


RUNS = {"anomalib": of_anomalib, "pyod": of_pyod, "aeon": of_aeon}
READ = {  # by the process whose copies the trials are: importing is in no time, and done once
    "anomalib": ("anomalib_models",),
    "pyod": ("pyod.models.ecod", "pyod.models.iforest", "pyod.models.knn", "pyod.models.lof"),
    "aeon": ("aeon.anomaly_detection.collection",),
}


def main() -> None:
    """Run the trials of a library that have no result yet."""
    command = parser(__doc__.splitlines()[0], sorted(folder.name for folder in EXPORTED.iterdir()))
    command.add_argument("library", choices=sorted(RUNS))
    given = command.parse_args()
    for module in READ[given.library]:
        import_module(module)
    for split in (EXPORTED / name / str(seed) for seed in given.seeds for name in given.sets):
        if not (split / "split.json").exists():
            continue
        about = json.loads((split / "split.json").read_text())
        names = DETECTORS.get((given.library, about["station"]), ())
        for blank in are_due([Trial(given.library, version(given.library), name) for name in names], split, given):
            if cpu_seconds() < 60 * given.minutes:
                print(run_apart(blank, partial(RUNS[given.library], blank, split, about), split), flush=True)


if __name__ == "__main__":
    main()
