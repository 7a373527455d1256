"""What `stream` does with a file: windows of a running cycle, or of a recording of hours, by the station's record."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import click

from endline.errors import EndlineError
from endline.evaluation.thresholds import beware, unkept_rate
from endline.evidence.station import find_station
from endline.operations.stream_promise import cycle_promise, window_promise
from endline.operations.streaming import (
    Hysteresis,
    StreamScorer,
    StreamSettings,
    WindowVerdict,
    held_out_cycles,
    replay,
)
from endline.operations.watching import ended_by_signals
from endline.operations.window_judge import WindowJudge
from endline.published import PublishedModel


@dataclass(frozen=True)
class Running:
    """A file that is being judged.

    Attributes:
        verdicts: on its windows, as they come.
        hysteresis: of the alarm.
        unit: what windows are counted in: `steps` or `seconds`.
        promise: what share of false alarms is promised, of what, and how many an hour that is, as a sentence.
        reason: why another rate than the stated one is kept; None where it is kept.
        folds: of the model that decide together; the thresholds of several are near to what they do.
        whole: what of a cycle counts as an anomaly by itself, though no window shows it.

    Example:
        >>> running = Running(iter(()), Hysteresis(2.0, 1.0), "seconds", "Nothing is promised.")
        >>> running.where(WindowVerdict(3.0, 6.0, 0.5, False, 1.0))
        'seconds     3.0 to     6.0'
    """

    verdicts: Iterator[WindowVerdict]
    hysteresis: Hysteresis
    unit: str
    promise: str
    reason: str | None = None
    folds: int = 1
    whole: str = ""

    @property
    def limits(self) -> str:
        """When the alarm goes on and off, in words."""
        about, why = ("about ", f" ({self.folds} folds of the model decide together)") if self.folds > 1 else ("", "")
        return f"alarm on above {about}{self.hysteresis.on:.3f}, off at {about}{self.hysteresis.off:.3f}{why}"

    def where(self, verdict: WindowVerdict) -> str:
        """Where a window lies, in words of one width."""
        form = "5.0f" if self.unit == "steps" else "7.1f"
        return f"{self.unit} {verdict.first:{form}} to {verdict.last:{form}}"


@dataclass(frozen=True)
class StreamOptions:
    """How a file is to be streamed, None for what the station thinks best.

    Attributes:
        window: steps of a cycle; of a recording a window is as long as the clips of its model.
        hop: steps of a cycle, seconds of a recording.
        rate: stated rate of false alarms.
        follow: seconds after which a recording that is still written and does not grow has ended; None: it is complete.

    Example:
        >>> StreamOptions(rate=0.01).follow is None
        True
    """

    window: int | None = None
    hop: float | None = None
    rate: float | None = None
    follow: float | None = None


def opened(model: PublishedModel, file: Path, options: StreamOptions) -> Running:
    """A file as the station of a model streams it.

    Args:
        model: the published model.
        file: a cycle, or a recording of any length.
        options: how it is to be streamed.

    Raises:
        EndlineError: for a window of a recording, a hop of broken steps, a cycle to be followed, and as
            `StreamScorer.of_model`, `replay` and `WindowJudge`.
    """
    hop, rate = options.hop, options.rate
    if find_station(model.station).windows is not None:
        if options.window is not None:
            raise EndlineError(
                f"window={options.window} is of cycles, and one of {model.station} is as long as the clips of its "
                "model: leave out --window."
            )
        judge = WindowJudge(model, rate)
        calibration = judge.inspector.model.calibration
        promise = window_promise(calibration, hop if hop and hop > 0 else model.preparation.hop)
        windows = judge.judge(file, hop, options.follow)
        reason, folds = calibration.rate_reason, calibration.n_folds
        return Running(windows, judge.hysteresis, "seconds", promise, reason, folds)
    if options.follow is not None:
        raise EndlineError(f"Cycles of {model.station} are complete when they come: leave out --follow.")
    if hop is not None and not hop.is_integer():
        raise EndlineError(f"hop={hop:g} is no whole number of steps: give one to --hop.")
    if hop is None and options.window is not None:
        hop = min(StreamSettings().hop, options.window)  # no step is left out
    given = {"window": options.window, "hop": None if hop is None else int(hop), "rate": rate}
    settings = StreamSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    scorer = StreamScorer.of_model(model, settings)
    replayed = replay(model, file, settings.hop)
    windows = scorer.score_stream(replayed.pieces)
    cycles, seconds = held_out_cycles(model)
    promise = cycle_promise(settings.rate, cycles, seconds)
    reason = unkept_rate(settings.rate, cycles, "held-out cycles")
    return Running(windows, scorer.hysteresis, "steps", promise, reason, whole=replayed.whole)


def run_stream(model: PublishedModel, file: Path, options: StreamOptions) -> None:
    """Judge a file window by window, a line each, until it ends, or Ctrl-C where it is followed; arguments as `opened`.

    Raises:
        EndlineError: as `opened`; and at the end, when a window has no verdict.
    """
    running = opened(model, file, options)
    click.echo(f"By the run {model.run} of {model.station}:", err=True)
    click.echo(running.limits)
    click.echo(running.promise)
    if running.reason:
        click.echo(beware(running.reason))
    refused = 0
    with ended_by_signals() if options.follow is not None else nullcontext():
        for verdict in running.verdicts:
            where = running.where(verdict)
            if verdict.problem:
                refused += 1
                click.echo(f"NONE   {where}  {verdict.problem}", err=True)
                continue
            word = "ALARM" if verdict.alarm else "     "
            click.echo(f"{word}  {where}  score {verdict.score:8.3f}  {verdict.milliseconds:6.1f} ms")
    if running.whole:
        click.echo(f"ALARM  the cycle {running.whole}")
    if refused:
        raise EndlineError(f"{refused} windows of {file} have no verdict, see above: they are not normal.")
