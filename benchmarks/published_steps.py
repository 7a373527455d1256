"""One training step of the published systems at their published sizes, in seconds, beside the authors' programs.

The steps are those of the one training loop with the settings of `conf/paper`, on random features of the published
shapes: in every run an epoch is one step. The authors' seconds were measured on two processor cores as well, by the
issue that asked for this table; their programs are not run here. Writes `benchmarks/results/published_steps.csv`.
Run on an idle machine: `.venv/bin/python benchmarks/published_steps.py [differnet|cs_flow|ast|mts_flow ...]`.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from rich import print

from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.feature_set import FeatureSet
from endline.reporting.provenance import git_commit, machine

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/published_steps.csv"


@dataclass(frozen=True)
class Case:
    """A published step.

    Attributes:
        detector: its name in the parameters.
        shapes: of one sample's arrays.
        changes: settings beside those of `conf/paper`: the batch that was timed, and how many steps run.
        steps: seconds of the authors' program a step, lowest and highest, by what the step trains, in their order.
    """

    detector: str
    shapes: dict[str, tuple[int, ...]]
    changes: dict[str, int]
    steps: dict[str, tuple[float, float] | None]


CASES = (
    # 24 photographs with 4 views each are the batch of 96.
    Case("differnet", {"views": (8, 768)}, {"map_views": 0, "epochs": 6}, {"flow": (1.6, 2.0)}),
    Case(
        "cs_flow",
        {"scale_0": (304, 24, 24), "scale_1": (304, 12, 12), "scale_2": (304, 6, 6)},
        {"epochs": 4},
        {"flow": (30.0, 30.0)},
    ),
    Case(
        "ast",
        {"scale_0": (304, 24, 24)},
        {"batch_size": 8, "teacher_epochs": 4, "epochs": 4},
        {"teacher": None, "student": (9.0, 15.0)},
    ),
    Case("mts_flow", {"cycle": (130, 1200), "valid": (1200,)}, {"epochs": 6}, {"flow": (4.6, 4.6)}),
)


def measure(case: Case) -> list[dict[str, object]]:
    """Rows of a case: the median of its steps, the first of each training left out."""
    told = yaml.safe_load((ROOT / "conf/paper/parameters/detectors.yml").read_text())["detectors"]
    detector = build_detector(case.detector, {case.detector: told[case.detector] | case.changes})
    size = int(detector.config.batch_size)
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal((size, *shape)).astype(np.float16) for name, shape in case.shapes.items()}
    if "valid" in arrays:
        arrays["valid"][:] = 1
    ends: list[list[float]] = []

    def on_epoch(epoch: int, epochs: int, loss: float) -> None:
        if epoch == 1:
            ends.append([])
        ends[-1].append(time.perf_counter())

    detector.fit(FeatureSet(arrays, key="benchmark"), seed=0, progress=Progress(on_epoch=on_epoch))
    rows: list[dict[str, object]] = []
    for (part, authors), times in zip(case.steps.items(), ends, strict=True):
        seconds = statistics.median(np.diff(times).tolist())
        rows.append(
            {
                "detector": case.detector,
                "step": part,
                "batch": size * int(getattr(detector.config, "views_per_step", 1)),
                "parameters": sum(each.numel() for each in detector.model.parameters()),
                "seconds_a_step": round(seconds, 2),
                "authors_seconds": "" if authors is None else " to ".join(f"{each:g}" for each in sorted(set(authors))),
                "authors_lowest_by_ours": None if authors is None else round(authors[0] / seconds, 2),
                "threads": torch.get_num_threads(),
                "machine": machine(),
                "torch": torch.__version__,
                "commit": git_commit(),
            }
        )
    return rows


def main() -> None:
    """Measure the named cases, all by default, and write them over their rows of the table."""
    wanted = sys.argv[1:] or [case.detector for case in CASES]
    rows = [row for case in CASES if case.detector in wanted for row in measure(case)]
    table = pd.DataFrame(rows)
    if RESULTS.exists():
        old = pd.read_csv(RESULTS)
        table = pd.concat([old[~old["detector"].isin(wanted)], table], ignore_index=True)
    RESULTS.parent.mkdir(exist_ok=True)
    table.to_csv(RESULTS, index=False)
    print(table.iloc[:, :7].to_string(index=False))


if __name__ == "__main__":
    main()
