"""What N held-out normals can promise: conformal p-values, thresholds and their bounds."""

import math

import numpy as np
from numpy.typing import NDArray

from endline.errors import EndlineError

INTERPOLATED = "interpolated"
Numbers = NDArray[np.float64]


def check_rate(rate: float) -> None:
    """Refuse a rate of false alarms that is none.

    Raises:
        EndlineError: outside of 0 to 1, or at either end.

    Example:
        >>> check_rate(5)
        Traceback (most recent call last):
        endline.errors.EndlineError: false_alarm_rate=5 must lie between 0 and 1: write 0.05 for 5 %.
    """
    if not 0 < rate < 1:
        raise EndlineError(f"false_alarm_rate={rate} must lie between 0 and 1: write 0.05 for 5 %.")


def conformal_p_values(excess: Numbers, weights: Numbers, *, interpolate: bool = False) -> Numbers:
    """p-value (m,) of each judged sample: (1 + weight of the held-out normals that it does not exceed) / (1 + parts).

    A part that was recorded several times has weight 1 in all, so that a new recording of a new part is exchangeable
    with the held-out ones (Lee, Barber and Willett 2023, "Distribution-free inference with hierarchical data").

    Args:
        excess: (m, n), by how much the score of each sample exceeds that of each held-out normal, both by a detector
            that has seen neither.
        weights: (n,) of the held-out normals; they add up to the number of parts.
        interpolate: whether the rank of a sample between two held-out normals is interpolated between theirs. It lowers
            a p-value by 1 / (1 + parts) at most, and the promise loosens by as much.

    Example:
        >>> excess = np.array([0.0, 2.5, 9.0])[:, None] - np.array([1.0, 2.0, 3.0])
        >>> [conformal_p_values(excess, np.ones(3), interpolate=smooth).tolist() for smooth in (False, True)]
        [[1.0, 0.5, 0.25], [1.0, 0.375, 0.25]]
    """
    reached = (excess <= 0) @ weights
    if interpolate and excess.shape[1] > 1:
        reached = reached - _between(excess, weights)
    return np.asarray((1 + reached) / (1 + weights.sum()), dtype=np.float64)


def _between(excess: Numbers, weights: Numbers) -> Numbers:
    """Share (m,) of the nearest reached normal's weight that lies beyond a sample: 1 just above the next lower one."""
    order = np.argsort(excess, axis=1)
    ordered = np.take_along_axis(excess, order, 1)
    last = (ordered <= 0).sum(1) - 1  # the reached normal that a sample is nearest to
    inside = (last >= 0) & (last + 1 < excess.shape[1])
    at = np.flatnonzero(inside)
    below, above = ordered[at, last[at]], ordered[at, last[at] + 1]
    away = np.zeros(len(excess))
    away[at] = weights[order[at, last[at]]] * above / (above - below)
    return away


def promised_bound(rate: float, parts: int, folds: int, *, interpolated: bool = False) -> float:
    """Largest probability that a new normal part is flagged at a rate, whatever the detector and the production.

    Held out from one detector it is the rate (split conformal). Cross-fitted it is usually the rate too, but what is
    proved is 2 rate + min(2 (1 - 1/K) / (n/K + 1), (1 - K/n) / (K + 1)) for n parts in K folds (Barber, Candès, Ramdas
    and Tibshirani 2021, "Predictive inference with the jackknife+", theorem 4). An interpolated rank costs 1 / (n + 1).

    Example:
        >>> promised_bound(0.05, 39, 1), promised_bound(0.05, 39, 1, interpolated=True)
        (0.05, 0.07500000000000001)
        >>> round(promised_bound(0.05, 35, 5), 3)
        0.243
    """
    level = rate + (1 / (parts + 1) if interpolated else 0.0)
    if folds < 2:
        return level
    return 2 * level + min(2 * (1 - 1 / folds) / (parts / folds + 1), (1 - folds / parts) / (folds + 1))


def promisable(rate: float, parts: int) -> float:
    """The false-alarm rate that N calibrating parts can promise: the stated one, or the smallest there is.

    Example:
        >>> promisable(0.05, 19), promisable(0.05, 4)
        (0.05, 0.2)
    """
    return max(rate, 1 / (parts + 1))


def unkept_rate(rate: float, parts: int, name: str = "calibrating parts") -> str | None:
    """Why N calibrating parts, called by a name, cannot promise a false-alarm rate; None where they can.

    Example:
        >>> unkept_rate(0.05, 19)
        >>> unkept_rate(0.05, 4, "held-out cycles")
        '4 held-out cycles can promise no false-alarm rate below 20 %: at least 19 are needed for 5 %'
    """
    least = promisable(rate, parts)
    if least <= rate:
        return None
    return (
        f"{parts} {name} can promise no false-alarm rate below {100 * least:.3g} %: at least {normals_needed(rate)} "
        f"are needed for {100 * rate:.3g} %"
    )


def beware(reason: str) -> str:
    """What a user is told where the stated rate cannot be promised.

    Example:
        >>> beware("4 held-out cycles can promise no false-alarm rate below 20 %")
        'Beware: 4 held-out cycles can promise no false-alarm rate below 20 %. Verdicts keep the rate that can be ...'
    """
    return f"Beware: {reason}. Verdicts keep the rate that can be promised: record more good parts."


def conformal_threshold(held_out: Numbers, rate: float) -> float:
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


def gamma_threshold(held_out: Numbers, rate: float) -> float:
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


def binomial_interval(count: int, trials: int) -> tuple[float, float]:
    """95 % interval of a rate by count of trials (Clopper and Pearson 1934), for at least one trial.

    Example:
        >>> [round(end, 3) for end in binomial_interval(0, 30)]
        [0.0, 0.116]
    """
    from scipy import stats

    low = float(stats.beta.ppf(0.025, count, trials - count + 1)) if count else 0.0
    high = float(stats.beta.ppf(0.975, count + 1, trials - count)) if count < trials else 1.0
    return low, high


def false_alarm_p_value(alarms: int, normals: int, rate: float, held_out: int) -> float:
    """Probability of N false alarms or more among the tested normals, if the stated rate holds.

    With n held-out normals the rate of a split-conformal threshold is itself Beta distributed (Vovk, "Conditional
    validity of inductive conformal predictors", 2012), so the count is beta-binomial; where n can promise no such
    rate it is taken to be the stated one. Cross-fitted it is nearly so.

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
