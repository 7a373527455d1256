"""What a trial gives and costs, measured and written alike in both environments; needs nothing but Python.

A trial is one detector fitted to one split. It runs in a process of its own, a copy of one that has imported what it
needs, on one thread, with a limit of memory, so that its peak of memory is its own. Seconds are those of the
processor, which other processes on the same cores hardly change.
"""

import argparse
import json
import multiprocessing
import os
import resource
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

EXPORTED = Path(__file__).parents[2] / "build/peers"  # <set>/<seed>/ of every split that `export.py` made
MEMORY = 6 * 1024**3  # bytes of its own that a trial may take
PATIENCE = 1500  # seconds by the clock, after which a trial is ended
for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # before anything that reads it is imported


@dataclass(frozen=True)
class Trial:
    """A detector on a split.

    Attributes:
        library, version, detector: what was run.
        fit_seconds: of the processor, from the files of photographs, or the arrays of cycles, to the fitted detector.
        item_ms: of the processor, for a tested item, from its file or array to its score.
        peak_mb: largest resident memory of the process, its libraries and mapped files included.
        scores: of the tested items, in the order of `tested.csv`; empty where there are none.
        note: what was adapted, capped or left out, and why there are no scores.

    Example:
        >>> Trial("endline", "0.1.0", "gaussian", 1.5, 20.0, 600.0, (0.1, 0.9)).note
        ''
    """

    library: str
    version: str
    detector: str
    fit_seconds: float | None = None
    item_ms: float | None = None
    peak_mb: float | None = None
    scores: tuple[float, ...] = ()
    note: str = ""


def trial_file(trial: Trial, split: Path) -> Path:
    """Where a trial of a split is written."""
    return split / f"{trial.library}-{trial.detector}.json"


def write_trial(trial: Trial, split: Path) -> None:
    """Write a trial into the folder of its split."""
    trial_file(trial, split).write_text(json.dumps(asdict(trial)))


def read_trials(split: Path) -> list[Trial]:
    """The trials of a split, by library and detector."""
    read = (json.loads(file.read_text()) for file in sorted(split.glob("*-*.json")))
    return [Trial(**{**fields, "scores": tuple(fields["scores"])}) for fields in read]


def run_apart(blank: Trial, run: Callable[[], Trial], split: Path) -> str:
    """Run a trial in a process of its own and write it; one that fails is written with the reason in its note.

    Args:
        blank: the trial without results.
        run: gives it with them; its peak of memory is filled in here.
        split: folder of the split.

    Returns:
        One line that says how it went.
    """

    def child() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        try:
            finished = replace(run(), peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        except Exception as error:
            traceback.print_exc()
            finished = replace(blank, note=f"no result: {last_words(f'{type(error).__name__}: {error}')}")
        write_trial(finished, split)

    trial_file(blank, split).unlink(missing_ok=True)
    begun, process = cpu_seconds(), multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
    if not trial_file(blank, split).exists():
        write_trial(replace(blank, note=f"no result: ended after {PATIENCE} s, or killed"), split)
    last = next(trial for trial in read_trials(split) if trial_file(trial, split) == trial_file(blank, split))
    return f"{split.parent.name}/{split.name} {blank.detector}: {cpu_seconds() - begun:.0f} CPU s. {last.note}"


def last_words(text: str) -> str:
    r"""The last line that says something, at most 200 characters of it.

    Example:
        >>> last_words("MemoryError: no room\n\n")
        'MemoryError: no room'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def cpu_seconds() -> float:
    """CPU seconds of the trials that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def parser(description: str, sets: Sequence[str]) -> argparse.ArgumentParser:
    """The command line of a script of trials."""
    given = argparse.ArgumentParser(description=description)
    given.add_argument("--sets", nargs="+", default=list(sets), choices=sets)
    given.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given.add_argument("--detectors", nargs="+", help="of those that the set's station has; by default all")
    given.add_argument("--minutes", type=float, default=40, help="of CPU, after which no further trial begins")
    given.add_argument("--again", action="store_true", help="run anew what has a result")
    return given


def are_due(blanks: Sequence[Trial], split: Path, given: argparse.Namespace) -> list[Trial]:
    """The trials of a split that were asked for and have no result yet, while there is time."""
    wanted = [trial for trial in blanks if not given.detectors or trial.detector in given.detectors]
    return [trial for trial in wanted if given.again or not trial_file(trial, split).exists()]


class Stopwatch:
    """CPU seconds of this process since it was made, or last read.

    Example:
        >>> Stopwatch().read() < 1
        True
    """

    def __init__(self) -> None:
        self._begun = time.process_time()

    def read(self) -> float:
        """Seconds since; begins anew."""
        now = time.process_time()
        seconds, self._begun = now - self._begun, now
        return seconds
