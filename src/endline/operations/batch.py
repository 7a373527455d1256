"""Judge many files: one after the other, or by several processes, of which each may die and stops nothing."""

import io
import logging
import os
import signal
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from endline.compute import Compute
from endline.errors import EndlineError
from endline.evidence.folders import LABEL_TABLES, is_side_file, list_folder, printable
from endline.evidence.station import Station
from endline.files import write_whole
from endline.operations.inspection import Inspector
from endline.operations.registry import Registered
from endline.operations.verdicts import NONE, Verdict
from endline.published import PublishedModel

GRACE = 20.0  # s that a process has to end by itself
log = logging.getLogger(__name__)


class Target(NamedTuple):
    """A file to judge.

    Attributes:
        path: of the file.
        name: in the table of verdicts: as given, or relative to the folder that was given.
        item: name of its item, or the beginning of those of its items.
        problem: why it cannot be judged, where that is known before it is opened.
        others: further files of the same item, such as the scan of a photograph.

    Example:
        >>> Target(Path("new/a.png"), "new/a.png", "a.png").problem
        ''
    """

    path: Path
    name: str
    item: str
    problem: str = ""
    others: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the item."""
        return self.path, *self.others


def targets_of(given: Iterable[Path], station: Station, leave: Collection[Path] = ()) -> list[Target]:
    """Files that are given, and what lies in folders that are given: all but notes, side files and hidden ones.

    Args:
        given: files and folders.
        station: whose files they are.
        leave: files and folders that are none of them, though they may lie there.

    Raises:
        EndlineError: for a folder without any file to judge.
    """
    found: list[Target] = []
    for path in given:
        found += targets_in(path, station, leave) if path.is_dir() else [Target(path, str(path), path.name)]
    return found


def targets_in(folder: Path, station: Station, leave: Collection[Path] = (), *, quiet: bool = False) -> list[Target]:
    """What lies in a folder, by path.

    Args:
        folder: the folder.
        station: as of `targets_of`.
        leave: likewise.
        quiet: whether an empty folder is no error and masks are not spoken of, as where it is looked at anew.

    Raises:
        EndlineError: as `targets_of`.
    """
    listing = list_folder(folder, station.suffixes)
    left = {path.resolve() for path in leave}
    found = []
    items = [(path,) for path in listing.files] if station.groups is None else station.groups(folder, listing.files)
    taken = {path for item in items for path in item}
    masks = [path for path in listing.files if path not in taken and path.suffix.lower() in station.suffixes]
    if masks and not quiet:
        first = masks[0].relative_to(folder).as_posix()
        log.warning("Masks by their names, and not judged: %d files, %s first.", len(masks), first)
    for path, *others in items:
        side = is_side_file(path, station.suffixes) or path.name.lower() in LABEL_TABLES
        if not side and not (left and left & {path.resolve(), *path.resolve().parents}):
            name = path.relative_to(folder).as_posix()
            found.append(Target(path, name, name, others=tuple(others)))
    for name, reason, remedy in listing.rejected:
        said = printable(name)
        found.append(Target(folder / name, said, said, f"{printable(str(folder / name))}: {reason}: {remedy}."))
    if not found and not quiet:
        raise EndlineError(f"{folder} holds no file to judge: give a folder of {station.evidence}.")
    return sorted(found, key=lambda target: target.name)


@dataclass(frozen=True)
class Judge:
    """What judges the files of a batch, in this process or in several.

    Attributes:
        inspector: with the model.
        folder: of the model, from which each process loads it.
        maps: folder that anomaly maps are written to, as `<item>.npy`; None for none.

    Example:
        `Judge(Inspector.load(folder), folder).judge(Target(Path("a.png"), "a.png", "a.png"))`
    """

    inspector: Inspector
    folder: Path
    maps: Path | None = None

    def judge(self, target: Target) -> list[Verdict]:
        """Verdicts on the items of a file; their maps are written.

        Raises:
            EndlineError: when the disk is full, or the detector has no maps and they are wanted.
        """
        if target.problem:
            return [self.inspector.refused(target.item, target.name, "", target.problem)]
        wanted = self.maps is not None
        items = self.inspector.judged(target.path, target.name, target.item, maps=wanted, others=target.others)
        for verdict, drawn in items:
            if self.maps is None or verdict.verdict == NONE:
                continue
            if drawn is None:
                raise EndlineError(
                    f"The detectors of the run {verdict.run} have no anomaly maps: leave out --maps, or run the "
                    "station with one that has."
                )
            write_whole(map_file(self.maps, verdict), _bytes(drawn))
        return [item.verdict for item in items]

    def judge_all(self, targets: Iterable[Target], workers: int = 1) -> Iterator[list[Verdict]]:
        """Verdicts file by file, in the order of their ending; the next file is asked for when it can be judged.

        Args:
            targets: the files.
            workers: processes at once, which divide the cores; 1: this one.

        Raises:
            EndlineError: as `judge`, and when processes end before they have loaded the model.
        """
        if workers == 1:
            yield from map(self.judge, targets)
            return
        yield from _in_processes(self, iter(targets), workers)


def map_file(folder: Path, verdict: Verdict) -> Path:
    """File of an item's anomaly map, (parts, h, w) float32."""
    return folder / f"{verdict.sample_id}.npy"


def _bytes(values: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@dataclass
class _Worker:
    connection: Connection
    process: BaseProcess
    target: Target
    ready: bool = False
    alive: bool = True

    def give(self, target: Target) -> None:
        self.target = target
        with suppress(OSError):  # of a process that has just died: the end of its file is read next
            self.connection.send(target)


def _in_processes(judge: Judge, targets: Iterator[Target], workers: int) -> Iterator[list[Verdict]]:
    working: dict[Connection, _Worker] = {}

    def begin(target: Target) -> None:
        worker = _Worker(*_start(judge, workers), target)
        working[worker.connection] = worker
        worker.give(target)

    try:
        for target in islice(targets, workers):
            begin(target)
        while working:
            for here in cast(list[Connection], wait(list(working))):
                worker = working[here]
                if (rows := _rows(judge, worker)) is None:
                    continue
                following = next(targets, None)
                if following is not None and worker.alive:
                    worker.give(following)
                else:
                    _end([working.pop(here)])
                    if following is not None:
                        begin(following)
                yield rows
    finally:
        _end(list(working.values()))


def _rows(judge: Judge, worker: _Worker) -> list[Verdict] | None:
    """What a process says of its file, or its death does; None where it says that it has loaded the model.

    Raises:
        EndlineError: that of the process, or when it died before it had loaded the model: the next would too.
    """
    try:
        answer = worker.connection.recv()
    except (EOFError, OSError):
        worker.alive = False
        return [_lost(judge, worker)]
    if isinstance(answer, EndlineError):
        raise answer
    worker.ready = True
    return cast(list[Verdict] | None, answer)


def _start(judge: Judge, workers: int) -> tuple[Connection, BaseProcess]:
    """A process that judges what it is sent; spawned, as torch may hang in forked ones."""
    context = get_context("spawn")
    here, there = context.Pipe()
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    inspector = judge.inspector
    settings = (judge.folder, inspector.compute, inspector.registered, judge.maps, threads, there)
    process = context.Process(target=_serve, args=settings, daemon=True)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which it inherits: Ctrl-C is for this process
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    there.close()  # the process holds the only other end now: its death is the end of the file
    return here, process


def _serve(
    folder: Path,
    compute: Compute,
    registered: Registered | None,
    maps: Path | None,
    threads: int,
    connection: Connection,
) -> None:
    """Judge files until nobody sends one any more."""
    torch.set_num_threads(threads)
    with suppress(EOFError, ConnectionError):
        try:
            judge = Judge(Inspector(PublishedModel.load(folder, compute), compute, registered), folder, maps)
            connection.send(None)
            while True:
                connection.send(judge.judge(connection.recv()))
        except EndlineError as error:
            connection.send(error)


def _lost(judge: Judge, worker: _Worker) -> Verdict:
    """The row of a file whose process has died over it; errors as `_rows`."""
    worker.process.join()
    code, target = worker.process.exitcode or 0, worker.target
    death = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    if not worker.ready:
        raise EndlineError(
            f"A process ended {death} before it had loaded the model: free memory, or take fewer --workers, and run "
            "the same command again."
        )
    reason = f"{target.path} could not be judged, its process ended {death}: free memory, or record it again."
    return judge.inspector.refused(target.item, target.name, "", reason)


def _end(workers: Sequence[_Worker]) -> None:
    """Let processes end, which they do when nobody can send them a file any more; kill those that do not."""
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        worker.process.join(GRACE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
