"""How far a number lies beyond those of the training parts: so far it is an anomaly by itself."""

from dataclasses import dataclass
from functools import cache
from math import lgamma
from math import log as logarithm

HALF = 0.5  # of the range, at least
SHARE = 0.2  # of the rate 1 / (n + 1), the smallest that n parts can promise, at which the range flags good ones
ROUNDING = 1e-9  # of numbers that are differences


@dataclass(frozen=True)
class UsualRange:
    """Range of a number over the training parts.

    Attributes:
        low, high: the smallest and the largest.
        count: parts.
        least: margin by which a good one may lie beyond the range at least, in the number's unit, above 0.

    Example:
        >>> usual = UsualRange(low=28.0, high=30.0, count=100, least=0.5)
        >>> usual.beyond(30.9), usual.beyond(33.0), usual.beyond(25.5)
        (0.0, 2.0, 1.5)
    """

    low: float
    high: float
    count: int
    least: float

    def beyond(self, value: float) -> float:
        """How far a number lies beyond the range, in margins: 0 within the range and one margin, see `range_share`."""
        margin = max(self.least, range_share(self.count) * (self.high - self.low))
        excess = max(value - self.high, self.low - value) / margin - 1
        return excess if excess > ROUNDING else 0.0


@cache
def range_share(count: int) -> float:
    """Share of the range of N numbers by which that of a good part may lie beyond it: half, and more of few.

    The calibrating parts lie within the range, so what it flags comes on top of the stated rate. With no margin it
    would be 2 / (n + 1), whatever the numbers. Where they exceed their least by exponentially distributed amounts, as
    waiting times do, a new one is beyond the largest and k ranges more with a probability of n! Γ(2 + k) /
    ((n + 1) Γ(n + 1 + k)) (by Rényi's representation of order statistics, 1953); k is chosen for a fifth of
    1 / (n + 1). Normal and lognormal numbers have lighter tails. Where numbers are of two kinds and training has
    seen one, no margin helps: there the bound without a margin is all that holds.

    Example:
        >>> [round(range_share(count), 2) for count in (10, 14, 20, 60, 1000)]
        [0.94, 0.78, 0.66, 0.5, 0.5]
    """
    if count < 2:  # of one the range is 0
        return HALF
    low, high = 0.0, 10.0  # 10 is more than two durations need
    while high - low > 1e-6:
        k = (low + high) / 2
        tail = lgamma(count + 1) + lgamma(2 + k) - lgamma(count + 1 + k)
        low, high = (k, high) if tail > logarithm(SHARE) else (low, k)
    return max(HALF, high)
