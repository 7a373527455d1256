"""What the commands share: options, errors in plain words, and where the project lies."""

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


def verdict_log_file(project: Path, station: str, wanted: bool | None) -> Path | None:
    """The log of verdicts, where it is wanted; without a word it is in a project, and nowhere else."""
    from endline.operations.verdict_log import log_file

    in_project = (project / "conf").is_dir()
    return log_file(project, station) if (in_project if wanted is None else wanted) else None


def check_names(files: tuple[Path, ...]) -> None:
    """Refuse file names that are no text, before anything is loaded."""
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError as error:
            shown = str(file).encode(errors="backslashreplace").decode()
            raise EndlineError(f"The name of {shown} is not written in UTF-8: rename the file.") from error
