"""What a sweep shows while it runs: a bar over the runs, and each message once."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column


def run_bar(console: Console | None = None) -> Progress:
    """A bar over runs or files; on a narrow terminal the description gives way, not the numbers."""
    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=20),
        MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=7)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=8)),
        console=console,
        speed_estimate_period=7 * 86400,  # runs take minutes: estimate from all of them, not from the last 30 s
    )


@contextmanager
def each_message_once() -> Iterator[None]:
    """Show only once what every run says again (two recordings without a label); errors always."""
    filters = [(handler, _not_yet_shown()) for handler in logging.getLogger().handlers]
    for handler, is_new in filters:
        handler.addFilter(is_new)
    try:
        yield
    finally:
        for handler, is_new in filters:
            handler.removeFilter(is_new)


def _not_yet_shown() -> Callable[[logging.LogRecord], bool]:
    """A filter of its own for each handler, since each of them gets every message."""
    shown: set[tuple[str, str]] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = (record.name, record.getMessage())
        known = message in shown and record.levelno < logging.ERROR
        shown.add(message)
        return not known

    return is_new
