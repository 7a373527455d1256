"""Figures of DCASE Task 2 for anomalous sound of machines under domain shift, with bootstrap intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.errors import EndlineError
from endline.evaluation.metrics import RESAMPLES, is_anomalous, is_normal
from endline.evaluation.roc_resampling import resampled_weights, weighted_area

SOURCE, TARGET = "source", "target"
YEAR, FIRST_YEAR = 2023, 2020
MAX_FALSE_ALARM_RATE = 0.1  # of the partial AUC, in every year
FIGURES = ("auc_source", "auc_target", "pauc", "official_score")
Numbers = NDArray[np.float64]
Drawn = Mapping[str, Numbers]  # figure -> (1 + resamples,): its value, then that of each bootstrap sample


@dataclass(frozen=True)
class Figure:
    """A figure of merit with its 95 % bootstrap interval.

    Example:
        >>> Figure(0.9, low=0.8, high=0.97).high
        0.97
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class DomainFigures:
    """What the tested sections of a machine show.

    Attributes:
        machine: of `FIGURES`, harmonic means over the sections (2020: plain ones); None where a section lacks it.
        by_section: name of the section -> its figures, and the further areas that the year's official score rests on.
        reason: which label or domain is missing for the official score, and where; None where none is.

    Example:
        >>> DomainFigures({"official_score": Figure(0.9, 0.8, 0.97)}, {}, None).machine["official_score"].value
        0.9
    """

    machine: Mapping[str, Figure | None]
    by_section: Mapping[str, Mapping[str, Figure | None]]
    reason: str | None


@dataclass(frozen=True)
class _Area:
    """Area under the ROC curve of some normals against some anomalies of a section.

    Attributes:
        domain: of the normals; None for all.
        own: whether the anomalies are those of this domain alone.
        limit: false-alarm rate up to which the area is taken.
    """

    domain: str | None = None
    own: bool = False
    limit: float = 1.0


def domain_figures(
    scores: pd.DataFrame, *, year: int = YEAR, seed: int = 0, resamples: int = RESAMPLES
) -> DomainFigures | None:
    """AUC of each domain, partial AUC and official score by the rule of a year of DCASE Task 2.

    Since 2022 (Dohi et al. 2022 and 2023, "Description and discussion on DCASE challenge task 2", evaluation metrics)
    a domain's normals are compared with the anomalies of both domains, the partial AUC has both domains together, and
    the official score is the harmonic mean of both AUC and the partial AUC over all sections. In 2021 (Kawaguchi et
    al. 2021) a domain's normals are compared with its own anomalies, for the partial AUC of the score too. In 2020
    (Koizumi et al. 2020) there are no domains: the score is the plain mean of AUC and partial AUC; the challenge ranked
    by both. `pauc` is the standardised partial AUC up to a false-alarm rate of 0.1 of both domains together, whatever
    the year.

    In each bootstrap sample whole units of each domain and label of a section are drawn anew with replacement, for all
    figures alike; the intervals are its percentiles.

    Args:
        scores: one row a tested item, columns `score, label, domain, group, unit`, and `section` where there are any; a
            section without any label is left out.
        year: whose rule is taken.
        seed: of the bootstrap.
        resamples: number of bootstrap samples.

    Returns:
        the figures; None without a labelled item of the domains `source` and `target` (2020: without a labelled item).

    Raises:
        EndlineError: for a year before 2020.

    Example:
        >>> table = pd.DataFrame({"score": [0.0, 1.0, 2.0, 3.0], "label": [0, 0, 1, 1], "group": "valve"})
        >>> table = table.assign(domain=["source", "target"] * 2, section="00", unit=list("abcd"))
        >>> domain_figures(table).machine["official_score"]
        Figure(value=1.0, low=1.0, high=1.0)
    """
    if year < FIRST_YEAR:
        raise EndlineError(
            f"year={year}: DCASE Task 2 has machine sound since {FIRST_YEAR}; give that year or a later."
        )
    labelled = scores[is_normal(scores) | is_anomalous(scores)]
    asked = labelled if year == FIRST_YEAR else labelled[labelled["domain"].isin([SOURCE, TARGET])]
    if asked.empty:
        return None
    areas, official = _areas(year), _official(year)
    mean = _plain_mean if year == FIRST_YEAR else harmonic_mean
    rng = np.random.default_rng(seed)
    drawn: dict[str, Drawn] = {}
    missing: list[str] = []
    for name, rows in _sections(labelled):
        found, lacking = _section(rows, areas, rng, resamples)
        missing += [f"section {name}: {lacking[area]}" for area in official if area in lacking]
        if all(area in found for area in official):
            found["official_score"] = mean([found[area] for area in official])
        drawn[name] = found
    everywhere = set.intersection(*map(set, drawn.values()))
    machine = {name: mean([found[name] for found in drawn.values()]) for name in everywhere}
    shown = list(dict.fromkeys([*areas, *FIGURES]))
    return DomainFigures(
        _figures(machine, FIGURES),
        {name: _figures(found, shown) for name, found in drawn.items()},
        "; ".join(dict.fromkeys(missing)) or None,
    )


def _areas(year: int) -> dict[str, _Area]:
    """Areas that are measured in each section."""
    own = year == 2021
    areas = {f"auc_{domain}": _Area(domain, own) for domain in (SOURCE, TARGET)}
    areas["pauc"] = _Area(limit=MAX_FALSE_ALARM_RATE)
    if year == FIRST_YEAR:
        return areas | {"auc": _Area()}
    return areas | {f"pauc_{name}": _Area(name, own, MAX_FALSE_ALARM_RATE) for name in (SOURCE, TARGET) if own}


def _official(year: int) -> tuple[str, ...]:
    """Areas whose mean is the official score."""
    if year == FIRST_YEAR:
        return "auc", "pauc"
    return ("auc_source", "auc_target", *(("pauc_source", "pauc_target") if year == 2021 else ("pauc",)))


def _sections(labelled: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and rows of each section; machines without sections are one each."""
    several = labelled["group"].nunique() > 1
    sections = labelled["section"] if "section" in labelled else pd.Series(None, labelled.index, dtype=object)
    for (group, section), rows in labelled.groupby(["group", sections.fillna("")], sort=True):
        name = f"{group} {section}".strip() if several else str(section or group)
        yield name, rows


def _section(
    rows: pd.DataFrame, areas: Mapping[str, _Area], rng: np.random.Generator, resamples: int
) -> tuple[dict[str, Numbers], dict[str, str]]:
    """Areas (1 + resamples,) of a section, and of those that cannot be given the reason."""
    scores, anomalous = rows["score"].to_numpy(np.float64), is_anomalous(rows).to_numpy(bool)
    domain = rows["domain"].fillna("").to_numpy(str)
    compared: dict[str, NDArray[np.bool_]] = {}
    lacking: dict[str, str] = {}
    for name, area in areas.items():
        inside = np.full(len(rows), True) if area.domain is None else domain == area.domain
        good, bad = ~anomalous & inside, anomalous & (inside if area.own else True)
        if good.any() and bad.any():
            compared[name] = good | bad
            continue
        of_domain = "" if area.domain is None or (good.any() and not area.own) else f" of the domain {area.domain}"
        lacking[name] = f"no labelled {'anomaly' if good.any() else 'normal'}{of_domain}"
    strata = [f"{name} {label}" for name, label in zip(domain, anomalous, strict=True)]
    weightings = resampled_weights(strata, rows["unit"].to_numpy(str), rng, resamples)
    blocks = [
        [weighted_area(scores[kept], anomalous[kept], weights[:, kept], areas[name].limit)
         for name, kept in compared.items()]
        for weights in weightings
    ]  # fmt: skip
    return {name: np.concatenate(of) for name, of in zip(compared, zip(*blocks, strict=True), strict=True)}, lacking


def harmonic_mean(values: Sequence[Numbers]) -> Numbers:
    """Harmonic mean of several arrays (r,), entry by entry; 0 where one is.

    Example:
        >>> harmonic_mean([np.array([0.5, 0.0]), np.array([1.0, 1.0])]).round(3).tolist()
        [0.667, 0.0]
    """
    table = np.stack(values)
    known = (table > 0).all(0)
    inverse = np.divide(1.0, table, out=np.ones_like(table), where=known)
    return np.where(known, len(table) / inverse.sum(0), 0.0)


def _plain_mean(values: Sequence[Numbers]) -> Numbers:
    return np.asarray(np.mean(values, axis=0), np.float64)


def _figures(drawn: Drawn, names: Sequence[str]) -> dict[str, Figure | None]:
    """Figures of those names; None for those that are not drawn."""
    ends = {name: np.quantile(values[1:], [0.025, 0.975]).tolist() for name, values in drawn.items()}
    return {name: Figure(float(drawn[name][0]), *ends[name]) if name in drawn else None for name in names}
