"""Clips a second that become the arrays of each detector of running machines, on one and on two threads.

SIMULATED clips of one machine, indexed once; nothing is said of how well anything detects. Each pass reads the files
anew and makes all arrays that the detector reads, into an empty store, as a run does. One and two threads (`workers` of
the station) take turns, after a pass that loads what is loaded once, so that what else the machine does meets both:
compare them by `ratio`, within a row.
Writes `benchmarks/results/clip_extraction.csv`. Run on an idle machine:
`.venv/bin/python benchmarks/clip_extraction.py [--clips=64 --seconds=10 --repeats=3]`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich import print

from endline.array_store import ArrayStore
from endline.detectors.registry import build_detector
from endline.evaluation.baselines import SUMMARY
from endline.evaluation.controls import CONTROL
from endline.evidence.decoded import DECODED
from endline.evidence.sound.machine_audio import prepare, reading_of
from endline.evidence.sound.machine_index import index_clips
from endline.evidence.station import Arrays
from endline.operations.sweep.definitions import projects
from endline.operations.sweep.resolved import configuration
from endline.reporting.provenance import git_commit, machine
from endline.simulation.sound.machine_audio import MachineSimulation, simulate

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/clip_extraction.csv"
MACHINE = "gearbox"
WORKERS = (1, 2)
BESIDES = ("section_classifier", "mobilenet_outlier_exposure", "best_of")  # those that valve5 has no data for


def readers(settings: dict[str, Any]) -> dict[Arrays, list[str]]:
    """What detectors of clips read -> their names, each kind of reading once."""
    found: dict[Arrays, list[str]] = {}
    for name in (*projects(ROOT)["valve5"]["grid"]["detector"], *BESIDES):
        detector = build_detector(name, settings)
        found.setdefault(Arrays(detector.required, detector.optional, detector.input_type), []).append(name)
    return found


def seconds_of(samples: pd.DataFrame, folder: Path, parameters: dict[str, Any], wanted: Arrays) -> tuple[float, str]:
    """Seconds of one pass over the clips, and the names of the arrays that it makes."""
    preparation = prepare(samples, folder, {}, parameters, wanted)
    DECODED.forget()
    with tempfile.TemporaryDirectory() as place:
        store = ArrayStore(Path(place))
        begun = time.perf_counter()
        features = store.make(preparation.recipe(samples, folder, store))
        return time.perf_counter() - begun, " ".join(sorted({*features.shapes} - {CONTROL, SUMMARY}))


def measured(clips: int, seconds: float, repeats: int) -> Iterator[dict[str, Any]]:
    """A row for each set of arrays."""
    known = configuration(ROOT, "base", {})["parameters"]
    parameters = known["machine_audio"]["preparation"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "raw"
        few = MachineSimulation(train=clips, target=0, normals=0, faulty=0, seconds=seconds, machines=(MACHINE,))
        simulate(folder, few)
        samples = index_clips(folder, group=None, simulated=True, reading=reading_of(parameters)).samples
        for wanted, names in readers(known["detectors"]).items():
            times: dict[int, list[float]] = {workers: [] for workers in WORKERS}
            seconds_of(samples, folder, parameters, wanted)
            for _ in range(repeats):
                for workers in WORKERS:
                    taken, arrays = seconds_of(samples, folder, {**parameters, "workers": workers}, wanted)
                    times[workers].append(taken)
            one, two = (clips / statistics.median(times[workers]) for workers in WORKERS)
            yield {
                "arrays": arrays,
                "input_type": wanted.input_type if "scale" in wanted.required else "",
                "detectors": " ".join(names),
                "clips_a_second_one_worker": round(one, 2),
                "clips_a_second_two_workers": round(two, 2),
                "ratio": round(two / one, 2),
                "clips": clips,
                "seconds_of_a_clip": seconds,
                "repeats": repeats,
                "threads_of_torch": torch.get_num_threads(),
                "machine": machine(),
                "torch": torch.__version__,
                "commit": git_commit(),
            }


def main() -> None:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a clip, at least 3")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS, help="CSV file")
    given = parser.parse_args()
    rows = []
    for row in measured(given.clips, given.seconds, given.repeats):
        print(row)
        rows.append(row)
    given.output.parent.mkdir(exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(given.output, index=False)
    print(table.iloc[:, [0, 1, 3, 4, 5]].to_string(index=False))


if __name__ == "__main__":
    main()
