"""The metrics file: one flat dictionary a run, the same keys for every station, in JSON that any parser reads."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from endline.evaluation.calibration import Calibration
from endline.evaluation.domains import YEAR, domain_figures
from endline.evaluation.false_alarms import false_alarms, false_alarms_by_domain
from endline.evaluation.metrics import is_anomalous, is_normal, partial_auroc
from endline.evaluation.normal_shift import normal_shift
from endline.evaluation.thresholds import false_alarm_p_value
from endline.samples import item_of

METRICS = (
    "station", "group", "detector", "chosen", "chosen_criterion", "chosen_reason", "seed", "n_train", "n_train_units",
    "n_calibration", "n_calibration_units", "n_calibration_units_by_domain", "n_tested", "n_test_normal",
    "n_test_normal_units", "n_test_anomalous", "n_flagged", "n_false_alarms", "n_detected", "auroc", "auroc_low",
    "auroc_high", "auroc_by_kind", "auroc_mean_of_kinds", "auroc_by_domain", "auroc_by_group", "pauc", "auroc_reason",
    "auc_source", "auc_source_low", "auc_source_high", "auc_target", "auc_target_low", "auc_target_high", "pauc_low",
    "pauc_high", "official_score", "official_score_low", "official_score_high", "by_section", "domain_reason",
    "pixel_auroc", "pixel_auroc_by_kind", "pixel_auroc_mean_of_kinds", "aupro", "pixel_auroc_reason", "baseline_auroc",
    "baseline_auroc_low", "baseline_auroc_high", "untrained_auroc", "untrained_auroc_low", "untrained_auroc_high",
    "control_auroc", "control_auroc_low", "control_auroc_high", "control_auroc_reason", "false_alarm_rate",
    "false_alarm_low", "false_alarm_high", "false_alarm_rate_reason", "target_false_alarm_rate",
    "promised_false_alarm_rate", "promised_false_alarm_rate_reason", "false_alarm_bound", "false_alarm_p_value",
    "false_alarms_by_domain", "normal_shift", "normal_shift_p_value", "recall", "recall_reason", "precision", "f1",
    "threshold", "feature_seconds", "fit_seconds", "score_ms_per_sample", "map_ms_per_sample", "peak_memory_mb",
    "parameter_count", "simulated",
)  # fmt: skip
NO_NORMAL, NO_ANOMALY = "no labelled normal in the test", "no labelled anomaly in the test"


def summarise(
    scores: pd.DataFrame,
    samples: pd.DataFrame,
    calibration: Calibration,
    intervals: pd.DataFrame,
    known: Mapping[str, Any],
    year: int = YEAR,
) -> dict[str, Any]:
    """All keys of `METRICS`; what the data cannot give is None, and why stands under `<key>_reason`.

    Args:
        scores: one row a tested item, columns `score, p_value, flagged, label, kind, domain, group, unit`.
        samples: the sample table.
        calibration: the threshold, and what it rests on.
        intervals: as `auroc_intervals` gives them for the scores.
        known: keys that are not computed here (station, detector, seconds, ...).
        year: whose rule of DCASE Task 2 gives the figures by domain, where the domains are `source` and `target`;
            `pauc` is then the harmonic mean over the sections.
    """
    training = samples[(samples["split"] == "train").to_numpy()]
    computed = {
        "n_train": int(item_of(training).nunique()),
        "n_train_units": int(training["unit"].nunique()),
        **_areas(scores, intervals),
        **_of_domains(scores, year),
        **_verdicts(scores, calibration),
        "peak_memory_mb": peak_memory_mb(),
        "simulated": bool(samples["simulated"].any()),
    }
    return {key: finite_or_none({**computed, **known}.get(key)) for key in METRICS}


def _areas(scores: pd.DataFrame, intervals: pd.DataFrame) -> dict[str, Any]:
    values, normal, anomalous = scores["score"].to_numpy(float), is_normal(scores), is_anomalous(scores)
    by = {
        str(key): {str(row["name"]): {"auroc": row["auroc"], "low": row["low"], "high": row["high"], "n": row["n"]}
                   for row in rows.to_dict("records")}
        for key, rows in intervals.groupby("by")
    }  # fmt: skip
    overall, kinds = by.get("all", {}).get("all", {}), by.get("kind", {})
    lacking = [reason for reason, rows in ((NO_NORMAL, normal), (NO_ANOMALY, anomalous)) if not rows.any()]
    return {
        **{key: overall.get(name) for key, name in (("auroc", "auroc"), ("auroc_low", "low"), ("auroc_high", "high"))},
        "auroc_by_kind": kinds or None,
        "auroc_mean_of_kinds": fmean(entry["auroc"] for entry in kinds.values()) if kinds else None,
        "auroc_by_domain": by.get("domain"),
        "auroc_by_group": by.get("group"),
        "pauc": partial_auroc(values[normal], values[anomalous]),
        "auroc_reason": ", ".join(lacking) or None,
    }


def _of_domains(scores: pd.DataFrame, year: int) -> dict[str, Any]:
    figures = domain_figures(scores, year=year)
    if figures is None:
        return {}
    of_machine = {
        f"{name}{end}": getattr(figure, end.strip("_") or "value", None)
        for name, figure in figures.machine.items()
        for end in ("", "_low", "_high")
    }
    by_section = {
        section: {name: None if figure is None else asdict(figure) for name, figure in of.items()}
        for section, of in figures.by_section.items()
    }
    return {**of_machine, "by_section": by_section, "domain_reason": figures.reason}


def _verdicts(scores: pd.DataFrame, calibration: Calibration) -> dict[str, Any]:
    flagged, anomalous = scores["flagged"].fillna(False).astype(bool), is_anomalous(scores)
    of_normals = false_alarms(scores)
    alarms, normals, units = of_normals.alarms, of_normals.normals, of_normals.units
    anomalies, detected = int(anomalous.sum()), int((flagged & anomalous).sum())
    low, high = of_normals.interval
    chance = false_alarm_p_value(of_normals.of_units, units, calibration.rate, calibration.limiting.units)
    shift = normal_shift(scores, calibration.limiting.units)
    compared = normals > 0 and anomalies > 0  # precision depends on how many there are of each
    by_domain = {
        domain: {"rate": own.rate, "low": own.interval[0], "high": own.interval[1], **asdict(own)}
        for domain, own in false_alarms_by_domain(scores).items()
    }
    return {
        "n_calibration": len(calibration.held_out),
        "n_calibration_units": calibration.n_units,
        "n_calibration_units_by_domain": calibration.units_by_domain or None,
        "n_tested": len(scores),
        "n_test_normal": normals,
        "n_test_normal_units": units,
        "n_test_anomalous": anomalies,
        "n_flagged": int(flagged.sum()),
        "n_false_alarms": alarms,
        "n_detected": detected,
        "false_alarm_rate": of_normals.rate,
        "false_alarm_low": low,
        "false_alarm_high": high,
        "false_alarm_rate_reason": None if normals else NO_NORMAL,
        "target_false_alarm_rate": calibration.stated_rate,
        "promised_false_alarm_rate": calibration.rate,
        "promised_false_alarm_rate_reason": calibration.rate_reason,
        "false_alarm_bound": calibration.bound,
        "false_alarm_p_value": chance if normals else None,
        "false_alarms_by_domain": by_domain or None,
        "normal_shift": None if shift is None else shift.exceeded,
        "normal_shift_p_value": None if shift is None else shift.p_value,
        "recall": detected / anomalies if anomalies else None,
        "recall_reason": None if anomalies else NO_ANOMALY,
        "precision": detected / (detected + alarms) if compared and detected + alarms else None,
        "f1": 2 * detected / (detected + alarms + anomalies) if compared else None,
        "threshold": calibration.threshold,
    }


def finite_or_none(value: Any) -> Any:
    """The value with every NaN and infinity in it, however deep, as None: JSON has no word for them.

    Example:
        >>> finite_or_none({"auroc": float("nan"), "by_kind": {"dent": float("inf")}, "n": 3})
        {'auroc': None, 'by_kind': {'dent': None}, 'n': 3}
    """
    if isinstance(value, Mapping):
        return {key: finite_or_none(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def peak_memory_mb(status: Path = Path("/proc/self/status")) -> float | None:
    """Highest resident memory of the process in MB since `restart_peak_memory`; None where the system gives none."""
    try:
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) / 1024


def restart_peak_memory(control: Path = Path("/proc/self/clear_refs")) -> None:
    """Let `peak_memory_mb` count from now on, where the system (Linux) can."""
    with suppress(OSError):
        control.write_text("5")
