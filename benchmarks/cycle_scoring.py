"""Milliseconds to score one cycle of the published size, 130 signals at 1200 steps, with every detector of cycles.

The cycles are random numbers: no time depends on their values, and nothing is said of how well anything detects. The
neighbours are searched in as many training cycles as the thesis has; the others are fitted, for one epoch, to a few,
for what they hold does not grow with their number. As the same program takes another time in another process, by what
else its machine does, each is measured in several: beside the median time of a cycle that comes alone stand that of
the fastest and of the slowest process, and the median time of one of a batch.
Writes `benchmarks/results/cycle_scoring.csv`.
Run on an idle machine: `.venv/bin/python benchmarks/cycle_scoring.py`.
"""

import multiprocessing
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from rich import print

from endline.detectors.base import Detector
from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.feature_set import FeatureSet
from endline.reporting.provenance import git_commit, machine

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/cycle_scoring.csv"
SIGNALS, STEPS, TRAINING = 130, 1200, 948
FEW, BATCH, REPEATS, PROCESSES = 16, 16, 7, 5
SHORT = {"epochs": 1, "teacher_epochs": 1, "min_steps": 0, "states": [12], "iterations": 2, "milestones": []}


def cycles(count: int) -> FeatureSet:
    """Random cycles."""
    values = np.random.default_rng(0).standard_normal((count, SIGNALS, STEPS), np.float32)
    return FeatureSet({"cycle": values, "valid": np.ones((count, STEPS), np.float32)}, key="benchmark")


def fitted(name: str, settings: dict[str, Any]) -> Detector[Any]:
    """The detector of that name, of its full size, hardly trained."""
    known = asdict(build_detector(name, {name: settings}).config)
    changes = {key: value for key, value in SHORT.items() if key in known}
    detector = build_detector(name, {name: settings | changes})
    detector.fit(cycles(TRAINING if name == "nearest_cycle" else FEW), seed=0, progress=Progress())
    return detector


def milliseconds(detector: Detector[Any], count: int) -> list[float]:
    """Of one cycle when `count` are scored at once; the first time, which warms up, is left out."""
    batch, times = cycles(count).only(detector.required).read(), []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter()
        detector.score(batch)
        times.append(1000 * (time.perf_counter() - begun) / count)
    return times[1:]


def medians(name: str, settings: dict[str, Any]) -> tuple[float, float, int]:
    """Median milliseconds of a cycle alone and of one of a batch, and the detector's parameters."""
    detector = fitted(name, settings)
    single, batched = (statistics.median(milliseconds(detector, count)) for count in (1, BATCH))
    return single, batched, sum(each.numel() for each in detector.model.parameters())


def measured() -> Iterator[dict[str, Any]]:
    """A row for every detector that `kedro sweep unscrewing` compares, with the settings of both configurations."""
    settings_of = {
        env: yaml.safe_load((ROOT / f"conf/{env}/parameters/detectors.yml").read_text()) for env in ("base", "paper")
    }
    names = yaml.safe_load((ROOT / "benchmarks/sweeps.yml").read_text())["unscrewing"]["grid"]["detector"]
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, fresh, max_tasks_per_child=1) as pool:
        for name in names:
            for env, parameters in settings_of.items():
                settings = parameters["detectors"].get(name)
                if settings is None:
                    continue
                results = [pool.submit(medians, name, settings).result() for _ in range(PROCESSES)]
                single, batched, sizes = zip(*results, strict=True)
                yield {
                    "detector": name,
                    "settings": env,
                    "ms_one_cycle": round(statistics.median(single), 1),
                    "ms_one_cycle_fastest": round(min(single), 1),
                    "ms_one_cycle_slowest": round(max(single), 1),
                    "ms_of_a_batch": round(statistics.median(batched), 1),
                    "parameters": sizes[0],
                    "processes": PROCESSES,
                    "threads": torch.get_num_threads(),
                    "machine": machine(),
                    "torch": torch.__version__,
                    "commit": git_commit(),
                }


def main() -> None:
    """Measure, show and write."""
    rows = []
    for row in measured():
        print(row)
        rows.append(row)
    table = pd.DataFrame(rows)
    RESULTS.parent.mkdir(exist_ok=True)
    table.to_csv(RESULTS, index=False)
    print(table.iloc[:, :7].to_string(index=False))


if __name__ == "__main__":
    main()
