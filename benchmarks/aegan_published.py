"""AEGAN as published on real valves, on a GPU: the anchor beside the setting for two cores.

The first division of the protocol valve5 (80 normal clips train, 20 normal ones and all 100 anomalies are tested),
trained once with the settings of `conf/paper` (hop 1, batch 512, 32 channels, 60 epochs) and once with those of
`conf/base`. Each row has the figures of the score that is fixed in advance, and beside it the best of the nineteen by
the tested clips' labels: an UPPER BOUND, no figure of a detector, though the authors publish theirs so. No threshold is
made. A GPU machine may lack what reads sound, so that the spectrograms are written here and read there:
`.venv/bin/python benchmarks/aegan_published.py write valve5.npz`, with `ENDLINE_DATA` set, and
`python benchmarks/aegan_published.py train valve5.npz --cases published default --device cuda --precision tf32`.
Writes `benchmarks/results/aegan_published.csv`; rows that are not measured anew stay.
"""

import argparse
import math
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray

from endline.compute import Compute
from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.detectors.sound.aegan import AEGAN, AEGANConfig
from endline.detectors.sound.spectrogram_windows import WindowSet
from endline.evaluation.domains import DomainFigures, domain_figures
from endline.feature_set import FeatureSet
from endline.files import write_whole
from endline.reporting.provenance import git_commit, machine

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/aegan_published.csv"
ARRAY = "log_mel_long"
CASES = {"published": "paper", "default": "base"}  # whose settings
SAME = ["case", "epochs", "seed", "device", "precision"]  # of a row that is measured anew


def scores_of(detector: AEGAN, tested: FeatureSet) -> dict[str, NDArray[np.float64]]:
    """All nineteen scores (n,) of the tested clips."""
    parts = [detector.variants(batch) for batch in tested.batches(16)]
    return {name: torch.cat([part[name] for part in parts]).double().numpy() for name in parts[0]}


def write(file: Path) -> None:
    """Write spectrograms, split, label and domain of the first division."""
    from kedro.framework.startup import bootstrap_project

    from endline.array_store import ArrayStore
    from endline.compute import CPU
    from endline.evidence.station import Arrays, find_station
    from endline.operations.sweep.resolved import configuration
    from endline.pipelines.station_nodes import index

    bootstrap_project(ROOT)
    known = configuration(ROOT, None, {"folds": 5, "fold": 0, "shuffle": 0})["parameters"]["machine_audio"]
    folder = Path(os.environ["ENDLINE_DATA"]) / known["run"]["data_set"]
    source = {"folder": str(folder), "simulated": False}
    station = find_station("machine_audio")
    samples, _, inputs = index(station, source, known["run"], known["split"], known["preparation"])
    made = station.prepare(samples, folder, inputs["facts"], known["preparation"], Arrays((ARRAY,)))
    with tempfile.TemporaryDirectory() as place:
        store = ArrayStore(Path(place))
        values = store.make(made.recipe(samples, folder, store, CPU)).read()[ARRAY].numpy()
    split, domain, unit = (samples[name].astype(str).to_numpy(str) for name in ("split", "domain", "unit"))
    label = samples["label"].to_numpy(float)
    np.savez_compressed(file, log_mel_long=values, split=split, domain=domain, unit=unit, label=label)


def measured(case: str, file: Path, given: argparse.Namespace) -> dict[str, Any]:
    """One row: a training, its costs and its figures."""
    with np.load(file) as read:
        table = {name: read[name] for name in read.files}
    clips = FeatureSet({ARRAY: table.pop(ARRAY)}, key="valve5")
    rows = pd.DataFrame(table).assign(group="valve", section="00")
    train, test = (np.flatnonzero(rows["split"] == split) for split in ("train", "test"))
    known = yaml.safe_load((ROOT / f"conf/{CASES[case]}/parameters/detectors.yml").read_text())["detectors"]
    config: AEGANConfig = build_detector("aegan", known).config
    if given.epochs is not None:
        config = replace(config, epochs=given.epochs)
    detector = AEGAN(config, Compute(given.device, given.precision))
    begun = time.perf_counter()
    told = Progress(on_epoch=lambda epoch, epochs, loss: print(case, epoch, epochs, loss, flush=True))
    detector.fit(clips.take(train), seed=given.seed, progress=told)
    seconds = time.perf_counter() - begun
    windows = len(WindowSet(clips.take(train), config.window, config.hop))
    epochs = config.epochs_of(windows)
    steps = epochs * math.ceil(windows / config.batch_size)
    tested = rows.iloc[test]
    found: dict[str, DomainFigures] = {}
    for name, values in scores_of(detector, clips.take(test)).items():
        figures = domain_figures(tested.assign(score=values))
        assert figures is not None
        found[name] = figures
    officials = {name: figures.machine["official_score"] for name, figures in found.items()}
    best = max(officials, key=lambda name: official.value if (official := officials[name]) else 0.0)
    areas: dict[str, float] = {}
    for name, figure in found[config.score].machine.items():
        assert figure is not None
        areas |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
    bound = officials[best]
    assert bound is not None
    return {
        "case": case,
        "hop": config.hop,
        "batch": config.batch_size,
        "hidden": config.hidden,
        "epochs": epochs,
        "steps": steps,
        "seconds": round(seconds, 1),
        "seconds_a_step": round(seconds / steps, 4),
        "score": config.score,
        **{name: round(value, 4) for name, value in areas.items()},
        "best_score": best,
        "official_score_upper_bound": round(bound.value, 4),
        "seed": given.seed,
        "device": given.device if given.device == "cpu" else torch.cuda.get_device_name(),
        "precision": given.precision,
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "torch": torch.__version__,
        "commit": git_commit(),
    }


def main() -> None:
    """Write the spectrograms, or train on them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["write", "train"])
    parser.add_argument("file", type=Path, help="spectrograms, .npz")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--epochs", type=int, help="instead of those of the case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="tf32", help="of a GPU; tf32 is torch's own for convolutions")
    parser.add_argument("--output", type=Path, default=RESULTS, help="CSV file")
    given = parser.parse_args()
    if given.action == "write":
        write(given.file)
        return
    for case in given.cases:
        table = pd.DataFrame([measured(case, given.file, given)])
        print(table.T.to_string(), flush=True)
        if given.output.exists():
            table = pd.concat([pd.read_csv(given.output), table]).astype({"seed": int})
            table = table.drop_duplicates(SAME, keep="last")
        write_whole(given.output, table.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
