"""`kedro sweep NAME`: runs a grid, goes on where it stopped, and writes its tables."""

import fcntl
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from endline.errors import EndlineError
from endline.operations.sweep.data import data_digest, raw_folder
from endline.operations.sweep.display import each_message_once, run_bar
from endline.operations.sweep.grid import Point, Sweep, parse_sweep
from endline.operations.sweep.page import facts, render_page
from endline.operations.sweep.parent import ParentRun
from endline.operations.sweep.run import (
    Finished,
    configuration,
    missing_weights,
    run_station,
    sentence,
    settings_digest,
)
from endline.operations.sweep.table import (
    DONE,
    FAILED,
    SKIPPED,
    Row,
    flat_metrics,
    read_csv,
    render_tables,
    text,
    write_csv,
    write_whole,
)
from endline.reporting.provenance import git_commit, machine

RESULTS = Path("benchmarks/results")
RunStation = Callable[[Path, str | None, str, Mapping[str, Any]], Finished]
log = logging.getLogger(__name__)


def run_sweep(
    name: str,
    project: Path,
    *,
    raw: Path | None = None,
    env: str | None = None,
    fresh: bool = False,
    run: RunStation = run_station,
) -> None:
    """Run every point of a grid that is not finished yet, and write `benchmarks/results/<name>.csv` and `.md`.

    A finished row of the CSV is kept when its parameters, the digest of its resolved settings and the digest of the
    data are still the same. Failed and skipped rows are tried again.

    Args:
        name: a key of conf/base/sweeps.yml.
        project: the project's folder.
        raw: raw folder instead of the sweep's own data set.
        env: overlay of the configuration (`paper`, `smoke`).
        fresh: run all anew.
        run: runs one station; tests put another in its place.

    Raises:
        EndlineError: for an unknown sweep, absent data, an option that nothing reads, a sweep of this name that is
            running elsewhere; and at the end, when runs have failed.
    """
    sweep = parse_sweep(name, configuration(project, env, {})["sweeps"])
    folder = raw_folder(sweep, project, raw)
    sweep = sweep.with_folders(folder)
    campaign = _Campaign(sweep, project, env, folder, run)
    options = f"{'' if raw is None else f' --raw={raw}'}{'' if env is None else f' --env={env}'}"
    with _alone(project / "mlruns" / f"sweep_{name}.lock", name):
        if not fresh:
            campaign.take_up(read_csv(campaign.csv))
        if campaign.waiting:
            campaign.work(options, fresh=fresh)
        else:
            log.info("All runs are finished already: --fresh runs them anew.")
            campaign.write(options)
    click.echo(f"\n{render_tables(sweep, campaign.rows)}\n{campaign.csv}\n{campaign.page}")
    if failed := campaign.count(FAILED):
        raise EndlineError(
            f"{failed} of {len(campaign.rows)} runs failed: {campaign.csv} says why, and the same command tries "
            "them again."
        )


class _Campaign:
    """The runs of one sweep: those that wait, and the rows of those that have ended."""

    def __init__(self, sweep: Sweep, project: Path, env: str | None, raw: Path | None, run: RunStation) -> None:
        self.sweep, self.project, self.env, self.run = sweep, project, env, run
        self.given = raw
        self.points = sweep.points()
        self.csv = project / RESULTS / f"{sweep.name}.csv"
        self.page = self.csv.with_suffix(".md")
        digest = data_digest(raw)
        self.identities = [self._identity(point, digest) for point in self.points]
        self._ended: dict[int, Row] = {}

    @property
    def rows(self) -> list[Row]:
        """Rows of the runs that have ended, in the grid's order."""
        return [self._ended[number] for number in sorted(self._ended)]

    @property
    def waiting(self) -> list[int]:
        """Numbers of the points that have no row yet."""
        return [number for number in range(len(self.points)) if number not in self._ended]

    def count(self, status: str) -> int:
        """Number of rows with the status."""
        return sum(row["status"] == status for row in self.rows)

    def take_up(self, old: list[Row]) -> None:
        """Keep the finished rows of an earlier sweep that this one would only repeat."""
        for row in old:
            for number in self.waiting:
                if row.get("status") == DONE and self.identities[number].items() <= row.items():
                    self._ended[number] = row
                    break
        if self._ended:
            log.info("%d of %d runs are finished already.", len(self._ended), len(self.points))

    def work(self, options: str, *, fresh: bool) -> None:
        """Run what waits below one MLflow parent run; the CSV is written anew after every run."""
        parent = ParentRun(self.project, self.env, self._parameters(self.points[0]), self.sweep.name, fresh=fresh)
        shared = {"sweep": self.sweep.name, "mlflow_parent_run_id": parent.id}
        status = "KILLED"
        try:
            with run_bar() as bars, each_message_once():
                task = bars.add_task(self.sweep.name, total=len(self.waiting))
                for number in self.waiting:
                    told = ", ".join(f"{key.rsplit('.', 1)[-1]}={value}" for key, value in self.points[number].items())
                    bars.update(task, description=f"{self.sweep.name}: {told}")
                    row = self._row(number, {**self._parameters(self.points[number]), **shared})
                    self._ended[number] = row
                    write_csv(self.csv, list(self.sweep.grid), self.rows)
                    bars.advance(task)
                    if row["status"] != DONE:
                        log.warning("%s %s: %s", told, row["status"], row["reason"])
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
        write_csv(self.csv, list(self.sweep.grid), self.rows)
        write_whole(self.page, render_page(self.sweep, self.rows, facts(self.sweep, self.rows, options)))

    def _parameters(self, point: Point) -> dict[str, Any]:
        own = {} if self.given is None else {"raw": str(self.given)}
        return {**self.sweep.parameters(point), **own}

    def _identity(self, point: Point, data: str) -> Row:
        """What must be the same for a finished row to be kept."""
        settings = settings_digest(self.project, self.env, self.sweep.station, self._parameters(point))
        varied = {name: text(value) for name, value in point.items()}
        return {**varied, "settings_digest": settings, "data_digest": data}

    def _row(self, number: int, parameters: Mapping[str, Any]) -> Row:
        """Run a point; one that cannot go, or fails, becomes a row that says why."""
        row = {**self.identities[number], "git_commit": git_commit(), "machine": machine()}
        where = (self.project, self.env, self.sweep.station, parameters)
        if reason := missing_weights(*where):
            return {**row, "status": SKIPPED, "reason": reason}
        start = time.perf_counter()
        try:
            finished = self.run(*where)
        except Exception as error:
            reason = sentence(error)
            if reason is None:
                log.exception("The run %s broke.", self.points[number])
                reason = " ".join(f"{type(error).__name__}: {error}".split())
            return {**row, "status": FAILED, "reason": reason, "seconds": f"{time.perf_counter() - start:.1f}"}
        record = {
            "seconds": f"{time.perf_counter() - start:.1f}",
            "version": finished.version,
            "mlflow_run_id": text(finished.mlflow_run_id),
        }
        return {**flat_metrics(finished.metrics), **row, "status": DONE, "reason": "", **record}


@contextmanager
def _alone(lock: Path, name: str) -> Iterator[None]:
    """Hold a lock that dies with the process: two sweeps of one name would overwrite each other's rows."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EndlineError(f"The sweep '{name}' is already running in another process: wait for it.") from None
        yield
