"""A process for each run, at most N at once: memory goes back with it, and no run can end the sweep."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import cast

from endline.operations.sweep.child import serve
from endline.operations.sweep.job import Job, Outcome
from endline.operations.sweep.worker import run_job

Work = Callable[[Job], Outcome]
GRACE = 20.0  # s that a process has to end by itself, after its result or when the sweep is stopped
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class _Running:
    number: int
    process: SpawnProcess
    started: float
    outcome: Outcome | None = None


def run_in_processes(
    jobs: Iterator[tuple[int, Job]], workers: int, work: Work = run_job
) -> Iterator[tuple[int, Outcome]]:
    """Run each job in a new Python process; results come as they end.

    The processes are spawned, as torch hangs in forked ones after a backward pass. Several at once share the cores.
    What they log is logged here. Whatever ends this generator (Ctrl-C too) ends the processes.

    Args:
        jobs: number and job; asked for one when a process may start.
        workers: most processes at once.
        work: what a process does with its job; a function that can be pickled.

    Yields:
        number and outcome; a process that dies becomes an outcome that names the signal.
    """
    running: dict[Connection, _Running] = {}
    try:
        while True:
            while len(running) < workers and (given := next(jobs, None)):
                here, worker = _start(*given, work, workers)
                running[here] = worker
            if not running:
                return
            for here in cast(list[Connection], wait(list(running))):
                if (outcome := _listen(here, running[here])) is not None:
                    number = running.pop(here).number
                    here.close()
                    yield number, outcome
    finally:
        _stop([worker.process for worker in running.values()])


def _start(number: int, job: Job, work: Work, workers: int) -> tuple[Connection, _Running]:
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(partial(work, job), there), name=f"run {number}")
    with _shared_cores(workers):
        process.start()
    there.close()  # the process holds the only other end now: its death is the end of the file
    return here, _Running(number, process, time.perf_counter())


def _listen(here: Connection, worker: _Running) -> Outcome | None:
    """Take one message of a process: a log record, or its outcome; None while it goes on."""
    try:
        message = here.recv()
    except (EOFError, OSError):
        worker.process.join()
        return Outcome(reason=death(worker.process.exitcode), seconds=time.perf_counter() - worker.started)
    if isinstance(message, logging.LogRecord):
        logging.getLogger(message.name).handle(message)
        return None
    seconds = time.perf_counter() - worker.started
    _stop([worker.process], GRACE)
    assert isinstance(message, Outcome)
    return replace(message, seconds=seconds)


def death(exit_code: int | None) -> str:
    """Why a process ended without a result.

    Args:
        exit_code: as Python gives it: a signal's number with a minus, or what the process returned.

    Example:
        >>> death(-11)
        'The process of this run was ended by SIGSEGV.'
    """
    if exit_code is None or exit_code >= 0:
        return f"The process of this run ended with exit code {exit_code} and without a result."
    name = signal.Signals(-exit_code).name
    if name != "SIGKILL":
        return f"The process of this run was ended by {name}."
    return (
        "The process of this run was ended by SIGKILL, as Linux does when memory runs out: free memory or take fewer "
        "--workers, and run the same command again."
    )


@contextmanager
def _shared_cores(workers: int) -> Iterator[None]:
    """Divide the cores among the processes that start here; one alone takes what it wants."""
    if workers == 1:
        yield
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(max(1, cores // workers))))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _stop(processes: list[SpawnProcess], wait_first: float = 0.0) -> None:
    """End processes: those that do not end by themselves are asked, then killed."""
    for end in (None, SpawnProcess.terminate, SpawnProcess.kill):
        for process in processes:
            if end is not None and process.is_alive():
                end(process)
        limit = time.monotonic() + (wait_first if end is None else GRACE)
        for process in processes:
            with suppress(KeyboardInterrupt):  # a second Ctrl-C waits no longer, and still ends them
                process.join(max(0.0, limit - time.monotonic()))
