"""From scores to verdicts: conformal p-values, and a threshold with a stated false-alarm rate."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.errors import EndlineError
from endline.samples import item_of

JOINS: Mapping[str, str] = {"max": "max", "mean": "mean"}
RULES = ("conformal", "gamma")


def conformal_p_values(scores: NDArray[np.float64], held_out: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-value of each score: (1 + number of held-out scores at least as large) / (1 + n).

    Args:
        scores: (m,) of the samples that are judged.
        held_out: (n,) of normal samples that the detector has not learned from.

    Example:
        >>> conformal_p_values(np.array([0.0, 2.5, 9.0]), np.array([1.0, 2.0, 3.0]))
        array([1.  , 0.5 , 0.25])
    """
    ordered = np.sort(held_out)
    at_least = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return np.asarray((1 + at_least) / (1 + len(ordered)), dtype=np.float64)


def conformal_threshold(held_out: NDArray[np.float64], rate: float) -> float:
    """Scores above it are flagged: the ceil((1 - rate)(n + 1))-th smallest held-out score.

    A normal sample exchangeable with the held-out ones is flagged with a probability of at most `rate`
    (Vovk et al.; Angelopoulos and Bates 2021, section 1). With fewer than 1 / rate - 1 held-out samples the rate
    cannot be promised: the threshold is then infinite and nothing is flagged.

    Example:
        >>> held_out = np.arange(1.0, 20.0)  # 1 to 19
        >>> conformal_threshold(held_out, 0.05), conformal_threshold(held_out[:18], 0.05)
        (19.0, inf)
    """
    rank = math.ceil((1 - rate) * (len(held_out) + 1) - 1e-9)
    return float(np.sort(held_out)[rank - 1]) if rank <= len(held_out) else math.inf


def gamma_threshold(held_out: NDArray[np.float64], rate: float) -> float:
    """The (1 - rate) quantile of a gamma distribution fitted to the held-out scores (DCASE baselines, rate 0.1).

    Scores may be negative, so the distribution starts one range below the smallest score. No guarantee comes
    with it.

    Example:
        >>> gamma_threshold(np.array([3.0, 3.0]), 0.1)
        3.0
    """
    smallest, spread = float(held_out.min()), float(np.ptp(held_out))
    if spread == 0:
        return smallest
    from scipy import stats  # takes longer than a verdict, which does without

    start = min(0.0, smallest - spread)
    shape, _, scale = stats.gamma.fit(held_out, floc=start)
    return float(stats.gamma.ppf(1 - rate, shape, loc=start, scale=scale))


def normals_needed(rate: float) -> int | None:
    """Smallest number of held-out normals that can promise a false-alarm rate; None where none can.

    Example:
        >>> normals_needed(0.05), normals_needed(0.0)
        (19, None)
    """
    return math.ceil(1 / rate - 1e-9) - 1 if rate > 0 else None


def false_alarm_p_value(alarms: int, normals: int, rate: float, held_out: int) -> float:
    """Probability of N false alarms or more among the tested normals, if the stated rate holds.

    With n held-out normals the rate of a split-conformal threshold is itself Beta distributed (Vovk, "Conditional
    validity of inductive conformal predictors", 2012), so the count is beta-binomial; where n can promise no such
    rate it is taken to be the stated one.

    Args:
        alarms: flagged ones of the tested normals.
        normals: tested normals.
        rate: stated false-alarm rate.
        held_out: number of held-out normals behind the threshold.

    Example:
        >>> false_alarm_p_value(0, 100, 0.05, 39)
        1.0
        >>> false_alarm_p_value(40, 100, 0.05, 39) < 0.001
        True
    """
    from scipy import stats

    allowed = math.floor(rate * (held_out + 1) + 1e-9)
    if 1 <= allowed <= held_out:
        return float(stats.betabinom.sf(alarms - 1, normals, allowed, held_out + 1 - allowed))
    return float(stats.binom.sf(alarms - 1, normals, rate))


@dataclass(frozen=True)
class Calibration:
    """How part scores become verdicts on items.

    Attributes:
        part_mean, part_sd: mean and standard deviation of the held-out normal scores, by part.
        held_out: joined scores of the held-out normal items.
        threshold: items that score above it are flagged; infinite if the rate cannot be promised.
        rate: the stated false-alarm rate.
        join: how the standardised part scores of an item are joined, `max` or `mean`.
        smallest_rate: 1 / (n + 1), the smallest rate that n held-out items can promise.

    Example:
        >>> calibration = Calibration({"whole": 0.0}, {"whole": 1.0}, (1.0, 2.0, 3.0), math.inf, 0.05, "max", 0.25)
        >>> calibration.as_json()["threshold_reason"]
        '3 held-out normals can promise no false-alarm rate below 25 %: at least 19 are needed for 5 %'
        >>> Calibration.from_json(calibration.as_json()) == calibration
        True
    """

    part_mean: dict[str, float]
    part_sd: dict[str, float]
    held_out: tuple[float, ...]
    threshold: float
    rate: float
    join: str
    smallest_rate: float

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Calibration":
        """Calibration of what `as_json` gave: a threshold of None is an infinite one."""
        threshold = math.inf if saved["threshold"] is None else float(saved["threshold"])
        given = {key: value for key, value in saved.items() if key != "threshold_reason"}
        return cls(**{**given, "threshold": threshold, "held_out": tuple(saved["held_out"])})

    def as_json(self) -> dict[str, Any]:
        """What any JSON parser reads: an infinite threshold is None, and `threshold_reason` says why."""
        threshold = self.threshold if math.isfinite(self.threshold) else None
        return {
            **asdict(self),
            "held_out": list(self.held_out),
            "threshold": threshold,
            "threshold_reason": self.threshold_reason,
        }

    @property
    def threshold_reason(self) -> str | None:
        """Why the threshold is infinite; None where it is not."""
        if math.isfinite(self.threshold):
            return None
        needed = normals_needed(self.rate)
        remedy = f": at least {needed} are needed for {100 * self.rate:.3g} %" if needed else ""
        return (
            f"{len(self.held_out)} held-out normals can promise no false-alarm rate below "
            f"{100 * self.smallest_rate:.3g} %{remedy}"
        )

    def verdicts(self, part_scores: pd.DataFrame) -> pd.DataFrame:
        """One row an item: `sample_id, score, p_value, flagged` and the columns that its parts share.

        Args:
            part_scores: the sample table's columns and `score`.
        """
        joined = _joined(part_scores, self.part_mean, self.part_sd, self.join)
        held_out = np.asarray(self.held_out)
        scores = joined["score"].to_numpy(float)
        return joined.assign(p_value=conformal_p_values(scores, held_out), flagged=scores > self.threshold)


def calibrate(
    held_out: pd.DataFrame, *, rate: float, join: str, rule: Literal["conformal", "gamma"] | str = "conformal"
) -> Calibration:
    """Calibration from part scores of normal items that the scoring detector has not learned from.

    Args:
        held_out: the sample table's columns and `score`, normal items only.
        rate: stated false-alarm rate in (0, 1).
        join: `max` or `mean`.
        rule: `conformal` or `gamma`.

    Raises:
        EndlineError: for an unknown join or rule, a rate outside (0, 1), or no held-out item.
    """
    if join not in JOINS:
        raise EndlineError(f"There is no join '{join}' of the parts: choose one of {', '.join(JOINS)}.")
    if rule not in RULES:
        raise EndlineError(f"There is no threshold rule '{rule}': choose one of {', '.join(RULES)}.")
    if not 0 < rate < 1:
        raise EndlineError(f"false_alarm_rate={rate} must lie between 0 and 1: write 0.05 for 5 %.")
    if held_out.empty:
        raise EndlineError("No normal item is held out, so there is no threshold: record more good parts.")
    by_part = held_out.groupby(_part(held_out))["score"]
    means = {str(part): float(value) for part, value in by_part.mean().items()}
    # Equal scores have no spread: they are left as they are.
    spreads = {str(part): float(value) or 1.0 for part, value in by_part.std(ddof=0).items()}
    scores = _joined(held_out, means, spreads, join)["score"].to_numpy(float)
    threshold = {"conformal": conformal_threshold, "gamma": gamma_threshold}[rule](scores, rate)
    held = tuple(float(score) for score in np.sort(scores))
    return Calibration(means, spreads, held, threshold, rate, join, 1 / (len(scores) + 1))


def _joined(
    part_scores: pd.DataFrame, means: Mapping[str, float], spreads: Mapping[str, float], join: str
) -> pd.DataFrame:
    part = _part(part_scores)
    standardised = (part_scores["score"] - part.map(means)) / part.map(spreads)
    table = part_scores.assign(score=standardised, sample_id=item_of(part_scores))
    first = {column: "first" for column in table.columns if column not in ("sample_id", "score", "part")}
    return table.groupby("sample_id", sort=False).agg({"score": JOINS[join], **first}).reset_index()


def _part(samples: pd.DataFrame) -> pd.Series:
    return samples["part"].fillna("whole").astype(str)
