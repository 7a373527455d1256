"""The commands of endline, as `endline ...` or `kedro ...`, with errors in plain words.

`endline` starts seconds sooner, for Kedro imports all plugins before a command. What a command needs is imported in it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from endline.errors import EndlineError, cause_of, nearest

ENV = click.option("--env", "-e", help="Overlay of the configuration: paper, smoke.")
STATION = click.option("--station", help="Whose latest run judges [default: mirror_audio].")
RUN = click.option("--run", help="Another run by its id, or the folder of its published model.")
GROUP = click.option("--group", help="Of the station's runs, where several are registered.")
LOG = click.option(
    "--log/--no-log", default=None, help="Append to the station's log of verdicts [default: in a project's folder]."
)
MODEL = click.option("--model", help="A model of the registry: NAME@champion, another alias, or NAME/3.")
NOTHING_TO_DO = 3  # exit status of a command that leaves all as it is, where a schedule goes on without it


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print the sentence of an EndlineError, however deep Kedro has wrapped it, instead of a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        if "mlflow" in sys.modules:  # else no run is being recorded, and importing it takes seconds
            sys.modules["mlflow"].end_run("KILLED")
        raise click.ClickException("Interrupted: the same command goes on where it stopped.") from None
    except Exception as error:
        cause = cause_of(error, EndlineError)
        if cause is None:
            raise
        raise click.ClickException(str(cause)) from None


@click.group(name="endline")
def cli() -> None:
    """Commands of endline."""


def project_folder() -> Path:
    """The project's folder, from whatever folder of it a command was called."""
    from kedro.utils import find_kedro_project

    return find_kedro_project(Path.cwd()) or Path.cwd()


def check_env(conf: Path, env: str | None) -> None:
    """Refuse an overlay that is not there: the configuration would be read without it, and nobody would know.

    Args:
        conf: folder of the configuration.
        env: name of the overlay, a folder in it; None for none.

    Raises:
        EndlineError: with the nearest name.
    """
    if env is not None and conf.is_dir() and not (conf / env).is_dir():
        known = [folder.name for folder in conf.iterdir() if folder.is_dir()]
        raise EndlineError(f"There is no overlay '{env}' in {conf} (--env): {nearest(env, known)}")


def checked_project(env: str | None) -> Path:
    """The project's folder, once its overlay is known to be there; errors as `check_env`."""
    project = project_folder()
    check_env(project / "conf", env)
    return project


def configured_project(env: str | None) -> Path:
    """The same, with Kedro told which package this is: `kedro` has done so before a command, `endline` has not."""
    from kedro.framework.project import configure_project

    configure_project("endline")
    return checked_project(env)


def _log_file(project: Path, station: str, wanted: bool | None) -> Path | None:
    """The log of verdicts, where it is wanted; without a word it is in a project, and nowhere else."""
    from endline.operations.verdict_log import log_file

    in_project = (project / "conf").is_dir()
    return log_file(project, station) if (in_project if wanted is None else wanted) else None


def _check_names(files: tuple[Path, ...]) -> None:
    """Refuse file names that are no text, before anything is loaded."""
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError as error:
            shown = str(file).encode(errors="backslashreplace").decode()
            raise EndlineError(f"The name of {shown} is not written in UTF-8: rename the file.") from error


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
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@STATION
@RUN
@MODEL
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Table of verdicts, .parquet or .csv; goes on.")
@click.option("--maps", type=click.Path(path_type=Path), help="Folder for anomaly maps, an .npy file an item.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes; they share the cores."
)
@LOG
@ENV
def inspect(
    files: tuple[Path, ...],
    station: str | None,
    run: str | None,
    model: str | None,
    output: Path | None,
    maps: Path | None,
    workers: int,
    log: bool | None,
    env: str | None,
) -> None:
    """Judge new FILES (recordings, photographs, cycles), or all of a folder, by a station's latest run or another."""
    from endline.operations.inspect_command import run_inspect
    from endline.operations.model_folders import chosen_model

    with plain_errors():
        _check_names(files)
        project = checked_project(env)
        chosen = chosen_model(project, station, run, env, model)
        kept = _log_file(project, chosen.model.station, log)
        run_inspect(files, chosen, output=output, maps=maps, workers=workers, log=kept)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@STATION
@RUN
@MODEL
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Table of verdicts; goes on.")
@click.option("--every", type=float, default=1.0, show_default=True, help="Seconds between two looks at the folder.")
@click.option(
    "--settle", type=float, default=2.0, show_default=True, help="Seconds that a complete file stays the same."
)
@click.option("--once", is_flag=True, help="End when every file that is there has been judged.")
@LOG
@ENV
def watch(
    folder: Path,
    station: str | None,
    run: str | None,
    model: str | None,
    output: Path,
    every: float,
    settle: float,
    once: bool,
    log: bool | None,
    env: str | None,
) -> None:
    """Judge the files that come into FOLDER, each once, until Ctrl-C."""
    from endline.operations.model_folders import chosen_model
    from endline.operations.watch_command import run_watch
    from endline.operations.watching import WatchSettings

    with plain_errors():
        settings = WatchSettings(every, settle)
        project = checked_project(env)
        chosen = chosen_model(project, station, run, env, model)
        kept = _log_file(project, chosen.model.station, log)
        run_watch(folder, chosen, output, settings, once=once, log=kept)


@cli.command()
@click.option(
    "--false-alarm-rate", "rate", type=float, required=True, help="Stated share of good parts that is flagged."
)
@STATION
@RUN
@MODEL
@ENV
def recalibrate(rate: float, station: str | None, run: str | None, model: str | None, env: str | None) -> None:
    """Publish the station's latest model, or another, with a new false-alarm rate; nothing is trained."""
    from endline.operations.model_folders import chosen_model
    from endline.operations.recalibration import recalibrate as publish
    from endline.operations.registration import register_recalibrated
    from endline.operations.registry import Registry

    with plain_errors():
        project = checked_project(env)
        chosen = chosen_model(project, station, run, env, model)
        done = publish(project, chosen.model, rate, env)
        for line in done.lines():
            click.echo(line)
        if chosen.registered is not None:
            known = register_recalibrated(Registry.of(project, env), done.folder, done.after.run, chosen.registered)
            click.echo(f"Registered as {known.label}, the challenger.")


@cli.command()
@click.argument("station", default="mirror_audio")
@GROUP
@click.option("--run", help="Judge the model of this run instead of the challenger.")
@click.option(
    "--acceptance", type=click.Path(path_type=Path), help="Acceptance set instead of that of conf/base/promotion.yml."
)
@click.option("--force", is_flag=True, help="Promote it whatever the criteria say; needs --why.")
@click.option("--why", help="Reason of --force, which is recorded.")
@ENV
def promote(
    station: str,
    group: str | None,
    run: str | None,
    acceptance: Path | None,
    force: bool,
    why: str | None,
    env: str | None,
) -> None:
    """Let STATION's challenger be champion, if it is no worse on the acceptance set; exit status 3: it is not."""
    from endline.operations.promotion_command import Wish
    from endline.operations.promotion_command import promote as judge

    with plain_errors():
        if force != bool((why or "").strip()):
            raise EndlineError(
                "--force and --why=<reason> go together: a forced promotion is recorded with its reason."
            )
        wish = Wish(station, group, run, acceptance, why.strip() if why else None)
        champion = judge(configured_project(env), wish, env, click.echo)
    if not champion:
        raise SystemExit(NOTHING_TO_DO)


@cli.command()
@click.argument("station", default="mirror_audio")
@GROUP
@click.option("--why", default="", help="Reason, which is recorded.")
@ENV
def rollback(station: str, group: str | None, why: str, env: str | None) -> None:
    """Let STATION's champion before the current one be champion again."""
    from endline.operations.promotion_command import rollback as restore

    with plain_errors():
        click.echo(restore(checked_project(env), station, group, env, why))


@cli.command()
@click.argument("sample")
@click.option("--station", help="Whose log of verdicts is read [default: all].")
@ENV
def audit(sample: str, station: str | None, env: str | None) -> None:
    """Show what decided on SAMPLE, an item or a file, and rebuild its score."""
    from endline.operations.audit import described, newest_entry, origin, rebuilt

    with plain_errors():
        project = checked_project(env)
        entry, told = newest_entry(project, sample, station)
        known = origin(project, entry, env)
        for line in (*described(entry, known), *told):
            click.echo(line)
        click.echo(rebuilt(entry, known))


@cli.command()
@click.argument("run")
@ENV
def register(run: str, env: str | None) -> None:
    """Register the model that RUN has published: what each run does at its end, where the registry answers."""
    from endline.evidence.station import station_names
    from endline.operations.registration import register_run
    from endline.operations.registry import Registry
    from endline.operations.sweep.resolved import configuration
    from endline.versions import versioned_folders

    with plain_errors():
        project = configured_project(env)
        folders = versioned_folders(configuration(project, env, {})["catalog"], station_names())
        for known in register_run(Registry.of(project, env), folders, run):
            click.echo(f"Registered as {known.label}.")


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--station", default="robot_cycle", show_default=True, help="Whose latest run judges.")
@click.option("--window", type=int, help="Steps of a cycle whose mean score is one window's [default: 16].")
@click.option("--hop", type=float, help="From one window to the next: steps [default: 8], or seconds of a recording.")
@click.option("--rate", type=float, help="Stated rate of false alarms: a cycle [default: 0.05], or a window.")
@click.option("--follow", type=float, help="FILE is still written: it ends when it has not grown for so many seconds.")
@ENV
def stream(
    file: Path,
    station: str,
    window: int | None,
    hop: float | None,
    rate: float | None,
    follow: float | None,
    env: str | None,
) -> None:
    """Judge FILE window by window, with an alarm: a cycle as if it were running, or a recording of hours."""
    from endline.operations.model_folders import chosen_model
    from endline.operations.stream_command import StreamOptions, run_stream

    with plain_errors():
        _check_names((file,))
        judging = chosen_model(checked_project(env), station, None, env).model
        run_stream(judging, file, StreamOptions(window, hop, rate, follow))


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
