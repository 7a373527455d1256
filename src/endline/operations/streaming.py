"""Score a running cycle window by window, with an alarm that does not flicker."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from endline.detectors.base import OUTSIDE
from endline.detectors.scoring import Detectors
from endline.errors import EndlineError
from endline.evaluation.thresholds import conformal_threshold, promisable
from endline.evidence.cycles.features import CyclePreparation
from endline.feature_set import Batch, FeatureSet
from endline.published import PublishedModel


@runtime_checkable
class Stepwise(Protocol):
    """A detector that scores every step of a cycle.

    Example:
        >>> from endline.detectors.cycles.mts_flow import MTSFlow, MTSFlowConfig
        >>> isinstance(MTSFlow(MTSFlowConfig()), Stepwise)
        True
    """

    def step_scores(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores and mask, (batch, the detector's steps) each; a step of the detector may be several of the cycle."""
        ...


@dataclass(frozen=True)
class StreamSettings:
    """How a running cycle is scored.

    Attributes:
        window: steps whose mean score is one window's.
        hop: steps from one window to the next, at most `window`, so that every step is judged.
        context: steps before the window that the detector sees too.
        rate: stated rate of false alarms a cycle; the alarm goes on above the window score that no larger share of
            normal cycles ever reaches. Few held-out cycles promise a larger one, see `promisable`.

    Example:
        >>> StreamSettings(window=32).context
        64
    """

    window: int = 16
    hop: int = 8
    context: int = 64
    rate: float = 0.05

    def __post_init__(self) -> None:
        if min(self.window, self.hop) < 1 or self.context < 0 or not 0 < self.rate < 1:
            raise EndlineError(
                f"window={self.window} and hop={self.hop} must be at least 1, context={self.context} at least 0, "
                f"rate={self.rate} between 0 and 1: correct them."
            )
        if self.hop > self.window:
            raise EndlineError(
                f"hop={self.hop} is more than window={self.window}: choose a smaller hop or a longer window, for the "
                "steps between two windows would never be judged."
            )


@dataclass(frozen=True)
class WindowVerdict:
    """What is said of one window.

    Attributes:
        first, last: its steps from the start of the cycle; of a recording the seconds where it begins and ends.
        score: mean score of its steps, or that of the window as an item; NaN where there is a problem.
        alarm: whether the alarm is on after it.
        milliseconds: time that scoring took.
        problem: why the window has no verdict, as a sentence; empty where it has one.

    Example:
        >>> WindowVerdict(first=0, last=15, score=0.7, alarm=False, milliseconds=3.0).alarm
        False
    """

    first: float
    last: float
    score: float
    alarm: bool
    milliseconds: float
    problem: str = ""


@dataclass(frozen=True)
class Hysteresis:
    """The alarm goes on above `on`, and off again only at or below `off`.

    Example:
        >>> hysteresis = Hysteresis(on=2.0, off=1.0)
        >>> hysteresis.alarm(1.5, before=False), hysteresis.alarm(1.5, before=True)
        (False, True)
    """

    on: float
    off: float

    def alarm(self, score: float, before: bool) -> bool:
        """Whether the alarm is on after a score."""
        return score > (self.off if before else self.on)


class StreamScorer:
    """Scores the windows of one running cycle after the other.

    Args:
        detectors: the fitted detectors of the station, all of them `Stepwise`.
        signals: number of signals of a cycle.
        hysteresis: of the alarm.
        settings: of the windows.

    Example:
        `StreamScorer.of_model(PublishedModel.load(folder)).score_stream(chunks)`
    """

    def __init__(self, detectors: Detectors, signals: int, hysteresis: Hysteresis, settings: StreamSettings) -> None:
        self.members = [_stepwise(name, detector) for name, detector in sorted(detectors.items())]
        self.signals, self.hysteresis, self.settings = signals, hysteresis, settings

    @classmethod
    def of_model(cls, model: PublishedModel, settings: StreamSettings | None = None) -> "StreamScorer":
        """Scorer of a published model, its alarm calibrated on the normal cycles that its detectors have not seen.

        Raises:
            EndlineError: when its run judged something else than cycles, stretched them to one length, or cross-fitted
                (its detectors have seen every normal cycle), or its detector does not score single steps.
        """
        preparation, run = _cycles(model), f"run `kedro run --pipeline={model.station}`"
        if preparation.rate is None:
            raise EndlineError(
                f"The latest run stretched every cycle to {preparation.length} steps, and how long a running one will "
                f"be is not known: {run} without steps, with rate=<Hz>."
            )
        if model.normals is None:
            raise EndlineError(
                "The latest run held out every cycle once, so that its detector has seen them all: "
                f"{run[:-1]} --params=calibration=hold_out`."
            )
        settings = settings or StreamSettings()
        scorer = cls(dict(model.detectors), len(preparation.signals), Hysteresis(np.inf, np.inf), settings)
        scorer.hysteresis = scorer.calibrated(model.normals)
        return scorer

    def calibrated(self, held_out: FeatureSet) -> Hysteresis:
        """Hysteresis from normal cycles (arrays `cycle`, `valid`) that the detectors have not seen.

        `on` is the conformal threshold on the cycles' largest window scores, at the smallest rate that so many can
        promise where they cannot promise the stated one; `off` is their median, which half of all normal cycles reach.

        Raises:
            EndlineError: when a cycle is shorter than a window.
        """
        largest = []
        for batch in held_out.batches(1):
            values = batch["cycle"][0][:, batch["valid"][0] > 0].numpy()
            if values.shape[1] < self.settings.window:
                raise EndlineError(
                    f"A held-out cycle of {values.shape[1]} steps is shorter than window={self.settings.window}: "
                    "choose a shorter window."
                )
            largest.append(max(verdict.score for verdict in self.score_stream([values])))
        scores = np.asarray(largest)
        rate = promisable(self.settings.rate, len(scores))
        return Hysteresis(conformal_threshold(scores, rate), float(np.median(scores)))

    def score_stream(self, chunks: Iterable[NDArray[np.floating[Any]]]) -> Iterator[WindowVerdict]:
        """Verdicts on a running cycle, as soon as each window is complete, and on one that ends with it.

        Args:
            chunks: signals (signals, new steps) as they come in, at the rate and in the order of the features.

        Raises:
            EndlineError: when a chunk has another number of signals, or a value or a score is not finite, and when the
                cycle ends before a window is complete.
        """
        s = self.settings
        held, offset, first, stop, alarm = np.zeros((self.signals, 0), np.float32), 0, 0, 0, False

        def judged(first: int) -> WindowVerdict:
            start, begun = max(0, first - s.context) - offset, time.perf_counter()
            score = self._window(held[:, start : first + s.window - offset])
            milliseconds, last = 1000 * (time.perf_counter() - begun), first + s.window - 1
            if not math.isfinite(score):
                raise EndlineError(f"The score of steps {first} to {last} is {score}: train the station again.")
            return WindowVerdict(first, last, score, self.hysteresis.alarm(score, alarm), milliseconds)

        for chunk in chunks:
            new = np.asarray(chunk, np.float32)
            if new.ndim != 2 or len(new) != self.signals:
                raise EndlineError(
                    f"A piece of the running cycle has the shape {new.shape}: give ({self.signals}, steps), one row "
                    "for each signal in the order of the training."
                )
            if not np.isfinite(new).all():
                row, step = np.argwhere(~np.isfinite(new))[0]
                raise EndlineError(
                    f"Signal {row} of the running cycle is {new[row, step]} at step {offset + held.shape[1] + step}: "
                    "look for a loose plug or a dropped message."
                )
            held = np.concatenate([held, new], 1)
            while offset + held.shape[1] >= first + s.window:
                verdict = judged(first)
                alarm, stop = verdict.alarm, first + s.window
                yield verdict
                # What a window that ends with the cycle needs is kept: it may begin before the next one.
                drop = max(0, min(first - s.context - offset, held.shape[1]))
                held, offset = held[:, drop:], offset + drop
                first += s.hop
        end = offset + held.shape[1]
        if end < s.window:
            raise EndlineError(
                f"The running cycle ended after {end} steps, before a window of {s.window} was complete, and has no "
                "verdict: choose a shorter window."
            )
        if stop < end:
            yield judged(end - s.window)

    def _window(self, values: NDArray[np.float32]) -> float:
        batch = {"cycle": torch.from_numpy(values.copy())[None], "valid": torch.ones(1, values.shape[1])}
        scores = []
        for member in self.members:
            steps = member.step_scores(batch)[0][0]
            each = -(-values.shape[1] // len(steps))  # steps of the cycle in one of the detector
            scores.append(steps[-max(1, self.settings.window // each) :].mean())
        return float(torch.stack(scores).mean())


class Replayed(NamedTuple):
    """A recorded cycle as it would come in, and what is known of it at its end.

    Attributes:
        pieces: (signals, steps) each, prepared as those that the model learned from.
        whole: what of it counts as an anomaly by itself though no window shows it, such as a duration; mostly empty.

    Example:
        >>> Replayed([np.zeros((2, 5), "f4")]).whole
        ''
    """

    pieces: list[NDArray[np.float32]]
    whole: str = ""


def replay(model: PublishedModel, file: Path, steps: int) -> Replayed:
    """A recorded cycle in pieces of `steps` steps.

    Raises:
        EndlineError: when the file cannot be used.
    """
    preparation = _cycles(model)
    rows, features = preparation.inspect(file)
    arrays = {name: values.numpy()[0] for name, values in features.read().items()}
    values = arrays["cycle"][:, arrays["valid"] > 0]
    pieces = [values[:, start : start + steps] for start in range(0, values.shape[1], steps)]
    said = preparation.remarks(rows.to_dict("records")[0]) if np.any(arrays.get(OUTSIDE, 0)) else []
    return Replayed(pieces, " ".join(said))


def held_out_cycles(model: PublishedModel) -> tuple[int, float]:
    """Number of normal cycles that the detectors of a model have not seen, and the seconds that one of them lasts."""
    preparation = _cycles(model)
    assert model.normals is not None
    assert preparation.rate is not None  # else `of_model` has refused it
    steps = model.normals.only(("valid",)).read()["valid"].sum(1)
    return len(steps), float(steps.mean()) / preparation.rate


def _cycles(model: PublishedModel) -> CyclePreparation:
    if not isinstance(model.preparation, CyclePreparation):
        raise EndlineError(
            f"The station {model.station} judges whole items: only cycles of signals and recordings of running "
            "machines can be streamed."
        )
    return model.preparation


def _stepwise(name: str, detector: Any) -> Stepwise:
    if not isinstance(detector, Stepwise):
        raise EndlineError(
            f"{type(detector).__name__} ({name}) judges whole cycles, not single steps: run the station with "
            "detector=mts_flow, mts_ast, lstm_vae, ganf or hmm."
        )
    return detector
