"""From scores to verdicts, with a stated false-alarm rate: split conformal, or cross-conformal by folds."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.detectors.scoring import fold_scores
from endline.errors import EndlineError
from endline.evaluation.rankings import Ranking, rankings
from endline.evaluation.thresholds import INTERPOLATED, check_rate, gamma_threshold, promisable, unkept_rate
from endline.samples import item_of

RULES = ("conformal", INTERPOLATED, "gamma")
TOGETHER, EACH = DOMAINS = ("together", "each")
BLOCK = 2**22  # comparisons that are in memory at once
Numbers = NDArray[np.float64]
JOINS: Mapping[str, Callable[..., Any]] = {"max": np.nanmax, "mean": np.nanmean}


@dataclass(frozen=True)
class Calibration:
    """How part scores become verdicts on items.

    Every held-out normal was scored by the detectors of a fold that has not learned from it. A new item is scored by
    those of each fold, and compared with each held-out normal by that normal's own fold (cross-conformal prediction,
    Vovk 2015; CV+, Barber et al. 2021): its `score` is the mean over the folds, its p-value counts the normals that it
    does not exceed. One fold is split conformal. What is promised says `promised_bound`.

    Scores of the parts of an item (two motions) are standardised before they are joined, by held-out scores without
    those that the item is compared with: without the fold, and where there is one, without the normal itself.

    Where the domains of the held-out normals are given, an item is ranked among those of each domain, and its p-value
    is the largest. Its own domain is no input: a normal of a domain is exchangeable with the held-out normals of that
    domain, so that its p-value among them is at most the rate with at most that probability, and the largest is no
    smaller. The rate thus holds in every domain, however their scores differ (Mondrian conformal prediction, Vovk et
    al. 2003, for a category that is not known). The price: a domain whose scores are lower than another's is flagged
    less often than stated, and the domain with the fewest parts limits the rate that can be promised.

    Attributes:
        parts: names of the parts, sorted.
        scores: (n, parts) of the held-out normal items; NaN where one lacks a part.
        folds: (n,) number of the fold that scored each.
        units: (n,) number of the physical part that each shows.
        stated_rate: the stated false-alarm rate.
        join: how the standardised part scores of an item are joined, `max` or `mean`.
        rule: `conformal`; `interpolated`, whose promise is looser by 1 / (parts + 1); `gamma`, which promises nothing.
        domains: (n,) name of the domain of each held-out normal; empty where they are judged together.

    Example:
        >>> calibration = Calibration(("whole",), ((1.0,), (2.0,), (3.0,)), (0, 0, 0), (0, 1, 2), 0.05)
        >>> calibration.rate, calibration.rate_reason
        (0.25, '3 calibrating parts can promise no false-alarm rate below 25 %: at least 19 are needed for 5 %')
        >>> Calibration.from_json(calibration.as_json()) == calibration
        True
    """

    parts: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...] = field(repr=False)
    folds: tuple[int, ...] = field(repr=False)
    units: tuple[int, ...] = field(repr=False)
    stated_rate: float
    join: str = "mean"
    rule: str = "conformal"
    domains: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Calibration":
        """Calibration of what `as_json` gave; of files from before `domains` all normals are judged together."""
        scores = tuple(tuple(math.nan if x is None else float(x) for x in row) for row in saved["scores"])
        given = {key: tuple(saved[key]) for key in ("parts", "folds", "units")}
        rate, join, rule = saved["stated_rate"], saved["join"], saved["rule"]
        domains = tuple(saved.get("domains", ()))
        return cls(scores=scores, stated_rate=rate, join=join, rule=rule, domains=domains, **given)

    def as_json(self) -> dict[str, Any]:
        """What any JSON parser reads: a missing part's score is None. What follows from the rest is for readers."""
        return {
            "parts": list(self.parts),
            "scores": [[None if math.isnan(score) else score for score in row] for row in self.scores],
            "folds": list(self.folds),
            "units": list(self.units),
            "stated_rate": self.stated_rate,
            "join": self.join,
            "rule": self.rule,
            "domains": list(self.domains),
            "rate": self.rate,
            "rate_reason": self.rate_reason,
            "bound": self.bound,
            "threshold": self.threshold,
        }

    @cached_property
    def n_units(self) -> int:
        """Number of physical parts that are held out."""
        return len(set(self.units))

    @cached_property
    def n_folds(self) -> int:
        """Number of folds; 1 where one detector has seen none of the held-out normals."""
        return max(self.folds) + 1

    @cached_property
    def units_by_domain(self) -> dict[str, int]:
        """Number of held-out parts of each domain; empty where they are judged together."""
        return {ranking.domain: ranking.units for ranking in self._rankings if ranking.domain}

    @property
    def limiting(self) -> Ranking:
        """The held-out normals that limit the promise: of the domain with the fewest parts, or all."""
        return min(self._rankings, key=lambda ranking: ranking.units)

    @property
    def rate(self) -> float:
        """The false-alarm rate that verdicts keep: the stated one, or the smallest that can be promised."""
        return self.stated_rate if self.rule == "gamma" else promisable(self.stated_rate, self.limiting.units)

    @property
    def rate_reason(self) -> str | None:
        """Why `rate` is not the stated one; None where it is."""
        if self.rule == "gamma":
            return None
        of_domain = f" of {self.limiting.domain}" if self.domains else ""
        return unkept_rate(self.stated_rate, self.limiting.units, f"calibrating parts{of_domain}")

    @property
    def bound(self) -> float | None:
        """Proved bound of the false-alarm rate at `rate`, in the domain where it is largest; None without a proof."""
        if self.rule == "gamma":
            return None
        return max(own.bound(self.rate, interpolated=self.rule == INTERPOLATED) for own in self._rankings)

    @cached_property
    def held_out(self) -> Numbers:
        """Joined scores (n,) of the held-out normals, each by its own fold."""
        joined = self._joined(np.asarray(self.scores)[:, None, :].repeat(self.n_folds, 1))
        return np.asarray(joined[np.arange(len(self.folds)), self._group], dtype=np.float64)

    @cached_property
    def threshold(self) -> float:
        """The score above which an item is flagged; where several folds decide, it is near to what they do."""
        if self.rule == "gamma":
            return max(gamma_threshold(self.held_out[own.rows], self.rate) for own in self._rankings)
        return max(own.threshold(self.held_out, self.rate) for own in self._rankings)

    def verdicts(self, part_scores: pd.DataFrame) -> pd.DataFrame:
        """One row an item: `sample_id, score, p_value, flagged` and the columns that its parts share.

        Args:
            part_scores: the sample table's columns, and scores as `scoring.with_scores` gives them.
        """
        items = item_of(part_scores)
        by_fold = fold_scores(part_scores)
        names = pd.unique(items)
        scores = np.full((len(names), self.n_folds, len(self.parts)), np.nan)
        rows = pd.Index(names).get_indexer(pd.Index(items))
        columns = pd.Index(self.parts).get_indexer(pd.Index(part_names(part_scores)))
        scores[rows, :, columns] = by_fold
        shared = part_scores.assign(sample_id=items).drop(columns=["score", "part"], errors="ignore")
        shared = shared[[name for name in shared if not str(name).startswith("score_")]]
        table = shared.groupby("sample_id", sort=False).agg("first").reset_index()
        p_values, joined = np.zeros(len(names)), np.zeros(len(names))
        step = max(1, BLOCK // max(1, len(self.folds) * len(self.parts)))
        for start in range(0, len(names), step):
            block = slice(start, start + step)
            p_values[block], joined[block] = self._judged(scores[block])
        flagged = joined > self.threshold if self.rule == "gamma" else p_values <= self.rate + 1e-9
        return table.assign(score=joined, p_value=p_values, flagged=flagged)

    def _judged(self, scores: Numbers) -> tuple[Numbers, Numbers]:
        """p-values (m,) and joined scores (m,) of part scores (m, folds, parts)."""
        joined = self._joined(scores)
        excess = joined[:, self._group] - self.held_out
        p_values = [own.p_values(excess, interpolate=self.rule == INTERPOLATED) for own in self._rankings]
        return np.max(p_values, axis=0), np.asarray(joined.mean(1), dtype=np.float64)

    @cached_property
    def _rankings(self) -> tuple[Ranking, ...]:
        return rankings(self.units, self.folds, self.domains)

    @cached_property
    def _group(self) -> NDArray[np.int64]:
        """Group (n,) of each held-out normal: its fold, or its unit where several parts of one fold are joined."""
        alone = self.n_folds == 1 and len(self.parts) > 1
        return np.asarray(self.units if alone else self.folds, dtype=np.int64)

    @cached_property
    def _scales(self) -> tuple[Numbers, Numbers]:
        """Mean and standard deviation (groups, parts) of the held-out scores outside of each group."""
        scores, groups = np.asarray(self.scores), self._group
        outside = [scores[groups != group] for group in range(groups.max() + 1)]
        rows = [rest if len(rest) > 1 else scores for rest in outside]
        mean = np.stack([np.nanmean(row, 0) for row in rows])
        sd = np.stack([np.nanstd(row, 0) for row in rows])
        return mean, np.where(sd > 0, sd, 1.0)  # equal scores have no spread: they are left as they are

    def _joined(self, scores: Numbers) -> Numbers:
        """Scores (m, groups) of part scores (m, folds, parts), standardised as each group is."""
        mean, sd = self._scales
        of_groups = scores if self.n_folds > 1 else scores.repeat(len(mean), 1)
        return np.asarray(JOINS[self.join]((of_groups - mean) / sd, axis=2), dtype=np.float64)


def calibrate(
    held_out: pd.DataFrame, *, rate: float, join: str, rule: str = "conformal", domains: str = TOGETHER
) -> Calibration:
    """Calibration from part scores of normal items that the scoring detectors have not learned from.

    Args:
        held_out: the sample table's columns, `score`, and `fold` where there are several; normal items only.
        rate: stated false-alarm rate in (0, 1).
        join: `max` or `mean`.
        rule: one of `RULES`.
        domains: `together`, or `each`, so that the rate holds in every domain; the held-out items then have a `domain`.

    Raises:
        EndlineError: for an unknown join, rule or way with domains, a rate outside (0, 1), no held-out item, or one
            without a domain where each is judged.
    """
    if join not in JOINS:
        raise EndlineError(f"There is no join '{join}' of the parts: choose one of {', '.join(JOINS)}.")
    if rule not in RULES:
        raise EndlineError(f"There is no threshold rule '{rule}': choose one of {', '.join(RULES)}.")
    if domains not in DOMAINS:
        raise EndlineError(f"There is no verdict.domains '{domains}': choose one of {', '.join(DOMAINS)}.")
    check_rate(rate)
    if held_out.empty:
        raise EndlineError("No normal item is held out, so there is no threshold: record more good parts.")
    items = item_of(held_out)
    table = held_out.assign(item=items, part=part_names(held_out), fold=held_out.get("fold", 0))
    table = table.assign(unit=held_out.get("unit", items))
    scores = table.pivot(index="item", columns="part", values="score").sort_index(axis=1)
    first = table.drop_duplicates("item").set_index("item").loc[scores.index]
    return Calibration(
        parts=tuple(map(str, scores.columns)),
        scores=tuple(tuple(map(float, row)) for row in scores.to_numpy(float)),
        folds=tuple(map(int, first["fold"])),
        units=tuple(map(int, pd.factorize(first["unit"])[0])),
        stated_rate=rate,
        join=join,
        rule=rule,
        domains=_domains_of(first) if domains == EACH else (),
    )


def _domains_of(items: pd.DataFrame) -> tuple[str, ...]:
    """Domain (n,) of each held-out item."""
    known = items["domain"].notna() if "domain" in items else pd.Series(False, items.index)
    if not known.all():
        raise EndlineError(
            f"{int((~known).sum())} of {len(items)} held-out normals have no domain ({items.index[~known][0]} first), "
            "and verdict.domains=each keeps the false-alarm rate in each: name it, or write domains: together."
        )
    return tuple(map(str, items["domain"]))


def part_names(samples: pd.DataFrame) -> pd.Series:
    """Name (rows,) of the part of each row; `whole` where items have no parts.

    Example:
        >>> part_names(pd.DataFrame({"part": ["fold", None]})).tolist()
        ['fold', 'whole']
    """
    return samples["part"].fillna("whole").astype(str)
