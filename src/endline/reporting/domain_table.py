"""What the report says of sections and domains, in words: areas, official score, false alarms of each domain."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from endline.reporting.formats import count, number, percent

AREAS = {  # figure of a section -> head
    "auc": "AUC",
    "auc_source": "source AUC",
    "auc_target": "target AUC",
    "pauc": "pAUC",
    "pauc_source": "source pAUC",
    "pauc_target": "target pAUC",
}
ALL = "all sections"


@dataclass(frozen=True)
class DomainTable:
    """A table of sections and one of domains, as text.

    Attributes:
        heads: of the areas that are known.
        sections: name, then (value, interval) of each area.
        score: the official score and its interval; None where it is not known.
        reason: why it is not.
        alarms: domain, rate of false alarms, counts and interval.

    Example:
        >>> DomainTable((), (), None, "section 00: no labelled anomaly", ()).score is None
        True
    """

    heads: tuple[str, ...]
    sections: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    score: tuple[str, str] | None
    reason: str | None
    alarms: tuple[tuple[str, str, str], ...]


def domain_table(metrics: Mapping[str, Any]) -> DomainTable | None:
    """Tables of the sections and domains of a run; None where it has none.

    Args:
        metrics: as `summarise` gives them; any may lack or be None.

    Example:
        >>> area = {"value": 0.9, "low": 0.8, "high": 0.95}
        >>> domain_table({"by_section": {"00": {"auc_source": area, "auc_target": None}}}).sections
        (('00', (('0.900', '0.800 – 0.950'),)),)
    """
    by_section: Mapping[str, Mapping[str, Any]] = metrics.get("by_section") or {}
    if not by_section:
        return None
    known = [name for name in AREAS if any(figures.get(name) for figures in by_section.values())]
    rows = [(section, tuple(_words(figures.get(name)) for name in known)) for section, figures in by_section.items()]
    if len(rows) > 1:
        rows.append((ALL, tuple(_words(_of_machine(metrics, name)) for name in known)))
    score = _of_machine(metrics, "official_score")
    return DomainTable(
        heads=tuple(AREAS[name] for name in known),
        sections=tuple(rows),
        score=None if score is None else _words(score),
        reason=metrics.get("domain_reason"),
        alarms=tuple(_alarms(name, own) for name, own in (metrics.get("false_alarms_by_domain") or {}).items()),
    )


def _of_machine(metrics: Mapping[str, Any], name: str) -> dict[str, float | None] | None:
    value = number(metrics, name)
    ends = {end: number(metrics, f"{name}_{end}") for end in ("low", "high")}
    return None if value is None else {"value": value, **ends}


def _words(figure: Mapping[str, float | None] | None) -> tuple[str, str]:
    """Value and interval; dashes where there are none."""
    if not figure:
        return "–", ""
    low, high = figure["low"], figure["high"]
    if low is None or high is None:
        return f"{figure['value']:.3f}", ""
    return f"{figure['value']:.3f}", "too few to say" if low == high else f"{low:.3f} – {high:.3f}"


def _alarms(domain: str, own: Mapping[str, Any]) -> tuple[str, str, str]:
    interval = f"95 % interval {percent(own['low'])} to {percent(own['high'])}"
    return domain, percent(own["rate"]), f"{count(own, 'alarms')} of {count(own, 'normals')} normals, {interval}"
