"""From scores to verdicts: conformal p-values, and a threshold with a stated false-alarm rate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from endline.errors import EndlineError
from endline.samples import item_of

JOINS: Mapping[str, str] = {"max": "max", "mean": "mean"}
RULES = ("conformal", "gamma")


def conformal_p_values(scores: NDArray[np.float64], held_out: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-value of each score: (1 + number of held-out scores at least as large) / (1 + n).

    Args:
        scores: (m,) of the samples that are judged.
        held_out: (n,) of normal samples that the detector has not learned from.
    """
    ordered = np.sort(held_out)
    at_least = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return np.asarray((1 + at_least) / (1 + len(ordered)), dtype=np.float64)


def conformal_threshold(held_out: NDArray[np.float64], rate: float) -> float:
    """Scores above it are flagged: the ceil((1 - rate)(n + 1))-th smallest held-out score.

    A normal sample exchangeable with the held-out ones is flagged with a probability of at most `rate`
    (Vovk et al.; Angelopoulos and Bates 2021, section 1). With fewer than 1 / rate - 1 held-out samples the rate
    cannot be promised: the threshold is then infinite and nothing is flagged.
    """
    rank = math.ceil((1 - rate) * (len(held_out) + 1) - 1e-9)
    return float(np.sort(held_out)[rank - 1]) if rank <= len(held_out) else math.inf


def gamma_threshold(held_out: NDArray[np.float64], rate: float) -> float:
    """The (1 - rate) quantile of a gamma distribution fitted to the held-out scores (DCASE baselines, rate 0.1).

    Scores may be negative, so the distribution starts one range below the smallest score. No guarantee comes
    with it.
    """
    smallest, spread = float(held_out.min()), float(np.ptp(held_out))
    if spread == 0:
        return smallest
    start = min(0.0, smallest - spread)
    shape, _, scale = stats.gamma.fit(held_out, floc=start)
    return float(stats.gamma.ppf(1 - rate, shape, loc=start, scale=scale))


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
    """

    part_mean: dict[str, float]
    part_sd: dict[str, float]
    held_out: tuple[float, ...]
    threshold: float
    rate: float
    join: str
    smallest_rate: float

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
        raise EndlineError("No normal item is held out, so no threshold can be found: record more good parts.")
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
