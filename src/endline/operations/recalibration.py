"""A new false-alarm rate for a published model, without new training: a new version of it."""

from dataclasses import dataclass, replace
from pathlib import Path

from endline.errors import EndlineError
from endline.evaluation.calibration import Calibration
from endline.evaluation.thresholds import beware
from endline.files import whole
from endline.operations.model_folders import models_root
from endline.published import PublishedModel
from endline.versions import new_version


@dataclass(frozen=True)
class Recalibration:
    """A model before and after.

    Attributes:
        before, after: the models; detectors and preparation are the same.
        folder: of the new one.

    Example:
        `recalibrate(Path("."), PublishedModel.load(folder), 0.02).lines()`
    """

    before: PublishedModel
    after: PublishedModel
    folder: Path

    def lines(self) -> list[str]:
        """What has changed, what is promised, and which model judges from now on, in words."""
        old, new = self.before.calibration, self.after.calibration
        return [
            f"stated rate {old.stated_rate:g} -> {new.stated_rate:g}, threshold {old.threshold:.4f} -> "
            f"{new.threshold:.4f}",
            promise(new),
            f"Published as {self.after.run}: it judges from now on; --run={self.before.run} judges as before.",
        ]


def recalibrate(project: Path, model: PublishedModel, rate: float, env: str | None = None) -> Recalibration:
    """Publish a model with another stated false-alarm rate; the scores of the held-out normals give its threshold.

    Args:
        project: the project's folder.
        model: that is published again.
        rate: stated false-alarm rate in (0, 1).
        env: overlay of the configuration, which may name another folder of models.

    Raises:
        EndlineError: for a rate outside (0, 1), or the one that the model states already; or a full disk.
    """
    known = model.calibration
    if not 0 < rate < 1:
        raise EndlineError(f"false_alarm_rate={rate} must lie between 0 and 1: write 0.05 for 5 %.")
    if rate == known.stated_rate:
        raise EndlineError(f"The run {model.run} states the rate {rate:g} already: give another --false-alarm-rate.")
    root = models_root(project, model.station, env)
    about = {**model.about, "recalibrated": {"from": model.run, "stated_rate": known.stated_rate}}
    version = new_version(project)
    after = replace(model, run=version, calibration=replace(known, stated_rate=rate), about=about)
    folder = root / version / root.name
    with whole(folder) as partial:
        after.save(partial)
    return Recalibration(model, after, folder)


def promise(calibration: Calibration) -> str:
    """Whether the stated rate of a calibration can be promised, as a sentence.

    Example:
        >>> held_out = tuple((float(number),) for number in range(19))
        >>> promise(Calibration(("whole",), held_out, (0,) * 19, tuple(range(19)), 0.05))
        'Promised: at most 5 % of normal parts are flagged (19 held out).'
        >>> promise(Calibration(("whole",), held_out, (0,) * 19, tuple(range(19)), 0.02))
        'Beware: 19 calibrating parts can promise no false-alarm rate below 5 %: at least 49 are needed for 2 %. ...'
    """
    if calibration.bound is None:
        return f"Nothing is promised: {calibration.rule} fits a distribution to {calibration.n_units} held-out parts."
    if reason := calibration.rate_reason:
        return beware(reason)
    usual = "" if calibration.bound <= calibration.rate else f", usually {100 * calibration.rate:.3g} %"
    return (
        f"Promised: at most {100 * calibration.bound:.3g} % of normal parts are flagged{usual} "
        f"({calibration.limiting.units} held out)."
    )
