"""Commands of runs: many of them, on a schedule, and what is left of old ones."""

from pathlib import Path

import click

from endline.commands.shared import ENV, NOTHING_TO_DO, cli, configured_project, plain_errors


@cli.command()
@click.argument("name")
@click.option("--raw", type=click.Path(path_type=Path), help="Raw folder instead of the sweep's own data set.")
@ENV
@click.option("--fresh", is_flag=True, help="Run all anew, finished runs too.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Runs at once; they share the cores."
)
@click.option("--only", multiple=True, metavar="PARAMETER=VALUE", help="Run these points alone; may be repeated.")
def sweep(name: str, raw: Path | None, env: str | None, fresh: bool, workers: int, only: tuple[str, ...]) -> None:
    """Run the grid NAME of conf/base/sweeps.yml or benchmarks/sweeps.yml; goes on where it stopped."""
    from endline.operations.sweep.command import run_sweep

    with plain_errors():
        run_sweep(name, configured_project(env), raw=raw, env=env, fresh=fresh, workers=workers, only=only)


@cli.command()
@click.argument("station")
@click.option("--params", default="", help="As --params of `kedro run`: the same for all parts of the run.")
@click.option("--key", help="Who begins the run: asked again by the same, the same run is the answer.")
@click.option("--force", is_flag=True, help="Begin a run also where nothing is new.")
@click.option(
    "--hours", type=float, default=12.0, show_default=True, help="After which a run without an end is given up."
)
@ENV
def begin(station: str, params: str, key: str | None, force: bool, hours: float, env: str | None) -> None:
    """Begin a run of STATION that several processes make, if there are new data; status 3 where nothing is new.

    The last line is JSON: `version` and `mlflow_run_id`, for `kedro run --params=run_version=...,mlflow_run_id=...`.
    """
    from endline.cli import read_params
    from endline.operations.scheduling.beginning import Begun
    from endline.operations.scheduling.beginning import begin as begin_run

    with plain_errors():
        begun = begin_run(configured_project(env), station, env, read_params(params), key=key, force=force, hours=hours)
    if isinstance(begun, Begun):
        click.echo(begun.line)
    else:
        click.echo(begun)
        raise SystemExit(NOTHING_TO_DO)


@cli.command()
@click.argument("station")
@click.option("--run", "version", required=True, help="Version of the run, which `endline begin` gave.")
@ENV
def conclude(station: str, version: str, env: str | None) -> None:
    """Write the page that says what a scheduled run of STATION has done, and print where it lies."""
    from endline.operations.scheduling.concluding import conclude as write_page

    with plain_errors():
        click.echo(write_page(configured_project(env), station, version, env))


@cli.command()
@click.option("--folder", type=click.Path(path_type=Path), help="DAG folder of Airflow [default: .airflow/dags].")
@click.option("--check", is_flag=True, help="Write nothing; say which files are not what would be written.")
@ENV
def dags(folder: Path | None, check: bool, env: str | None) -> None:
    """Write a DAG file for Airflow for each station of conf/base/schedule.yml, made from its pipeline."""
    from endline.operations.scheduling.dags import FOLDER, check_dags, write_dags

    with plain_errors():
        project = configured_project(env)
        if check:
            check_dags(project, folder or project / FOLDER, env)
            click.echo("The DAG files are what the pipeline and the schedule say.")
            return
        for path in write_dags(project, folder or project / FOLDER, env):
            click.echo(path)


@cli.command()
@click.option("--keep", type=click.IntRange(1), required=True, help="Newest whole runs of each station that stay.")
@click.option("--station", help="Remove runs of this station alone.")
@ENV
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
def prune(keep: int, station: str | None, env: str | None, dry_run: bool) -> None:
    """Remove the outputs of old runs: versions, arrays that no run refers to any more, artifacts in MLflow."""
    from endline.operations.pruning import prune as remove

    with plain_errors():
        for line in remove(configured_project(env), keep, station=station, env=env, dry=dry_run).lines():
            click.echo(line)
        if dry_run:
            click.echo("Nothing was removed: leave out --dry-run.")
