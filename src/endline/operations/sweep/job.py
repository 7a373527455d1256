"""A run of a sweep as data: what its process is given, and what it sends back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

DONE, SKIPPED, FAILED = "done", "skipped", "failed"


@dataclass(frozen=True)
class Job:
    """One run, as its process is given it.

    Attributes:
        project: the project's folder.
        package: name of the project's Python package.
        env: overlay of the configuration, or None.
        station: the registered pipeline that runs.
        parameters: nested runtime parameters.
        version: Kedro's version of all its outputs, no other run's.

    Example:
        >>> Job(Path("/line"), "endline", None, "mirror_audio", {"seed": 0}, "2026-01-01T00.00.00.000Z").station
        'mirror_audio'
    """

    project: Path
    package: str
    env: str | None
    station: str
    parameters: dict[str, Any]
    version: str


@dataclass(frozen=True)
class Outcome:
    """What a run leaves.

    Attributes:
        metrics: content of its metrics file; empty for a run that failed.
        scores: its table of scores, one row an item; None where it has none.
        reason: why it failed, in a sentence; empty for one that did not.
        version: Kedro's version of its outputs.
        mlflow_run_id: its MLflow run, or None.
        seconds: from the start of its process to its result.

    Example:
        >>> Outcome(metrics={"auroc": 0.9}).status, Outcome(reason="The disk is full.").status
        ('done', 'failed')
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    version: str = ""
    mlflow_run_id: str | None = None
    seconds: float = 0.0
    scores: pd.DataFrame | None = field(default=None, compare=False)

    @property
    def status(self) -> str:
        """`done` or `failed`."""
        return FAILED if self.reason else DONE


# Runs jobs, at most N at once, and gives (number, outcome) as they end.
RunJobs = Callable[[Iterator[tuple[int, Job]], int], Iterator[tuple[int, Outcome]]]
