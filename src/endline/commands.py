"""The commands `inspect`, `stream`, `sweep` and `prune`, as `endline ...` or `kedro ...`, with errors in plain words.

`endline` starts seconds sooner, for Kedro imports all plugins before a command. What a command needs is imported in it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from endline.errors import EndlineError, cause_of, nearest


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
@click.option("--env", "-e", help="Overlay of the configuration: paper, smoke.")
@click.option("--fresh", is_flag=True, help="Run all anew, finished runs too.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Runs at once; they share the cores."
)
def sweep(name: str, raw: Path | None, env: str | None, fresh: bool, workers: int) -> None:
    """Run the grid NAME of conf/base/sweeps.yml or benchmarks/sweeps.yml; goes on where it stopped."""
    from endline.operations.sweep.command import run_sweep

    with plain_errors():
        check_env(project_folder() / "conf", env)
        run_sweep(name, project_folder(), raw=raw, env=env, fresh=fresh, workers=workers)


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--station", default="mirror_audio", show_default=True, help="Whose latest run judges.")
@click.option("--env", "-e", help="Overlay of the configuration: paper, smoke.")
def inspect(files: tuple[Path, ...], station: str, env: str | None) -> None:
    """Judge new FILES (recordings, photographs, cycles) with the detector of the station's latest run."""
    from endline.operations.inspection import Inspector

    with plain_errors():
        _check_names(files)
        check_env(project_folder() / "conf", env)
        inspector = Inspector.of_latest_run(project_folder(), station, env=env)
        judged, refused = 0, 0
        for file in files:
            try:
                for name, verdict in inspector.inspect_each(file):
                    judged += 1
                    if isinstance(verdict, EndlineError):  # one bad cycle of a table keeps no other from its verdict
                        refused += 1
                        click.echo(f"NONE       {verdict}", err=True)
                        continue
                    word = "ANOMALOUS" if verdict["flagged"] else "normal"
                    click.echo(f"{word:9}  score {verdict['score']:8.3f}  p {verdict['p_value']:.4f}  {name}")
            except EndlineError as problem:  # nor does a bad file
                if len(files) == 1:
                    raise
                judged, refused = judged + 1, refused + 1
                click.echo(f"NONE       {problem}", err=True)
        if reason := inspector.model.calibration.rate_reason:
            click.echo(f"Beware: {reason}. Verdicts keep the rate that can be promised: record more good parts.")
        if refused:
            items = "files" if judged == len(files) else "items"
            raise EndlineError(f"{refused} of {judged} {items} have no verdict, see above: they are not normal.")


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--station", default="robot_cycle", show_default=True, help="Whose latest run judges.")
@click.option("--window", type=int, help="Steps of a cycle whose mean score is one window's [default: 16].")
@click.option("--hop", type=float, help="From one window to the next: steps [default: 8], or seconds of a recording.")
@click.option("--rate", type=float, help="Stated rate of false alarms: a cycle [default: 0.05], or a window.")
@click.option("--env", "-e", help="Overlay of the configuration: paper, smoke.")
def stream(
    file: Path, station: str, window: int | None, hop: float | None, rate: float | None, env: str | None
) -> None:
    """Judge FILE window by window, with an alarm: a cycle as if it were running, or a recording of hours."""
    from endline.operations.inspection import latest_model
    from endline.operations.stream_command import opened
    from endline.published import PublishedModel

    with plain_errors():
        _check_names((file,))
        project = project_folder()
        check_env(project / "conf", env)
        running = opened(PublishedModel.load(latest_model(project, station, env)), file, window, hop, rate)
        click.echo(f"alarm on above {running.hysteresis.on:.3f}, off at {running.hysteresis.off:.3f}")
        click.echo(running.promise)
        if running.reason:
            click.echo(
                f"Beware: {running.reason}. Verdicts keep the rate that can be promised: record more good parts."
            )
        refused = 0
        for verdict in running.verdicts:
            where = running.where(verdict)
            if verdict.problem:
                refused += 1
                click.echo(f"NONE   {where}  {verdict.problem}", err=True)
                continue
            word = "ALARM" if verdict.alarm else "     "
            click.echo(f"{word}  {where}  score {verdict.score:8.3f}  {verdict.milliseconds:6.1f} ms")
        if refused:
            raise EndlineError(f"{refused} windows of {file} have no verdict, see above: they are not normal.")


@cli.command()
@click.option("--keep", type=click.IntRange(1), required=True, help="Newest whole runs of each station that stay.")
@click.option("--station", help="Remove runs of this station alone.")
@click.option("--env", "-e", help="Overlay of the configuration: paper, smoke.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
def prune(keep: int, station: str | None, env: str | None, dry_run: bool) -> None:
    """Remove the outputs of old runs: versions, arrays that no run refers to any more, artifacts in MLflow."""
    from kedro.framework.project import configure_project

    from endline.operations.pruning import prune as remove

    with plain_errors():
        configure_project("endline")
        for line in remove(project_folder(), keep, station=station, env=env, dry=dry_run).lines():
            click.echo(line)
        if dry_run:
            click.echo("Nothing was removed: leave out --dry-run.")
