"""Whether a challenger may become champion: criteria on what two models say of the same acceptance set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from endline.errors import EndlineError
from endline.evaluation.calibration import Calibration
from endline.evaluation.false_alarms import false_alarms
from endline.evaluation.metrics import auroc, is_anomalous, is_normal
from endline.evaluation.normal_shift import is_shifted, normal_shift
from endline.evaluation.paired import LabelledScores, auroc_difference
from endline.evaluation.thresholds import false_alarm_p_value
from endline.field_types import check_fields

LEVEL = 0.05  # of each one-sided test


@dataclass(frozen=True)
class Bounds:
    """What a challenger must keep to; parameters `promotion` of the configuration.

    Attributes:
        auroc_margin: by how much its AUROC may be behind the champion's, by the lower bound of the difference.
        seconds: for a file, the median, at most.
        memory_mb: of the process that judges, at most.

    Raises:
        EndlineError: for a bound that is none.

    Example:
        >>> Bounds().seconds
        2.0
    """

    auroc_margin: float = 0.05
    seconds: float = 2.0
    memory_mb: float = 4096.0

    def __post_init__(self) -> None:
        if not (0 <= self.auroc_margin <= 1 and self.seconds > 0 and self.memory_mb > 0):
            raise EndlineError(
                f"promotion: auroc_margin={self.auroc_margin:g} must lie between 0 and 1, seconds={self.seconds:g} and "
                f"memory_mb={self.memory_mb:g} above 0: correct them."
            )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Bounds":
        """Bounds of the configuration.

        Raises:
            EndlineError: for an unknown setting, or one of the wrong type.
        """
        try:
            bounds = cls(**settings)
            check_fields(bounds)
        except TypeError as error:
            raise EndlineError(f"The bounds of the promotion cannot be used ({error}): correct them.") from error
        return bounds


@dataclass(frozen=True)
class Judged:
    """What a model says of the acceptance set.

    Attributes:
        items: one row an item, the same for all models: `sample_id, unit, label, score, p_value, flagged, reason`;
            without a verdict `score` and `p_value` are NaN, and `flagged` is missing.
        calibration: of the model, what it promises.
        seconds: that a file takes, the median.
        memory_mb: highest resident memory of the process meanwhile; None where the system gives none.

    Example:
        `Judged(items, model.calibration, seconds=0.2, memory_mb=700.0).judged.all()`
    """

    items: pd.DataFrame
    calibration: Calibration
    seconds: float
    memory_mb: float | None

    @property
    def judged(self) -> pd.Series:
        """Whether each item has a verdict."""
        return self.items["flagged"].notna()


@dataclass(frozen=True)
class Criterion:
    """One condition, and whether it holds.

    Attributes:
        name: of it.
        holds: whether it does.
        said: its figures, in words.

    Example:
        >>> Criterion("speed", True, "0.2 s a file, 2 s allowed").line
        'holds  speed: 0.2 s a file, 2 s allowed'
    """

    name: str
    holds: bool
    said: str

    @property
    def line(self) -> str:
        """The criterion as one line."""
        return f"{'holds' if self.holds else 'FAILS'}  {self.name}: {self.said}"


def criteria(challenger: Judged, champion: Judged | None, bounds: Bounds) -> list[Criterion]:
    """All conditions, each of which must hold.

    Args:
        challenger: what it says.
        champion: what the champion says of the same items; None where there is none yet.
        bounds: of the configuration.

    Raises:
        EndlineError: where the set can decide nothing: it has no normal, or no model judges any of it.
    """
    items = challenger.items
    if not is_normal(items).any():
        raise EndlineError(
            "The acceptance set has no labelled normal part, so nobody knows how often good parts are flagged: add "
            "some."
        )
    if not challenger.judged.any() and (champion is None or not champion.judged.any()):
        raise EndlineError(
            f"No file of the acceptance set can be judged: {items['reason'].iloc[0]} Name a set of this machine and "
            "station."
        )
    return [
        _every_file(challenger),
        _ranking(challenger, champion, bounds.auroc_margin),
        _detection(challenger, champion),
        _false_alarms(challenger),
        Criterion(
            "speed",
            challenger.seconds <= bounds.seconds,
            f"{challenger.seconds:.3f} s a file, {bounds.seconds:g} s allowed",
        ),
        _memory(challenger, bounds.memory_mb),
    ]


def _every_file(challenger: Judged) -> Criterion:
    count, judged = len(challenger.items), int(challenger.judged.sum())
    said = f"{judged} of {count} items have a verdict"
    if judged < count:
        said += f"; the first without: {challenger.items.loc[~challenger.judged, 'reason'].iloc[0]}"
    return Criterion("every file", judged == count, said)


def _ranking(challenger: Judged, champion: Judged | None, margin: float) -> Criterion:
    known = challenger.judged if champion is None else challenger.judged & champion.judged
    own = _labelled(challenger.items[known])
    if len(own.anomalous) == 0 or len(own.normal) == 0:
        faults = is_anomalous(challenger.items).any()
        lacking = "no item of each label is judged" if faults else "not tested, the set has no faulty part"
        return Criterion("AUROC", not faults, lacking)
    if champion is None:
        area = auroc(own.normal, own.anomalous, units=(own.normal_units, own.anomalous_units))
        assert area is not None  # neither class is empty
        said = f"{area.auroc:.3f} (95 % interval {area.low:.3f} to {area.high:.3f}), which must lie above 0.5"
        return Criterion("AUROC", area.low > 0.5, said)
    found = auroc_difference(own, _labelled(champion.items[known]))
    worse = found.high < 0
    said = (
        f"{found.first:.3f}, the champion {found.second:.3f}: {found.first - found.second:+.3f}, with 95 % confidence "
        f"at least {found.low:+.3f} (allowed {-margin:+.3f})" + (", significantly worse" if worse else "")
    )
    return Criterion("AUROC", not worse and found.low >= -margin, said)


def _labelled(items: pd.DataFrame) -> LabelledScores:
    normal, bad = items[is_normal(items)], items[is_anomalous(items)]
    scores = (rows["score"].to_numpy(np.float64) for rows in (normal, bad))
    units = (rows["unit"].to_numpy(str) for rows in (normal, bad))
    return LabelledScores(*scores, *units)


def _detection(challenger: Judged, champion: Judged | None) -> Criterion:
    """Ranking says nothing of the threshold: a model that flags nothing may rank well."""
    own = _flagged_units(challenger.items)
    if own.empty:
        return Criterion("detection", True, "not tested, the set has no faulty part")
    said = f"{int(own.sum())} of {len(own)} faulty parts are flagged"
    if champion is None:
        return Criterion("detection", bool(own.any()), said)
    from scipy import stats

    other = _flagged_units(champion.items)
    lost, won = int((other & ~own).sum()), int((own & ~other).sum())
    chance = float(stats.binom.sf(lost - 1, lost + won, 0.5)) if lost else 1.0
    said += f", {int(other.sum())} by the champion; {lost} lost and {won} won (sign test p = {chance:.3f})"
    return Criterion("detection", chance >= LEVEL, said)


def _flagged_units(items: pd.DataFrame) -> pd.Series:
    faulty = items[is_anomalous(items)]
    return faulty["flagged"].fillna(False).astype(bool).groupby(faulty["unit"]).any()


def _false_alarms(challenger: Judged) -> Criterion:
    found, calibration = false_alarms(challenger.items[challenger.judged]), challenger.calibration
    if not found.normals:
        return Criterion("false alarms", False, "no normal part is judged")
    chance = false_alarm_p_value(found.of_units, found.units, calibration.rate, calibration.limiting.units)
    low, high = found.interval
    said = (
        f"{found.alarms} of {found.normals} normal items are flagged (95 % interval {100 * (low or 0):.1f} to "
        f"{100 * (high or 0):.1f} %), {100 * calibration.rate:.3g} % are promised (p = {chance:.3f})"
    )
    shift = normal_shift(challenger.items, calibration.limiting.units)
    if shift is not None and is_shifted(shift.p_value, chance):
        said += (
            f"; beware: normal items of the set are not like those that train, on average one is more anomalous than "
            f"{100 * shift.exceeded:.0f} % of the held-out ones where 50 % are expected (p = {shift.p_value:.2g}): "
            "train on parts of both kinds, or the rate will not hold"
        )
    return Criterion("false alarms", chance >= LEVEL / 2, said)


def _memory(challenger: Judged, most: float) -> Criterion:
    if challenger.memory_mb is None:
        return Criterion("memory", True, "not measured, this system gives none")
    said = f"{challenger.memory_mb:.0f} MB while it judges, {most:g} MB allowed"
    return Criterion("memory", challenger.memory_mb <= most, said)


def all_hold(found: Sequence[Criterion]) -> bool:
    """Whether every criterion holds; of none, no.

    Example:
        >>> all_hold([Criterion("speed", True, "")]), all_hold([])
        (True, False)
    """
    return bool(found) and all(each.holds for each in found)
