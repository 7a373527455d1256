"""The metrics file: one flat dictionary a run, the same keys for every station."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from endline.evaluation.metrics import anomalous_by_kind, auroc, is_anomalous, is_normal, partial_auroc
from endline.samples import item_of

METRICS = (
    "station", "group", "detector", "seed", "n_train", "n_test_normal", "n_test_anomalous", "auroc", "auroc_low",
    "auroc_high", "auroc_by_kind", "auroc_mean_of_kinds",
    "auroc_by_domain", "auroc_by_group", "pauc", "pixel_auroc", "control_auroc",
    "false_alarm_rate", "recall", "threshold", "feature_seconds", "fit_seconds", "score_ms_per_sample",
    "map_ms_per_sample", "peak_memory_mb", "parameter_count", "simulated",
)  # fmt: skip


def summarise(
    scores: pd.DataFrame, samples: pd.DataFrame, threshold: float, known: Mapping[str, Any]
) -> dict[str, Any]:
    """All keys of `METRICS`; what the data cannot give is None.

    Args:
        scores: one row a tested item, columns `score, flagged, label, kind, domain, group`.
        samples: the sample table.
        threshold: items above it are flagged; infinite (told as None) where none can be promised.
        known: keys that are not computed here (station, detector, seconds, ...).
    """
    normal, anomalous = is_normal(scores), is_anomalous(scores)
    values = scores["score"].to_numpy(float)
    area = auroc(values[normal], values[anomalous])
    by_kind = {
        kind: asdict(found)
        for kind, group in anomalous_by_kind(scores).items()
        if kind != "all" and (found := auroc(values[normal], group)) is not None
    }
    training = (samples["split"] == "train").to_numpy()
    computed = {
        "n_train": int(item_of(samples[training]).nunique()),
        "n_test_normal": int(normal.sum()),
        "n_test_anomalous": int(anomalous.sum()),
        "auroc": None if area is None else area.auroc,
        "auroc_low": None if area is None else area.low,
        "auroc_high": None if area is None else area.high,
        "auroc_by_kind": by_kind or None,
        "auroc_mean_of_kinds": fmean(found["auroc"] for found in by_kind.values()) if by_kind else None,
        "auroc_by_domain": _by_domain(scores),
        "auroc_by_group": _by_group(scores),
        "pauc": partial_auroc(values[normal], values[anomalous]),
        "false_alarm_rate": _mean(scores.loc[normal, "flagged"]),
        "recall": _mean(scores.loc[anomalous, "flagged"]),
        "threshold": float(threshold) if np.isfinite(threshold) else None,
        "peak_memory_mb": peak_memory_mb(),
        "simulated": bool(samples["simulated"].any()),
    }
    return {key: {**computed, **known}.get(key) for key in METRICS}


def peak_memory_mb(status: Path = Path("/proc/self/status")) -> float | None:
    """Highest resident memory of the process in MB since `restart_peak_memory`; None where the system tells none."""
    try:
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) / 1024


def restart_peak_memory(control: Path = Path("/proc/self/clear_refs")) -> None:
    """Let `peak_memory_mb` count from now on, where the system (Linux) can."""
    with suppress(OSError):
        control.write_text("5")


def _by_domain(scores: pd.DataFrame) -> dict[str, Any] | None:
    """AUROC of each domain's normals against the anomalous of all domains (DCASE 2023, task 2)."""
    anomalous = scores.loc[is_anomalous(scores), "score"].to_numpy(float)
    normals = scores[is_normal(scores)]
    found = {
        str(domain): area
        for domain, rows in normals.groupby("domain")
        if (area := auroc(rows["score"].to_numpy(float), anomalous)) is not None
    }
    return {domain: asdict(area) for domain, area in found.items()} or None


def _by_group(scores: pd.DataFrame) -> dict[str, Any] | None:
    """AUROC of each group's own normals against its own anomalous; None where all are of one group."""
    if scores["group"].nunique() < 2:
        return None
    values, normal, anomalous = scores["score"], is_normal(scores), is_anomalous(scores)
    found = {
        str(group): auroc(values[rows & normal].to_numpy(float), values[rows & anomalous].to_numpy(float))
        for group in sorted(scores["group"].unique())
        for rows in [scores["group"] == group]
    }
    return {group: asdict(area) for group, area in found.items() if area is not None} or None


def _mean(flags: pd.Series) -> float | None:
    return float(flags.mean()) if len(flags) else None
