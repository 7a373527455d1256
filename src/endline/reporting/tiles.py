"""The head of a report: one tile a figure, good where it is sure, a warning where it is not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from endline.evaluation.controls import WARNING_LEVEL
from endline.evaluation.normal_shift import SIGNIFICANT
from endline.reporting.formats import count, number, percent, plain
from endline.reporting.words import shifted, tested, without_fault

WIDEST = 0.5  # of a 95 % interval of a share: a wider one holds most of what is possible, and confirms nothing
COSTS = (  # key, name, unit, what it says
    ("score_ms_per_sample", "Scoring", "ms", "for one sample; a map that costs extra is not included"),
    ("fit_seconds", "Fitting", "s", "without feature extraction"),
    ("feature_seconds", "Feature extraction", "s", "near 0 when the features were in the cache"),
    ("peak_memory_mb", "Peak memory", "MB", "of the process"),
)


@dataclass(frozen=True)
class Tile:
    """One figure of the head: `tone` is good, warn or plain; `cost` for what it took.

    Example:
        >>> Tile("AUROC", "0.912", "95 % interval 0.850 to 0.970").tone
        'plain'
    """

    name: str
    value: str
    detail: str
    tone: str = "plain"
    cost: bool = False


def metric_tiles(metrics: Mapping[str, Any], evidence: str) -> list[Tile]:
    """Make the figures of the head, each with its verdict in words; arguments as of `summary_sentences`.

    Example:
        >>> [tile.name for tile in metric_tiles({}, "cycles")]
        ['AUROC', 'Recall at the threshold', 'False alarms', 'Control AUROC']
    """
    tiles = [_auroc_tile(metrics), _recall_tile(metrics), _alarm_tile(metrics)]
    tiles += [*_baseline_tile(metrics), control_tile(metrics, evidence)]
    for key, name, unit, detail in COSTS:
        if (value := number(metrics, key)) is not None:
            tiles.append(Tile(name, f"{plain(value)}\u00a0{unit}", detail, cost=True))
    return tiles


def _auroc_tile(metrics: Mapping[str, Any]) -> Tile:
    auroc, low, high = (number(metrics, key) for key in ("auroc", "auroc_low", "auroc_high"))
    if auroc is None:
        return Tile("AUROC", "–", str(metrics.get("auroc_reason") or "no labelled anomaly"))
    detail = "" if low is None or high is None else f"95 % interval {low:.3f} to {high:.3f}"
    if low is not None and low == high:  # all resamples agree, which says nothing of the next parts
        detail = f"no interval: {tested(metrics)} are too few"
    return Tile("AUROC", f"{auroc:.3f}", detail)


def _baseline_tile(metrics: Mapping[str, Any]) -> list[Tile]:
    """What a detector must beat: a glance at the evidence, and itself without training."""
    auroc, tiles = number(metrics, "auroc"), []
    for key, name, detail in (
        (
            "baseline_auroc",
            "Baseline AUROC",
            "a few summary numbers and their nearest neighbours, without any detector",
        ),
        ("untrained_auroc", "Untrained AUROC", "the same detector before its first training step"),
    ):
        if (value := number(metrics, key)) is not None and auroc is not None:
            tiles.append(Tile(name, f"{value:.3f}", detail, "plain" if value <= auroc else "warn"))
    return tiles


def _recall_tile(metrics: Mapping[str, Any]) -> Tile:
    name, recall, faults = "Recall at the threshold", number(metrics, "recall"), count(metrics, "n_test_anomalous")
    if recall is None:
        return Tile(name, "–", str(metrics.get("recall_reason") or "no labelled anomaly"))
    return Tile(name, percent(recall), f"{count(metrics, 'n_detected')} of {faults} known faults detected")


def _alarm_tile(metrics: Mapping[str, Any]) -> Tile:
    name, measured = "False alarms", number(metrics, "false_alarm_rate")
    stated, chance = number(metrics, "target_false_alarm_rate"), number(metrics, "false_alarm_p_value")
    promised = number(metrics, "promised_false_alarm_rate")
    promise = "no stated rate" if stated is None else f"stated {percent(stated)}"
    if stated is not None and promised is not None and promised > stated:
        promise += f", promised only {percent(promised)}"
    if measured is None:
        return Tile(name, "–", f"{promise}; {metrics.get('false_alarm_rate_reason') or 'no labelled normal'}")
    low, high = number(metrics, "false_alarm_low"), number(metrics, "false_alarm_high")
    interval = "" if low is None or high is None else f", 95 % interval {percent(low)} to {percent(high)}"
    detail = f"{count(metrics, 'n_false_alarms')} of {count(metrics, 'n_test_normal')} normals{interval}; {promise}"
    if stated is None or promised is None or chance is None:
        return Tile(name, percent(measured), detail)
    if chance < SIGNIFICANT:
        return Tile(name, percent(measured), f"{detail}: more than chance explains", "warn")
    if shifted(metrics):
        return Tile(name, percent(measured), f"{detail}; these normals are not like those that trained", "warn")
    if promised > stated or number(metrics, "false_alarm_bound") is None:
        return Tile(name, percent(measured), detail)  # nothing is painted green that was not promised
    if not _is_sure(low, high):
        return Tile(name, percent(measured), f"{detail}: too few to judge")
    return Tile(name, percent(measured), f"{detail}: no more than chance explains", "good")


def control_tile(metrics: Mapping[str, Any], evidence: str) -> Tile:
    """Judge the AUROC of the part that cannot show the fault: chance is good where it is sure, more is a warning.

    Arguments as of `summary_sentences`.

    Example:
        >>> known = {"control_auroc": 0.51, "control_auroc_low": 0.4, "control_auroc_high": 0.6}
        >>> control_tile(known, "recordings").tone
        'good'
    """
    name, control = "Control AUROC", number(metrics, "control_auroc")
    if control is None:
        return Tile(name, "–", metrics.get("control_auroc_reason") or "no control in these data")
    tone, detail = "good", "near 0.5: what cannot show the fault does not reveal the label"
    if control > WARNING_LEVEL:
        tone, detail = "warn", without_fault(evidence)
    elif control < 1 - WARNING_LEVEL:
        tone, detail = "warn", "well below 0.5: the part without the fault differs by label too, the other way round"
    low, high = number(metrics, "control_auroc_low"), number(metrics, "control_auroc_high")
    if tone == "good" and not _is_sure(low, high):
        tone, detail = "plain", "near 0.5, but too few to judge"
    interval = "" if low is None or high is None else f" (95 % interval {low:.3f} to {high:.3f})"
    return Tile(name, f"{control:.3f}", f"{detail}{interval}", tone)


def _is_sure(low: float | None, high: float | None) -> bool:
    """Whether an interval in [0, 1] confirms anything; one without width has none, for all resamples agree."""
    return low is not None and high is not None and 0 < high - low <= WIDEST
