"""The report in words: what the figures of a run mean, and how far they can be trusted."""

import math
from collections.abc import Mapping
from typing import Any

from endline.evaluation.controls import WARNING_LEVEL
from endline.evaluation.normal_shift import is_shifted
from endline.evaluation.thresholds import normals_needed
from endline.reporting.formats import count, number, p_value_words, percent


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
    return f"Beware: the control, which cannot show the fault, has AUROC {control:.3f}: {without_fault(evidence)}."


def shift_sentence(metrics: Mapping[str, Any], evidence: str) -> str:
    """Say that the tested normals are not like the held-out ones, and what to do; empty where chance explains it.

    Arguments as of `summary_sentences`.

    Example:
        >>> shift_sentence({"normal_shift": 0.64, "normal_shift_p_value": 0.3}, "cycles")
        ''
    """
    exceeded = number(metrics, "normal_shift")
    if exceeded is None or not shifted(metrics):
        return ""
    chance = p_value_words(metrics["normal_shift_p_value"])
    return (
        f"Beware: the tested normal {evidence} are not like those that trained. On average one is more anomalous than "
        f"{percent(exceeded)} of the held-out normals, where {percent(0.5)} are expected (by chance with probability "
        f"{chance}): another day, light, fixture or supplier, perhaps. The false-alarm rate holds for "
        f"parts like those that train, so train on {evidence} of both kinds."
    )


def shifted(metrics: Mapping[str, Any]) -> bool:
    """Whether chance hardly explains how the tested normals of a run lie."""
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


def without_fault(evidence: str) -> str:
    """What a control above chance means."""
    return f"the {evidence} reveal the label without the fault: this AUROC says nothing about the fault"


def between(metrics: Mapping[str, Any]) -> str:
    """The AUROC's interval as the end of a sentence; empty without one."""
    low, high = number(metrics, "auroc_low"), number(metrics, "auroc_high")
    if low is None or high is None:
        return ""
    if low == high:
        return f", but {tested(metrics)} are too few to say how surely"
    return f", with 95 % confidence between {low:.3f} and {high:.3f}"


def tested(metrics: Mapping[str, Any]) -> str:
    """How many labelled items there are of each kind."""
    return f"{count(metrics, 'n_test_normal')} normals and {count(metrics, 'n_test_anomalous')} faults"
