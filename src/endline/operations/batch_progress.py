"""How far a batch is: a bar on a terminal, a line now and then in a log without one."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import click
from rich.console import Console

from endline.operations.sweep.display import run_bar
from endline.operations.verdicts import ANOMALOUS, NONE, Verdict

EVERY = 30.0  # seconds between two lines of a log


def _tell(line: str) -> None:
    click.echo(line, err=True)


class BatchProgress:
    """Counts what has been judged, and says so.

    Args:
        total: files of the batch.
        tell: is given each line where there is no terminal.
        terminal: whether there is one; None: whether stderr is.
        clock: seconds.

    Example:
        >>> with BatchProgress(2, print, terminal=False) as progress:
        ...     progress.count([Verdict.refused("a", "a", "", "a is empty.", "1", "mirror_audio")])
        1 of 2 files: 0 anomalous, 1 without a verdict
        >>> progress.items, progress.refused
        (1, 1)
    """

    def __init__(
        self,
        total: int,
        tell: Callable[[str], None] = _tell,
        *,
        terminal: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self._tell, self._clock = total, tell, clock
        self.files, self.kept, self.remarks, self._words = 0, 0, 0, Counter[str]()
        bar = sys.stderr.isatty() if terminal is None else terminal
        self._bar = run_bar(Console(stderr=True)) if bar else None
        self._task = None if self._bar is None else self._bar.add_task("Inspecting", total=total)
        self._begun = self._said = clock()

    @property
    def items(self) -> int:
        """Items that have a row."""
        return self._words.total()

    @property
    def refused(self) -> int:
        """Items without a verdict."""
        return self._words[NONE]

    def count(self, verdicts: Iterable[Verdict], *, kept: bool = False) -> None:
        """Take the rows of one file; `kept` where they are those of an earlier command."""
        self.files += 1
        self.kept += kept
        rows = list(verdicts)
        self._words.update(verdict.verdict for verdict in rows)
        self.remarks += sum(bool(verdict.remark) for verdict in rows)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.files)
        elif self._clock() >= self._said + EVERY:
            self._said = self._clock()
            self._tell(self.line())

    def line(self) -> str:
        """What has been judged, and how long the rest will take, in words."""
        kept = f" ({self.kept} kept)" if self.kept else ""
        counts = f"{self._words[ANOMALOUS]} anomalous, {self.refused} without a verdict"
        counts += f", {self.remarks} with a remark" * bool(self.remarks)
        done, left = self.files - self.kept, self.total - self.files
        rest = ""
        if done and left:
            rest = f"; about {(self._clock() - self._begun) / done * left / 60:.0f} min left"
        return f"{self.files} of {self.total} files{kept}: {counts}{rest}"

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._tell(self.line().partition(";")[0])
