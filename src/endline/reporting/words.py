"""The report in words: what the figures of a run mean, and how far they can be trusted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from endline.evaluation.controls import WARNING_LEVEL
from endline.evaluation.normal_shift import SIGNIFICANT, is_shifted
from endline.evaluation.thresholds import normals_needed

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


def summary_sentences(metrics: Mapping[str, Any], evidence: str) -> list[str]:
    """Say in plain words what the run shows and how far it can be trusted.

    Args:
        metrics: as `summarise` gives them; any may lack or be None.
        evidence: plural of what is judged, such as "recordings".

    Example:
        >>> summary_sentences({"n_tested": 8, "n_flagged": 3, "n_test_normal": 8, "n_false_alarms": 3}, "cycles")[1]
        'All labelled cycles are normal: 3 of 8 were flagged by mistake.'
    """
    stated = number(metrics, "target_false_alarm_rate")
    promised = number(metrics, "promised_false_alarm_rate")
    at = "" if stated is None else f", at a stated false-alarm rate of {percent(stated)}"
    if stated is not None and promised is not None and promised > stated:
        at = f", at a false-alarm rate of {percent(promised)}, for the stated {percent(stated)} cannot be promised"
    sentences = [f"{count(metrics, 'n_flagged')} of {count(metrics, 'n_tested')} tested {evidence} were flagged{at}."]
    alarms = f"{count(metrics, 'n_false_alarms')} of {count(metrics, 'n_test_normal')}"
    detected = f"{count(metrics, 'n_detected')} of {count(metrics, 'n_test_anomalous')} known faults were detected"
    normals, faults = count(metrics, "n_test_normal"), count(metrics, "n_test_anomalous")
    if normals and faults:
        sentences.append(f"{detected}; {alarms} known normals were flagged by mistake.")
    elif normals:
        sentences.append(f"All labelled {evidence} are normal: {alarms} were flagged by mistake.")
    elif faults:
        sentences.append(f"{detected}; no normal is labelled.")
    else:
        sentences.append("No label is known: the verdicts cannot be checked here.")
    own = (_control_sentence(metrics, evidence), _promise(metrics), shift_sentence(metrics, evidence))
    return [*sentences, _auroc_sentence(metrics), *filter(None, own)]


def _auroc_sentence(metrics: Mapping[str, Any]) -> str:
    auroc = number(metrics, "auroc")
    if auroc is None:
        return f"AUROC not computed: {metrics.get('auroc_reason') or 'no labelled anomaly'}."
    return f"The AUROC is {auroc:.3f}{between(metrics)}."


def _control_sentence(metrics: Mapping[str, Any], evidence: str) -> str:
    control = number(metrics, "control_auroc")
    if control is None or control <= WARNING_LEVEL:
        return ""
    return f"Beware: the control, which cannot show the fault, has AUROC {control:.3f}: {_without_fault(evidence)}."


def shift_sentence(metrics: Mapping[str, Any], evidence: str) -> str:
    """Say that the tested normals are not like the held-out ones, and what to do; empty where chance explains it.

    Arguments as of `summary_sentences`.

    Example:
        >>> shift_sentence({"normal_shift": 0.64, "normal_shift_p_value": 0.3}, "cycles")
        ''
    """
    exceeded = number(metrics, "normal_shift")
    if exceeded is None or not _is_shifted(metrics):
        return ""
    chance = p_value_words(metrics["normal_shift_p_value"])
    return (
        f"Beware: the tested normal {evidence} are not like those that trained. On average one is more anomalous than "
        f"{percent(exceeded)} of the held-out normals, where {percent(0.5)} are expected (by chance with probability "
        f"{chance}): another day, light, fixture or supplier, perhaps. The false-alarm rate holds for "
        f"parts like those that train, so train on {evidence} of both kinds."
    )


def _is_shifted(metrics: Mapping[str, Any]) -> bool:
    return is_shifted(number(metrics, "normal_shift_p_value"), number(metrics, "false_alarm_p_value"))


def _promise(metrics: Mapping[str, Any]) -> str:
    """What false-alarm rate the threshold can promise."""
    stated, promised = number(metrics, "target_false_alarm_rate"), number(metrics, "promised_false_alarm_rate")
    parts, bound = number(metrics, "n_calibration_units"), number(metrics, "false_alarm_bound")
    if parts is None or stated is None or promised is None:
        return "It is not stated how many normals the threshold rests on: no false-alarm rate is promised."
    each = max(1.0, (number(metrics, "n_train_units") or parts) / parts)  # parts that train for one that calibrates
    rests, of_domain, where = f"The threshold rests on {parts:.0f} calibrating normal parts", "", ""
    if by_domain := metrics.get("n_calibration_units_by_domain"):
        fewest = min(by_domain, key=lambda domain: by_domain[domain])
        parts, of_domain, where = float(by_domain[fewest]), f" of {fewest}", " in each domain"
        rests = (
            f"The threshold rests on each domain by itself, and {fewest} has the fewest calibrating parts ({parts:.0f})"
        )
    if promised > stated:
        needed = normals_needed(stated) or 0
        return (
            f"{rests}, which can promise no false-alarm rate below {percent(promised)}: verdicts keep that rate, NOT "
            f"the stated {percent(stated)}. For that {needed} calibrating parts are needed: record at least "
            f"{math.ceil((needed - parts) * each)} more good parts{of_domain} to train with."
        )
    if bound is None:
        return f"{rests}, by a fitted distribution: the stated {percent(stated)} is aimed at, not promised."
    proved = "" if bound <= promised else f" ({percent(bound)} is the proved bound for any production)"
    as_long = "as long as new normals come from the same production"
    return f"{rests}: enough for {percent(stated)} on average{where}{proved}, {as_long}."


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
        detail = f"no interval: {_tested(metrics)} are too few"
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
    if _is_shifted(metrics):
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
        tone, detail = "warn", _without_fault(evidence)
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


def _without_fault(evidence: str) -> str:
    return f"the {evidence} reveal the label without the fault: this AUROC says nothing about the fault"


def number(values: Mapping[str, Any], key: str) -> float | None:
    """Read a figure that may lack, be None, NaN or infinite: then it is None.

    Example:
        >>> number({"auroc": float("nan")}, "auroc") is None
        True
    """
    value = values.get(key)
    return None if value is None or pd.isna(value) or not math.isfinite(value) else float(value)


def count(values: Mapping[str, Any], key: str) -> int:
    """Read a number of items; 0 where it lacks."""
    return int(number(values, key) or 0)


def between(metrics: Mapping[str, Any]) -> str:
    """The AUROC's interval as the end of a sentence; empty without one."""
    low, high = number(metrics, "auroc_low"), number(metrics, "auroc_high")
    if low is None or high is None:
        return ""
    if low == high:
        return f", but {_tested(metrics)} are too few to say how surely"
    return f", with 95 % confidence between {low:.3f} and {high:.3f}"


def _tested(metrics: Mapping[str, Any]) -> str:
    return f"{count(metrics, 'n_test_normal')} normals and {count(metrics, 'n_test_anomalous')} faults"


def percent(share: float) -> str:
    """Share in [0, 1] as a percentage, with a space that does not break.

    Example:
        >>> percent(0.05).replace("\u00a0", " ")
        '5 %'
    """
    return f"{100 * share:.1f}".removesuffix(".0") + "\u00a0%"


def plain(value: float) -> str:
    """Number with as many digits as its size deserves.

    Example:
        >>> plain(1234.5), plain(12.345), plain(0.00001)
        ('1,234', '12.35', '1e-05')
    """
    size = abs(value)
    if not math.isfinite(value) or (size != 0 and not 1e-3 <= size < 1e7):
        return f"{value:.3g}"
    return f"{value:,.{0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3}f}"


def p_value_words(value: float) -> str:
    """p-value with as many digits as it deserves; a dash where there is none.

    Example:
        >>> p_value_words(0.5), p_value_words(0.0123)
        ('0.50', '0.012')
    """
    if value is None or pd.isna(value):
        return "–"
    return f"{value:.2f}" if value >= 0.0995 else f"{value:.3f}" if value >= 0.00995 else f"{value:.2g}"
