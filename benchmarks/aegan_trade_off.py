"""What hop, batch and width of AEGAN cost, and what they do to its ranking of clips.

The system as published (hop 1, batch 512, 32 channels, 60 epochs) needs hours an epoch of 1000 clips on two cores. Here
hop, batch and width are changed from those of `conf/base`, by which 1000 clips train in 13 minutes. Each row
is one training on SIMULATED clips of one machine in the layout of DCASE 2023: the seconds of a step (of the whole fit,
by its number of steps), the minutes that 1000 clips of 10 s would train at the row's own number of epochs, and the
AUROC of the score that is fixed in advance. Beside it stands the best of all nineteen scores, chosen by the tested
clips' labels: an UPPER BOUND, no figure of a detector.
Writes `benchmarks/results/aegan_trade_off.csv`; rows that are not measured anew stay. Run on an idle machine (hours):
`.venv/bin/python benchmarks/aegan_trade_off.py`; `--cases default "hop 31" --machines fan` for a look, `--cases
published --device cuda` on a GPU.
"""

import argparse
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from rich import print

from aegan_published import scores_of
from endline.compute import Compute
from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.detectors.sound.aegan import AEGAN, AEGANConfig
from endline.detectors.sound.spectrogram_windows import WindowSet
from endline.evaluation.metrics import auroc
from endline.evidence.sound.clip_arrays import MAKERS
from endline.evidence.sound.machine_index import Reading, clip_signal, index_clips
from endline.feature_set import FeatureSet
from endline.files import content_key, write_whole
from endline.reporting.provenance import git_commit, machine
from endline.samples import TEST, TRAIN
from endline.simulation.sound.machine_audio import MachineSimulation, simulate

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/aegan_trade_off.csv"
ARRAY = "log_mel_long"
CLIPS, FRAMES = 1000, 313  # of a machine of DCASE, clips of 10 s
SAME = ["case", "machine", "clips", "seconds_of_a_clip", "device", "seed"]  # of a row that is measured anew
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "hop 93": {"hop": 93},
    "hop 31": {"hop": 31},
    "hop 8": {"hop": 8},
    "hop 93, batch 64": {"hop": 93, "batch_size": 64},
    "hop 93, batch 256": {"hop": 93, "batch_size": 256},
    "hop 93, width 16": {"hop": 93, "hidden": 16},
    "hop 93, width 32": {"hop": 93, "hidden": 32},
}
PASSES: dict[str, Any] = {"epochs": 12, "min_steps": 0}  # of all cases, however many steps a pass has
PUBLISHED = "published"  # by conf/paper: for a GPU


def config_of(case: str) -> AEGANConfig:
    """Settings of a case."""
    env = "paper" if case == PUBLISHED else "base"
    known = yaml.safe_load((ROOT / f"conf/{env}/parameters/detectors.yml").read_text())["detectors"]
    config: AEGANConfig = build_detector("aegan", known).config
    return config if case == PUBLISHED else replace(config, **PASSES, **CASES[case])


def spectrograms(folder: Path, name: str) -> tuple[FeatureSet, FeatureSet, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Spectrograms of the training clips and of the tested ones, and which of these are anomalous."""
    reading = Reading()
    samples = index_clips(folder, group=name, simulated=True, reading=reading).samples
    signals = (clip_signal(folder / path, reading) for path in samples["path"])
    values = np.stack([MAKERS[ARRAY](signal, reading.sample_rate) for signal in signals])
    clips = FeatureSet({ARRAY: values}, key=content_key(samples["digest"].tolist(), ARRAY))
    train, test = (np.flatnonzero(samples["split"] == split) for split in (TRAIN, TEST))
    return clips.take(train), clips.take(test), (samples["label"].iloc[test] == 1).to_numpy(bool)


def measured(case: str, folder: Path, name: str, given: argparse.Namespace) -> dict[str, Any]:
    """One row: a training, its costs and its ranking."""
    config = config_of(case)
    if given.epochs is not None:
        config = replace(config, epochs=given.epochs)
    training, tested, anomalous = spectrograms(folder, name)
    detector = AEGAN(config, Compute(given.device))
    begun = time.perf_counter()
    detector.fit(training, seed=given.seed, progress=Progress())
    seconds = time.perf_counter() - begun
    frames = training.shapes[ARRAY][1]
    steps = config.epochs * math.ceil(len(WindowSet(training, config.window, config.hop)) / config.batch_size)
    whole = FeatureSet({ARRAY: np.zeros((1, training.shapes[ARRAY][0], max(frames, FRAMES)), np.float32)})
    windows = len(WindowSet(whole, config.window, config.hop))
    found = {
        score: auroc(values[~anomalous], values[anomalous]) for score, values in scores_of(detector, tested).items()
    }
    areas = {score: area for score, area in found.items() if area is not None}
    best = max(areas, key=lambda score: areas[score].auroc)
    own = areas[config.score]
    return {
        "case": case,
        "machine": name,
        "hop": config.hop,
        "batch": config.batch_size,
        "hidden": config.hidden,
        "epochs": config.epochs,
        "windows_of_10_s": windows,
        "steps": steps,
        "seconds_a_step": round(seconds / steps, 4),
        "minutes_for_1000_clips": round(
            seconds / steps * config.epochs * math.ceil(CLIPS * windows / config.batch_size) / 60, 1
        ),
        "score": config.score,
        "auroc": round(own.auroc, 4),
        "auroc_low": round(own.low, 4),
        "auroc_high": round(own.high, 4),
        "best_score": best,
        "auroc_upper_bound": round(areas[best].auroc, 4),
        "clips": given.clips,
        "seconds_of_a_clip": given.seconds,
        "seed": given.seed,
        "simulated": True,
        "device": given.device,
        "threads": torch.get_num_threads(),
        "computer": machine(),
        "torch": torch.__version__,
        "commit": git_commit(),
    }


def written(path: Path, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The table with the rows, in the place of older ones of the same case, written to the file."""
    table = pd.DataFrame(rows)
    if path.exists():
        old = pd.read_csv(path)
        kept = ~old[SAME].astype(str).agg(" ".join, axis=1).isin(table[SAME].astype(str).agg(" ".join, axis=1))
        table = pd.concat([old[kept], table], ignore_index=True)
    path.parent.mkdir(exist_ok=True)
    write_whole(path, table.to_csv(index=False, lineterminator="\n"))
    return table


def main() -> None:
    """Measure, show and write, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=[*CASES, PUBLISHED])
    parser.add_argument("--machines", nargs="*", default=["fan", "valve"])
    parser.add_argument("--clips", type=int, default=100, help="source clips that train, beside ten target ones")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a clip, at least 3")
    parser.add_argument("--tested", type=int, default=30, help="of each domain and label")
    parser.add_argument("--epochs", type=int, help="instead of those of the case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=RESULTS, help="CSV file")
    given = parser.parse_args()
    few = MachineSimulation(
        given.clips, 10, given.tested, given.tested, given.seconds, tuple(given.machines), given.seed
    )
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "raw"
        simulate(folder, few)
        for case in given.cases:
            for name in given.machines:
                rows.append(measured(case, folder, name, given))
                print(rows[-1])
                table = written(given.output, rows)
    print(table.iloc[:, :16].to_string(index=False))


if __name__ == "__main__":
    main()
