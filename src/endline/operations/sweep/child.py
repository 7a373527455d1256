"""The inside of a run's process: it listens to the sweep alone, and sends it logs and the result."""

import logging
import logging.handlers
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from endline.operations.sweep.job import Outcome


class _ToSweep(logging.handlers.QueueHandler):
    """Sends each record through the pipe, its text made; the sweep's own handlers show it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(queue=connection)  # type: ignore[arg-type]  # anything that `enqueue` can send to
        self.connection = connection

    def enqueue(self, record: logging.LogRecord) -> None:
        self.connection.send(record)


def serve(work: Callable[[], Outcome], connection: Connection) -> None:
    """Do the work and send its outcome; the target of a process.

    Ctrl-C reaches every process of a terminal: here it is ignored, since the sweep ends its processes itself. What is
    printed is dropped, since it would break the sweep's bar.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_sweep, daemon=True).start()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    to_sweep = _ToSweep(connection)
    _log_only_to(to_sweep)
    outcome = work()
    with to_sweep.lock or threading.RLock():
        connection.send(outcome)


def _interrupt(number: int, frame: FrameType | None) -> Any:
    raise KeyboardInterrupt  # so that MLflow's run is marked as killed


def _end_with_sweep() -> None:
    """A killed sweep leaves no process behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _log_only_to(handler: logging.Handler) -> None:
    """Kedro has configured logging when it was imported: keep its levels, replace its handlers."""
    for logger in [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]:
        logger.handlers.clear()
        logger.propagate = True
    logging.root.handlers = [handler]
