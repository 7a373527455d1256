"""The runs of one sweep: those that wait, and the rows of those that have ended."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework import project as kedro_project

from endline.files import clear_partials, remove, write_whole
from endline.operations.sweep.data import data_digest
from endline.operations.sweep.definitions import laid_over
from endline.operations.sweep.display import each_message_once, run_bar
from endline.operations.sweep.grid import Sweep
from endline.operations.sweep.job import DONE, FAILED, SKIPPED, Job, Outcome, RunJobs
from endline.operations.sweep.page import facts, render_page
from endline.operations.sweep.parent import ParentRun
from endline.operations.sweep.resolved import configuration, default_detector, digest, missing_weights, settings_content
from endline.operations.sweep.results import DEFAULT, as_table, flat_metrics, read_table, text, write_table
from endline.operations.sweep.scores import ahead, read_scores, write_scores
from endline.reporting.provenance import git_commit, machine
from endline.versions import new_version

RESULTS = Path("benchmarks/results")
Row = dict[str, Any]
log = logging.getLogger(__name__)


class Campaign:
    """Runs the points of a sweep and keeps their rows, in memory and in `benchmarks/results/<name>.csv`.

    Args:
        sweep: the grid, `folders` resolved.
        project: the project's folder.
        env: overlay of the configuration.
        raw: raw folder of all runs; None: the station finds its own.
        run: runs jobs.
        only: `parameter=value` of the points that shall run, see `Sweep.chosen`; of the others finished rows are kept.

    Example:
        `Campaign(sweep, project, None, raw, run_jobs).work(options="", fresh=False, workers=2)`
    """

    def __init__(
        self,
        sweep: Sweep,
        project: Path,
        env: str | None,
        raw: Path | None,
        run: RunJobs,
        only: Sequence[str] = (),
    ) -> None:
        self.sweep, self.project, self.env, self.raw, self.run = sweep, project, env, raw, run
        self.points = sweep.points()
        self._chosen = sweep.chosen(only)
        self.csv = project / RESULTS / f"{sweep.name}.csv"
        self.page = self.csv.with_suffix(".md")
        self.scores = self.csv.with_suffix(".scores.parquet")
        data = data_digest(raw)
        self._contents = [
            settings_content(project, env, sweep.station, self._parameters(number))
            for number in range(len(self.points))
        ]
        self.identities = [self._identity(number, data) for number in range(len(self.points))]
        self._ended: dict[int, Row] = {}
        self._kept: dict[str, pd.DataFrame] = {}

    @property
    def table(self) -> pd.DataFrame:
        """One row for each run that has ended, in the grid's order."""
        return as_table([self._ended[number] for number in sorted(self._ended)], list(self.sweep.grid))

    @property
    def waiting(self) -> list[int]:
        """Numbers of the points that shall run and have no row yet."""
        return [number for number in self._chosen if number not in self._ended]

    def count(self, status: str) -> int:
        """Number of rows with the status."""
        return sum(row["status"] == status for row in self._ended.values())

    def keep_finished(self, *, fresh: bool) -> None:
        """Keep the finished rows of an earlier sweep that this one would only repeat; fresh: of points not chosen."""
        old = read_table(self.csv, list(self.sweep.grid))
        identities = as_table(self.identities, list(self.sweep.grid))[list(self.identities[0])]
        if not set(identities) <= set(old):
            return
        same = identities.reset_index(names="number").merge(old[old["status"] == DONE], on=list(identities))
        for row in same.drop_duplicates("number").to_dict("records"):
            number = int(row.pop("number"))
            if fresh and number in self._chosen:
                continue
            # What is missing stays as a column: a sweep that goes on writes the table of one that never stopped.
            kept = {str(key): None if pd.isna(value) else value for key, value in row.items()}
            self._ended[number] = {**kept, DEFAULT: self._is_default(number)}  # older tables lack it
        versions = {str(row["version"]) for row in self._ended.values()}
        self._kept = {version: own for version, own in read_scores(self.scores).items() if version in versions}
        if self._ended:
            log.info("%d of %d runs are finished already.", len(self._ended), len(self.points))

    def work(self, options: str, *, fresh: bool, workers: int) -> None:
        """Run what waits below one MLflow parent run; the CSV is written anew after every run."""
        parent = ParentRun(self.project, self.env, self._parameters(0), self.sweep.name, fresh=fresh)
        status, waiting = "KILLED", self.waiting
        clear_partials(self.csv.parent)
        self._clear_checkpoints()
        try:
            with run_bar() as bars, each_message_once():
                task = bars.add_task(self.sweep.name, total=len(waiting))
                runs = self.run(
                    self._jobs(waiting, parent.id, lambda words: bars.update(task, description=words)), workers
                )
                for number, outcome in runs:
                    if outcome.scores is not None:
                        self._kept[outcome.version] = outcome.scores
                        write_scores(self.scores, self._kept)
                    self._end(number, self._row(outcome))
                    bars.update(task, completed=len(waiting) - len(self.waiting))
            self.write(options)
            status = "FAILED" if self.count(FAILED) else "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            counts = {key: self.count(key) for key in (DONE, SKIPPED, FAILED)}
            parent.end(status, counts, [self.csv, self.page] if status != "KILLED" else [self.csv])

    def write(self, options: str) -> None:
        """Write both files."""
        table = self.table
        write_table(self.csv, table)
        leaders = ahead(table, [*self.sweep.rows, *self.sweep.columns], self.sweep.averaged, self._kept)
        write_whole(self.page, render_page(self.sweep, table, facts(self.sweep, table, options), leaders))

    def _jobs(self, waiting: list[int], parent: str, show: Callable[[str], None]) -> Iterator[tuple[int, Job]]:
        """The runs that can go, each made when it may start; those whose weights are missing end at once."""
        for number in waiting:
            parameters = self._parameters(number)
            if reason := missing_weights(self.project, self.env, self.sweep.station, parameters):
                self._end(number, {"status": SKIPPED, "reason": reason})
                continue
            show(f"{self.sweep.name}: {self._words(number)}")
            own = {**self._checkpoints(number), "sweep": self.sweep.name, "mlflow_parent_run_id": parent}
            package = kedro_project.PACKAGE_NAME or ""
            given = laid_over(parameters, own)
            yield number, Job(self.project, package, self.env, self.sweep.station, given, new_version(self.project))

    def _end(self, number: int, row: Row) -> None:
        about = {DEFAULT: self._is_default(number), "git_commit": git_commit(), "machine": machine()}
        self._ended[number] = {**row, **self.identities[number], **about}
        write_table(self.csv, self.table)
        if row["status"] != DONE:
            log.warning("%s %s: %s", self._words(number), row["status"], row["reason"])

    def _row(self, outcome: Outcome) -> Row:
        about = {"status": outcome.status, "reason": outcome.reason, "seconds": round(outcome.seconds, 1)}
        if outcome.status != DONE:
            return about
        record = {"version": outcome.version, "mlflow_run_id": outcome.mlflow_run_id}
        return {**flat_metrics(outcome.metrics), **about, **record}

    def _parameters(self, number: int) -> dict[str, Any]:
        own = {} if self.raw is None else {"raw": str(self.raw)}
        return {**self.sweep.parameters(self.points[number]), **own}

    def _identity(self, number: int, data: str) -> Row:
        """What must be the same for a finished row to be kept."""
        varied = {name: text(value) for name, value in self.points[number].items()}
        return {**varied, "settings_digest": digest(self._contents[number]), "data_digest": data}

    def _is_default(self, number: int) -> bool:
        """Whether a run's detector is the one that the station takes when nothing is said."""
        detector: str | None = self._contents[number]["settings"]["run"].get("detector")
        return detector == self._default_detector

    def _checkpoints(self, number: int) -> dict[str, Any]:
        """A folder of checkpoints for this run alone, found again when a stopped sweep goes on."""
        if self._shared_checkpoints is None:
            return {}
        folder = f"{self._shared_checkpoints}_of_sweeps/{self._own_checkpoints(number)}"
        return {self.sweep.station: {"run": {"checkpoints": folder}}}

    def _own_checkpoints(self, number: int) -> str:
        return f"{self.sweep.name}_{number}_{self.identities[number]['settings_digest']}"

    def _clear_checkpoints(self) -> None:
        """Remove checkpoints of points that this sweep no longer has; no other process runs a sweep of its name."""
        if self._shared_checkpoints is None:
            return
        own = {self._own_checkpoints(number) for number in range(len(self.points))}
        ours = re.compile(rf"{re.escape(self.sweep.name)}_\d+_[0-9a-f]{{16}}")
        for folder in (self.project / f"{self._shared_checkpoints}_of_sweeps").glob("*"):
            if folder.name not in own and ours.fullmatch(folder.name):
                remove(folder)

    @cached_property
    def _default_detector(self) -> str | None:
        return default_detector(self.project, self.sweep.station)

    @cached_property
    def _shared_checkpoints(self) -> str | None:
        """The station's own folder of checkpoints, which its other runs share; None for a station without one."""
        station = configuration(self.project, self.env, {})["parameters"].get(self.sweep.station, {})
        folder: str | None = station.get("run", {}).get("checkpoints")
        return folder

    def _words(self, number: int) -> str:
        return ", ".join(f"{key.rsplit('.', 1)[-1]}={value}" for key, value in self.points[number].items())
