"""What `inspect` does: a line an item, or a table of verdicts that is taken up again where it stopped."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from endline.errors import EndlineError
from endline.evaluation.thresholds import beware
from endline.evidence.station import find_station
from endline.operations.batch import Judge, Target, map_file, targets_of
from endline.operations.batch_progress import BatchProgress
from endline.operations.inspection import Inspector, digest_of
from endline.operations.model_folders import Chosen
from endline.operations.verdict_file import VerdictFile, check_ending, verdict_file
from endline.operations.verdict_log import VerdictLog
from endline.operations.verdicts import Verdict


def run_inspect(
    files: Sequence[Path],
    chosen: Chosen,
    *,
    output: Path | None = None,
    maps: Path | None = None,
    workers: int = 1,
    log: Path | None = None,
) -> None:
    """Judge files, and all files of folders, and say so.

    Args:
        files: files and folders.
        chosen: the model that judges.
        output: table of verdicts, `.parquet` or `.csv`; rows that it has by this model of files that are still the same
            are kept. None: each verdict is a line.
        maps: folder that anomaly maps are written to.
        workers: processes at once.
        log: file of the log of verdicts; None for none.

    Raises:
        EndlineError: as `targets_of`, `verdict_file`, `Judge.judge_all`; and at the end, when an item has no verdict.
    """
    folder, model, registered = chosen
    if output is not None:
        check_ending(output)
    leave = [path for path in (output, maps) if path is not None]
    targets = targets_of(files, find_station(model.station), leave)
    if leave:
        _check_names(targets)
    judge = Judge(Inspector(model, registered=registered), folder, maps)
    places = {target.name: target.path for target in targets}
    kept = None if log is None else VerdictLog(log, places.__getitem__)
    seen = _listed(judge, targets, workers, kept) if output is None else _tabled(judge, targets, workers, output, kept)
    if reason := model.calibration.rate_reason:
        click.echo(beware(reason))
    if seen.refused:
        items = "files" if seen.items == seen.files else "items"
        where = "above" if output is None else f"the column reason of {output}"
        raise EndlineError(f"{seen.refused} of {seen.items} {items} have no verdict, see {where}: they are not normal.")


def _listed(judge: Judge, targets: Sequence[Target], workers: int, log: VerdictLog | None) -> BatchProgress:
    """A line an item; one file that cannot be judged is an error by itself."""
    seen = BatchProgress(len(targets), lambda line: None, terminal=False)
    try:
        for verdicts in judge.judge_all(targets, workers):
            if log is not None:
                log.add(verdicts)
            if len(targets) == 1 and len(verdicts) == 1 and verdicts[0].reason is not None:
                raise EndlineError(verdicts[0].reason)
            if not seen.files:
                click.echo(f"By {judge.inspector.name}:", err=True)
            for verdict in verdicts:
                click.echo(verdict.line, err=verdict.reason is not None)
            seen.count(verdicts)
    finally:
        if log is not None:
            log.flush()
    return seen


def _tabled(
    judge: Judge, targets: Sequence[Target], workers: int, output: Path, log: VerdictLog | None
) -> BatchProgress:
    """The table, written while it grows."""
    model = judge.inspector.model
    with (
        BatchProgress(len(targets)) as progress,
        verdict_file(output, model.station, model.run, log=log) as table,
    ):
        for verdicts in judge.judge_all(_waiting(targets, table, judge.maps, progress), workers):
            table.add(verdicts)
            progress.count(verdicts)
    click.echo(f"{output}: {len(table)} rows, by {judge.inspector.name}")
    return progress


def _waiting(
    targets: Sequence[Target], table: VerdictFile, maps: Path | None, progress: BatchProgress
) -> Iterator[Target]:
    """The files that have no rows yet, or have changed."""
    for target in targets:
        rows = _kept(target, table, maps)
        if rows:
            progress.count(rows, kept=True)
        else:
            table.drop(target.name)
            yield target


def _kept(target: Target, table: VerdictFile, maps: Path | None) -> list[Verdict]:
    """Rows of a file, and its maps where they are wanted, that need not be made again."""
    if target.problem or not table.holds(target.name):
        return []
    rows = table.judged(target.name, digest_of(*target.files))
    return rows if maps is None or all(map_file(maps, row).exists() for row in rows) else []


def _check_names(targets: Sequence[Target]) -> None:
    """Refuse files that would have one name in the table, or one map."""
    first: dict[str, Target] = {}
    for target in targets:
        other = first.setdefault(target.item, target)
        if other is not target:
            raise EndlineError(
                f"{other.path} and {target.path} have one name, {target.item}: give the folder above both instead."
            )
