"""`kedro sweep NAME`: runs a grid, goes on where it stopped, and writes its tables."""

import logging
from collections.abc import Sequence
from pathlib import Path

import click

from endline.errors import EndlineError
from endline.files import locked
from endline.operations.sweep.campaign import Campaign
from endline.operations.sweep.data import raw_folder
from endline.operations.sweep.definitions import find_joined, find_sweep
from endline.operations.sweep.job import FAILED, RunJobs
from endline.operations.sweep.joined import JoinedSweep, write_joined
from endline.operations.sweep.processes import run_in_processes
from endline.operations.sweep.table import render_tables

log = logging.getLogger(__name__)


def run_sweep(
    name: str,
    project: Path,
    *,
    raw: Path | None = None,
    env: str | None = None,
    fresh: bool = False,
    workers: int = 1,
    only: Sequence[str] = (),
    run: RunJobs = run_in_processes,
) -> None:
    """Run every point of a grid that is not finished yet, and write `benchmarks/results/<name>.csv` and `.md`.

    Each run has a process of its own. A finished row of the CSV is kept when its parameters, the digest of its resolved
    settings and the digest of the data are still the same. Failed and skipped rows are tried again. A sweep that joins
    others runs them one after the other, and then writes its own table of theirs.

    Args:
        name: of a sweep in conf/base/sweeps.yml or benchmarks/sweeps.yml.
        project: the project's folder.
        raw: raw folder instead of the sweep's own data set.
        env: overlay of the configuration (`paper`, `smoke`).
        fresh: run anew what is finished too; with `only`, of its points alone.
        workers: runs at once; the cores are divided among them.
        only: `parameter=value` of the points that shall run, see `Sweep.chosen`.
        run: runs jobs; tests put another in its place.

    Raises:
        EndlineError: for an unknown sweep, absent data, an option that nothing reads, a sweep of this name that is
            running elsewhere; and at the end, when runs have failed.
    """
    if joined := find_joined(name, project, env):
        if only:
            raise EndlineError(f"The sweep '{name}' joins several sets, so --only has no meaning: name one of them.")
        _run_joined(joined, project, raw=raw, env=env, fresh=fresh, workers=workers, run=run)
        return
    sweep = find_sweep(name, project, env)
    folder = raw_folder(sweep, project, raw)
    sweep = sweep.with_folders(folder)
    campaign = Campaign(sweep, project, env, folder, run, only)
    # A path of this machine means nothing on another; the data's digest stands in each row.
    options = f"{'' if raw is None else ' --raw=<folder>'}{'' if env is None else f' --env={env}'}"
    busy = f"The sweep '{name}' is already running in another process: wait for it."
    with locked(project / "mlruns" / f"sweep_{name}.lock", busy):
        campaign.keep_finished(fresh=fresh)
        if campaign.waiting:
            campaign.work(options, fresh=fresh, workers=workers)
        else:
            log.info("All of these runs are finished already: --fresh runs them anew.")
            campaign.write(options)
    table = campaign.table
    click.echo(f"\n{render_tables(sweep, table)}\n{campaign.csv}\n{campaign.page}")
    if failed := campaign.count(FAILED):
        raise EndlineError(
            f"{failed} of {len(table)} runs failed: {campaign.csv} says why, and the same command tries them again."
        )


def _run_joined(
    joined: JoinedSweep, project: Path, *, raw: Path | None, env: str | None, fresh: bool, workers: int, run: RunJobs
) -> None:
    """Run all sweeps of a joined one; the failure of one stops no other, and its table says so."""
    if raw is not None:
        raise EndlineError(f"The sweep '{joined.name}' joins several sets, so --raw has no meaning: leave it out.")
    members = [find_sweep(name, project, env) for name in joined.of]
    missing: dict[str, str] = {}
    for member in members:
        try:
            run_sweep(member.name, project, env=env, fresh=fresh, workers=workers, run=run)
        except EndlineError as error:
            log.warning("%s: %s", member.name, error)
            missing[member.name] = str(error)
    click.echo(write_joined(project, joined, members, missing))
    if missing:
        raise EndlineError(f"Not everything was run. {' '.join(missing.values())}")
