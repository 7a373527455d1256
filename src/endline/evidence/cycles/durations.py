"""How far duration and pauses of a cycle lie beyond those of the training: so far it is an anomaly by itself."""

import logging
from dataclasses import dataclass

import pandas as pd

from endline.evidence.usual_range import ROUNDING, range_share

LEAST = 0.1  # of the longest training cycle: by so much a good one may be longer or shorter than all of them
PAUSES = 3  # times the longest pause of the training
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Durations:
    """Durations of the training cycles, and the longest pause in them.

    Attributes:
        shortest, longest: in seconds.
        count: parts that were recorded; 0 where it is not known.
        pause: the longest time between two steps of a cycle, in seconds; None where it is not known.

    Example:
        >>> Durations(1.0, 1.0).beyond(1.1), round(Durations(1.0, 1.0).beyond(1.8), 6)
        (0.0, 7.0)
        >>> known = Durations(1.0, 1.0, pause=0.01)
        >>> known.unrecorded(0.02, 0.01), known.unrecorded(0.3, 0.01)
        (0.0, 9.0)
    """

    shortest: float
    longest: float
    count: int = 0
    pause: float | None = None

    def beyond(self, seconds: float) -> float:
        """How far a duration lies beyond those of the training, in margins: 0 within their range and one margin.

        The margin is `range_share` of the range, and at least a tenth of the longest. Where the longest training cycle
        lasts more than twice as long as the shortest, that would reach down to nothing: below, the margin then leaves
        the ratio of the two, so that a cycle is too short where it is to the shortest as that is to the longest.
        """
        least, share = LEAST * self.longest, range_share(self.count) * (self.longest - self.shortest)
        above = max(least, share)
        below = max(least, min(share, self.shortest - self.shortest**2 / self.longest))
        excess = max((seconds - self.longest) / above, (self.shortest - seconds) / below) - 1
        return excess if excess > ROUNDING else 0.0

    def remark(self, seconds: float) -> str:
        """What is to be said of a duration: nothing where it is not `beyond`."""
        if not self.beyond(seconds):
            return ""
        usual = f"{self.shortest:.4g} to {self.longest:.4g} s"
        return f"lasts {seconds:.4g} s, the training cycles {usual}: that counts as an anomaly by itself."

    def unrecorded(self, pause: float, step: float) -> float:
        """How far the longest pause of a cycle exceeds what is usual, in times of that; 0 where it does not.

        What happens in a pause is not in the record, and what stands there afterwards is drawn between its ends. Usual
        is three times the longest pause of the training cycles, and at least two steps of the arrays, between which
        nothing is seen anyway.

        Args:
            pause: the longest time between two steps of the cycle, in seconds.
            step: seconds of a step of the arrays.
        """
        if self.pause is None:
            return 0.0
        excess = pause / max(PAUSES * self.pause, 2 * step) - 1
        return excess if excess > ROUNDING else 0.0

    def pause_remark(self, pause: float, step: float) -> str:
        """What is to be said of a pause: nothing where it is not `unrecorded`, which has the arguments."""
        if not self.unrecorded(pause, step):
            return ""
        return (
            f"was not recorded for {pause:.4g} s, the training cycles for {self.pause:.4g} s at most: that counts as "
            "an anomaly by itself. Look for what was lost, and record it again."
        )


def seconds_of_step(duration: float, rate: float | None, length: int) -> float:
    """Seconds of a step of the arrays: of a cycle that is stretched to `length` steps its own."""
    return duration / (length - 1) if rate is None else 1 / rate


def warn_of_pauses(training: pd.DataFrame, rate: float | None, length: int) -> None:
    """Tell of training cycles in which something was lost, by which pauses of new ones are judged.

    Args:
        training: their rows of the sample table: `sample_id, duration, pause`.
        rate: of the arrays, as `CyclePreparation` has it.
        length: likewise.
    """
    usual = Durations(0.0, 0.0, pause=float(training["pause"].median()))
    steps = [seconds_of_step(duration, rate, length) for duration in training["duration"]]
    lost = [usual.unrecorded(pause, step) > 0 for pause, step in zip(training["pause"], steps, strict=True)]
    if not any(lost):
        return
    worst = training.sort_values("pause").iloc[-1]
    log.warning(
        "%d of the %d training cycles were not recorded for a while, %s for %.4g s; in most it is %.4g s at most. What "
        "happened then is not known, and a new cycle may lack as much: record them again, or leave them out.",
        sum(lost),
        len(training),
        worst["sample_id"],
        worst["pause"],
        usual.pause,
    )
