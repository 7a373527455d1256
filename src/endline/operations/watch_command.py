"""What `watch` does: a line and a row for each new file, and what was judged at the end."""

from collections import Counter
from pathlib import Path

import click

from endline.evaluation.thresholds import beware
from endline.operations.inspection import Inspector
from endline.operations.verdicts import ANOMALOUS, NONE, Verdict
from endline.operations.watching import WatchSettings, watch
from endline.published import PublishedModel


def run_watch(
    folder: Path, model: PublishedModel, output: Path, settings: WatchSettings, *, once: bool = False
) -> None:
    """Watch a folder, and say what is judged; arguments and errors as `watch`."""
    words: Counter[str] = Counter()

    def tell(row: Verdict) -> None:
        words[row.verdict] += 1
        click.echo(row.line, err=row.reason is not None)

    click.echo(f"The run {model.run} of {model.station} judges what comes into {folder}; Ctrl-C ends it.")
    if reason := model.calibration.rate_reason:
        click.echo(beware(reason))
    watch(folder, Inspector(model), output, settings, tell, once=once)
    counts = f"{words[ANOMALOUS]} anomalous, {words[NONE]} without a verdict"
    click.echo(f"Ended: {words.total()} items, {counts}: {output}")
