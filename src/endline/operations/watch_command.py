"""What `watch` does: a line and a row for each new file, and what was judged at the end."""

from collections import Counter
from pathlib import Path

import click

from endline.evaluation.thresholds import beware
from endline.operations.inspection import Inspector
from endline.operations.model_folders import Chosen
from endline.operations.verdict_log import VerdictLog
from endline.operations.verdicts import ANOMALOUS, NONE, Verdict
from endline.operations.watching import WatchSettings, watch


def run_watch(
    folder: Path,
    chosen: Chosen,
    output: Path,
    settings: WatchSettings,
    *,
    once: bool = False,
    log: Path | None = None,
) -> None:
    """Watch a folder, and say what is judged; arguments and errors as `watch`, `log` is the file of the verdict log."""
    words: Counter[str] = Counter()
    inspector = Inspector(chosen.model, registered=chosen.registered)

    def tell(row: Verdict) -> None:
        words[row.verdict] += 1
        click.echo(row.line, err=row.reason is not None)

    click.echo(f"What comes into {folder} is judged by {inspector.name}; Ctrl-C ends it.")
    if reason := chosen.model.calibration.rate_reason:
        click.echo(beware(reason))
    kept = None if log is None else VerdictLog(log, lambda name: folder / name)
    watch(folder, inspector, output, settings, tell, once=once, log=kept)
    counts = f"{words[ANOMALOUS]} anomalous, {words[NONE]} without a verdict"
    click.echo(f"Ended: {words.total()} items, {counts}: {output}")
