"""The report in words: what was found, and how far it can be trusted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.stats import betabinom, binom

from endline.evaluation.controls import WARNING_LEVEL


@dataclass(frozen=True)
class Tile:
    """One figure of the head: `tone` is good, warn or plain."""

    name: str
    value: str
    detail: str
    tone: str = "plain"


def summary_sentences(metrics: Mapping[str, Any], tested: pd.DataFrame, evidence: str) -> list[str]:
    """Say in plain words what was found and how far it can be trusted."""
    stated, held_out = number(metrics, "target_false_alarm_rate"), number(metrics, "n_calibration")
    flagged, (alarms, normals), (hits, faults) = counts(tested)
    at = "" if stated is None else f", at a stated false-alarm rate of {percent(stated)}"
    said = [f"{flagged} of {len(tested)} tested {evidence} were flagged{at}."]
    if normals and faults:
        found = f"{hits} of {faults} known faults were found"
        said.append(f"{found}, {alarms} of {normals} known normals flagged by mistake.")
    elif normals:
        said.append(f"All labelled {evidence} are normal: {alarms} of {normals} were flagged by mistake.")
    elif not faults:
        said.append("No label is known: the verdicts cannot be checked here.")
    auroc = number(metrics, "auroc")
    if auroc is None:
        said.append("No labelled anomaly: AUROC not computed." if not faults else "AUROC not computed.")
    else:
        said.append(f"The AUROC is {auroc:.3f}{between(metrics)}.")
    control = number(metrics, "control_auroc")
    if control is not None and control > WARNING_LEVEL:
        said.append(
            f"Beware: the control, which cannot show the fault, has AUROC {control:.3f}: {_without_fault(evidence)}."
        )
    if held_out is None or stated is None:
        said.append("It is not stated how many normals the threshold rests on: no false-alarm rate is promised.")
    elif stated * (held_out + 1) >= 1 - 1e-9:
        said.append(
            f"The threshold rests on {held_out:.0f} calibrating normals: enough to promise "
            f"{percent(stated)} on average, as long as new normals come from the same production."
        )
    else:
        needed = f"; record at least {math.ceil(1 / stated - 1e-9) - 1} normals" if stated > 0 else ""
        said.append(
            f"The threshold rests on {held_out:.0f} calibrating normals: no rate below "
            f"{percent(1 / (held_out + 1))} can be promised, so the stated {percent(stated)} "
            f"cannot{needed}."
        )
    return said


def metric_tiles(metrics: Mapping[str, Any], tested: pd.DataFrame, evidence: str) -> list[Tile]:
    """Make the figures of the head, each with its verdict in words."""
    _, (alarms, normals), (hits, faults) = counts(tested)
    auroc, recall = number(metrics, "auroc"), number(metrics, "recall")
    if auroc is None:
        detail = "no labelled anomaly: AUROC not computed" if not faults else "AUROC not computed"
        tiles = [Tile("AUROC", "–", detail)]
    else:
        low, high = number(metrics, "auroc_low"), number(metrics, "auroc_high")
        told = "" if low is None or high is None else f"95 % interval {low:.3f} to {high:.3f}"
        tiles = [Tile("AUROC", f"{auroc:.3f}", told)]
    found = f"{hits} of {faults} known faults found" if faults else "no labelled anomaly: recall not computed"
    tiles.append(Tile("Recall at the threshold", "–" if recall is None else percent(recall), found))
    tiles.append(_alarm_tile(metrics, alarms, normals))
    tiles.append(control_tile(number(metrics, "control_auroc"), evidence))
    for key, name, unit, detail in (
        ("score_ms_per_sample", "Scoring", "ms", "for one sample, a map that costs extra apart"),
        ("fit_seconds", "Fitting", "s", "without feature extraction"),
        ("feature_seconds", "Feature extraction", "s", "near 0 when found in the cache"),
        ("peak_memory_mb", "Peak memory", "MB", "of the process"),
    ):
        if (value := number(metrics, key)) is not None:
            tiles.append(Tile(name, f"{plain(value)}\u00a0{unit}", detail))
    return tiles


def control_tile(control: float | None, evidence: str) -> Tile:
    """Judge the AUROC of the part that cannot show the fault: chance is good, more is a warning."""
    name = "Control AUROC"
    if control is None:
        return Tile(name, "–", "no control part in these data, or no labelled anomaly")
    if control > WARNING_LEVEL:
        return Tile(name, f"{control:.3f}", _without_fault(evidence), "warn")
    if control < 1 - WARNING_LEVEL:
        detail = "well below 0.5: the part without the fault differs by label too, the other way round"
        return Tile(name, f"{control:.3f}", detail, "warn")
    return Tile(name, f"{control:.3f}", "near 0.5: what cannot show the fault does not tell the label", "good")


def _without_fault(evidence: str) -> str:
    return f"the {evidence} tell the label without the fault: this AUROC says nothing about the fault"


def _alarm_tile(metrics: Mapping[str, Any], alarms: int, normals: int) -> Tile:
    name, measured = "False alarms", number(metrics, "false_alarm_rate")
    stated, held_out = number(metrics, "target_false_alarm_rate"), number(metrics, "n_calibration")
    promise = "no stated rate" if stated is None else f"stated {percent(stated)}"
    if measured is None or not normals:
        shown = "–" if measured is None else percent(measured)
        return Tile(name, shown, f"{promise}; no normal in the test")
    told = f"{alarms} of {normals} normals; {promise}"
    if stated is None:
        return Tile(name, percent(measured), told)
    # With n calibrating normals the rate of a split-conformal threshold is itself Beta distributed
    # (Vovk, "Conditional validity of inductive conformal predictors", 2012), so the count is beta-binomial.
    allowed = math.floor(stated * (held_out + 1) + 1e-9) if held_out is not None else 0
    if held_out is not None and 1 <= allowed <= held_out:
        chance = float(betabinom.sf(alarms - 1, normals, allowed, held_out + 1 - allowed))
    else:
        chance = float(binom.sf(alarms - 1, normals, stated))
    if chance < 0.05:
        return Tile(name, percent(measured), f"{told}: more than chance explains", "warn")
    return Tile(name, percent(measured), f"{told}: within chance of it", "good")


def counts(tested: pd.DataFrame) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """Count flagged, (flagged, all) of the known normals, (flagged, all) of the known faults."""
    flags = tested["flagged"].fillna(False).astype(bool)
    labels = tested["label"] if "label" in tested else pd.Series(pd.NA, index=tested.index, dtype="Int8")
    normal, faulty = labels.eq(0).fillna(False).astype(bool), labels.eq(1).fillna(False).astype(bool)
    return (
        int(flags.sum()),
        (int((flags & normal).sum()), int(normal.sum())),
        (int((flags & faulty).sum()), int(faulty.sum())),
    )


def number(values: Mapping[str, Any], key: str) -> float | None:
    """Read a figure that may lack, be None, NaN or infinite: then it is None."""
    value = values.get(key)
    return None if value is None or pd.isna(value) or not math.isfinite(value) else float(value)


def between(metrics: Mapping[str, Any]) -> str:
    """The AUROC's interval as the end of a sentence; empty without one."""
    low, high = number(metrics, "auroc_low"), number(metrics, "auroc_high")
    return "" if low is None or high is None else f", with 95 % confidence between {low:.3f} and {high:.3f}"


def percent(share: float) -> str:
    """Share in [0, 1] as a percentage."""
    return f"{100 * share:.1f}".removesuffix(".0") + "\u00a0%"


def plain(value: float) -> str:
    """Number with as many digits as its size deserves."""
    size = abs(value)
    if not math.isfinite(value) or (size != 0 and not 1e-3 <= size < 1e7):
        return f"{value:.3g}"
    return f"{value:,.{0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3}f}"


def p_value_words(value: float) -> str:
    """p-value with as many digits as it deserves; a dash where there is none."""
    if value is None or pd.isna(value):
        return "–"
    return f"{value:.2f}" if value >= 0.0995 else f"{value:.3f}" if value >= 0.00995 else f"{value:.2g}"
