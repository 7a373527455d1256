"""Observed false-alarm rates against the stated ones, by detector, number of training parts and pictures of a part.

SIMULATED features: correlated numbers with a tail, a part's own and, smaller, a picture's; nothing is said of how well
anything detects. Every seed is a new production: its parts are fitted and calibrated as a run does (`fit_detectors`,
`calibrate`), then new normal parts, a picture each, are judged. Alarms of one production hang together by its
threshold, so the 95 % interval is that of the mean over the productions (normal approximation), wider than the binomial
one beside it. `promised` is the rate that n calibrating parts can keep: floor((n + 1) rate) / (n + 1), or 1 / (n + 1)
where that is 0; `bound` is what is proved.
Writes `benchmarks/results/false_alarms.csv`; detectors that are not measured keep their rows.
Run: `.venv/bin/python benchmarks/false_alarms.py` (hours; `--detectors gaussian --seeds 20` for a look).
"""

import argparse
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray
from rich.progress import track

from endline.detectors.cross_fitting import FitPlan, fit_detectors
from endline.detectors.registry import build_detector
from endline.detectors.scoring import score_rows, with_scores
from endline.evaluation.calibration import calibrate
from endline.evaluation.thresholds import binomial_interval
from endline.feature_set import FeatureSet
from endline.files import write_whole
from endline.reporting.provenance import git_commit, machine

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/false_alarms.csv"
DETECTORS = ("gaussian", "nearest_neighbour", "one_class_svm", "isolation_forest", "local_outlier_factor", "padim")
PARTS, PICTURES, RATES = (10, 20, 35, 60, 100, 300), (1, 3), (0.01, 0.05, 0.10, 0.20)
RULES = ("conformal", "interpolated")
NEW = 20  # normal parts that are judged in each production
FEATURES, OWN = 24, 0.5  # numbers of a picture; deviation of a picture from its part, in those of the parts
Task = tuple[str, int, int, int]


@cache
def settings() -> dict[str, Any]:
    """Settings of the detectors."""
    return dict(yaml.safe_load((ROOT / "conf/base/parameters/detectors.yml").read_text())["detectors"])


def pictures(rng: np.random.Generator, parts: int, each: int, mixing: NDArray[np.float64]) -> NDArray[np.float32]:
    """Features (parts x each, FEATURES, 2, 2) of pictures of parts, one part after the other."""
    part = rng.standard_t(5, size=(parts, 1, FEATURES, 2, 2))
    shown = part + OWN * rng.standard_normal((parts, each, FEATURES, 2, 2))
    mixed = np.einsum("fg,pegij->pefij", mixing, shown)
    return np.asarray(mixed.reshape(-1, FEATURES, 2, 2), np.float32)


def alarms(task: Task) -> list[dict[str, object]]:
    """Share of the new normal parts of one production that is flagged, by rule and rate."""
    name, parts, each, seed = task
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, parts, each])
    mixing = np.eye(FEATURES) + 0.5 * rng.standard_normal((FEATURES, FEATURES)) / math.sqrt(FEATURES)
    train, new = pictures(rng, parts, each, mixing), pictures(rng, NEW, 1, mixing)
    unit = [f"{number // each:03d}" for number in range(len(train))] + [f"new {number}" for number in range(NEW)]
    samples = pd.DataFrame({"sample_id": [f"{number}" for number in range(len(unit))], "unit": unit, "part": None})
    samples["split"] = ["train"] * len(train) + ["test"] * NEW
    features = FeatureSet({"scale_0": np.concatenate([train, new])})
    fitted = fit_detectors(samples, features, lambda: build_detector(name, settings()), FitPlan(), seed=seed)
    tested = np.arange(len(train), len(samples))
    scored = with_scores(
        samples.iloc[tested], score_rows(samples.iloc[tested], features.take(tested), fitted.detectors)
    )
    rows = []
    calibration = calibrate(fitted.held_out, rate=RATES[0], join="mean")
    for rule, rate in product(RULES, RATES):
        limits = replace(calibration, stated_rate=rate, rule=rule)
        n = limits.n_units
        known = {"detector": name, "parts": parts, "pictures": each, "rule": rule, "rate": rate, "calibrating": n}
        promised = max(1, math.floor(rate * (n + 1) + 1e-9)) / (n + 1)
        about = {"folds": limits.n_folds, "promised": promised, "bound": limits.bound}
        rows.append({**known, **about, "observed": float(limits.verdicts(scored)["flagged"].mean())})
    return rows


def summary(table: pd.DataFrame) -> Iterator[dict[str, object]]:
    """One row for each detector, number of parts, of pictures, rule and rate."""
    by = ["detector", "parts", "pictures", "rule", "rate", "calibrating", "folds", "promised", "bound"]
    for key, rows in table.groupby(by, sort=False):
        rates = rows["observed"].to_numpy(float)
        mean, error = float(rates.mean()), float(rates.std(ddof=1) / math.sqrt(len(rates)))
        low, high = binomial_interval(round(mean * NEW * len(rates)), NEW * len(rates))
        known: dict[str, Any] = dict(zip(by, key, strict=True))
        yield {
            **known,
            "observed": round(mean, 5),
            "low": round(max(0.0, mean - 1.96 * error), 5),
            "high": round(mean + 1.96 * error, 5),
            "binomial_low": round(low, 5),
            "binomial_high": round(high, 5),
            "share_of_promised": round(mean / float(known["promised"]), 3),
            "seeds": len(rates),
        }


def main() -> None:
    """Measure all and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--detectors", nargs="*", default=DETECTORS, choices=DETECTORS)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    begun = time.perf_counter()
    tasks = list(product(given.detectors, PARTS, PICTURES, range(given.seeds)))
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        found = list(track(pool.map(alarms, tasks, chunksize=10), "Judging", len(tasks)))
    table = pd.DataFrame(list(summary(pd.DataFrame([row for rows in found for row in rows]))))
    about: dict[str, Any] = {
        "seconds": round(time.perf_counter() - begun),
        "machine": machine(),
        "git_commit": git_commit(),
    }
    options = f"--seeds {given.seeds} --detectors {' '.join(given.detectors)}"
    table = table.assign(**about, command=f"benchmarks/false_alarms.py {options}")
    if RESULTS.exists():
        earlier = pd.read_csv(RESULTS)
        table = pd.concat([earlier[~earlier["detector"].isin(given.detectors)], table], ignore_index=True)
    RESULTS.parent.mkdir(exist_ok=True)
    write_whole(RESULTS, table.to_csv(index=False, lineterminator="\n"))
    above = {column: int((table["low"] > table[column]).sum()) for column in ("promised", "bound")}
    print(f"Of {len(table)} rates {above['promised']} are surely above the promised, {above['bound']} above the bound.")
    by = ["rule", "pictures", "rate", "calibrating"]
    print(table.groupby(by)["share_of_promised"].agg(["min", "mean", "max"]).to_string())


if __name__ == "__main__":
    main()
