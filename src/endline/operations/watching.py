"""Judge the files of a folder as they arrive, each once."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from endline.errors import EndlineError
from endline.evidence.station import Station, find_station
from endline.operations.batch import Target, targets_in
from endline.operations.inspection import FileState, Inspector, digest_of, file_state
from endline.operations.verdict_file import Log, VerdictFile, verdict_file
from endline.operations.verdicts import Verdict

SHARE = 20  # times as long as a look at the folder takes it is left alone


@dataclass(frozen=True)
class WatchSettings:
    """How a folder is watched.

    Attributes:
        every: seconds from one look at the folder to the next, at least.
        settle: seconds that a file must stay as it is to count as complete.

    Raises:
        EndlineError: for a time that is none.

    Example:
        >>> WatchSettings(settle=5.0).every
        1.0
    """

    every: float = 1.0
    settle: float = 2.0

    def __post_init__(self) -> None:
        for name in ("every", "settle"):
            if not 0 <= getattr(self, name) < 86_400:
                raise EndlineError(f"{name}={getattr(self, name):g} is no time in seconds: give 0 to 86400.")


class Arrivals:
    """Files of a folder, each given once it is complete, and again only when it has changed.

    Args:
        folder: that is looked at.
        station: whose files they are.
        settle: seconds that a file's size and times must stay.
        leave: files that are none of them, though they may lie there.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "a.png").touch()
        >>> arrivals = Arrivals(folder, find_station("surface_image"), settle=2.0)
        >>> [[target.name for target in arrivals.complete(now)] for now in (0.0, 1.0, 2.0, 3.0)]
        [[], [], ['a.png'], []]
    """

    def __init__(self, folder: Path, station: Station, settle: float, leave: tuple[Path, ...] = ()) -> None:
        self._folder, self._station, self._settle, self._leave = folder, station, settle, leave
        self._since: dict[str, tuple[FileState, float]] = {}
        self._given: dict[str, FileState] = {}

    @property
    def waiting(self) -> bool:
        """Whether the last look has found a file that was not complete yet."""
        return any(self._given.get(name) != state for name, (state, _) in self._since.items())

    def complete(self, now: float) -> Iterator[Target]:
        """Look at the folder: the files that are complete and have not been given as they are now.

        Args:
            now: seconds, of a clock that only goes on.
        """
        before, self._since = self._since, {}
        ready = []
        for target in targets_in(self._folder, self._station, self._leave, quiet=True):
            state = file_state(*target.files)
            known, since = before.get(target.name, (None, now))
            since = since if known == state else now
            self._since[target.name] = (state, since)
            if self._given.get(target.name) != state and now - since >= self._settle:
                ready.append((target, state))
        for name in self._given.keys() - self._since.keys():
            del self._given[name]
        for target, state in ready:
            self._given[target.name] = state
            yield target


def watch(
    folder: Path,
    inspector: Inspector,
    output: Path,
    settings: WatchSettings,
    tell: Callable[[Verdict], None],
    *,
    once: bool = False,
    log: Log | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Judge each file of a folder that is complete, and add its rows to a table, until Ctrl-C or SIGTERM.

    A file is known by its path and content: what the table has of it, by whatever run of the station, is not judged
    again. A copy of a file that has a verdict gets a row that says so: a camera that stands still gives such files.

    Args:
        folder: with new files.
        inspector: with the model.
        output: table of verdicts, `.parquet` or `.csv`.
        settings: times.
        tell: is given each new row.
        once: end when every file that is there has been judged.
        log: is given each new row too.
        sleep: waits some seconds.

    Raises:
        EndlineError: for a folder that is not there, as `verdict_file`, or a full disk.
    """
    if not folder.is_dir():
        raise EndlineError(f"There is no folder {folder}: give the folder that new files come to.")
    station = find_station(inspector.model.station)
    arrivals = Arrivals(folder, station, settings.settle, (output,))
    journal = verdict_file(output, station.name, None, sort=False, seconds=settings.every, log=log)
    with journal as table, ended_by_signals():
        while True:
            begun = time.monotonic()
            ready = list(arrivals.complete(begun))
            looked = time.monotonic() - begun
            for target in ready:
                rows = new_rows(target, inspector, table)
                table.add(rows)
                for row in rows:
                    tell(row)
            table.save_if_due()
            if once and not arrivals.waiting:
                return
            sleep(max(settings.every, SHARE * looked))


def new_rows(target: Target, inspector: Inspector, table: VerdictFile) -> list[Verdict]:
    """Verdicts on a file; none where the table has them, or the file has gone.

    Args:
        target: the file.
        inspector: with the model.
        table: with what was judged before.
    """
    if target.problem:
        return [inspector.refused(target.item, target.name, "", target.problem)]
    if not target.path.exists():
        return []  # a writer's temporary name
    digest = digest_of(*target.files)
    if table.judged(target.name, digest):
        return []
    other = table.first_of(digest)
    if other is not None and other != target.name:
        reason = f"{target.path} is a copy of {other}, which has its verdict: look for a recording that stands still."
        return [inspector.refused(target.item, target.name, digest, reason)]
    items = inspector.judged(target.path, target.name, target.item, others=target.others)
    return [item.verdict for item in items]


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block; what comes after it goes on."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
