"""The project's commands: `kedro run` with errors in plain words, and `kedro sweep`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import mlflow
from kedro.framework.cli.project import run as kedro_run

from endline.errors import EndlineError


@contextmanager
def plain_errors() -> Iterator[None]:
    """Tell the sentence of an EndlineError, however deep Kedro has wrapped it, instead of a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        mlflow.end_run("KILLED")
        raise click.ClickException("Interrupted: the same command goes on where it stopped.") from None
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, EndlineError):
            cause = cause.__cause__
        if cause is None:
            raise
        raise click.ClickException(str(cause)) from None


@click.group(name="endline")
def cli() -> None:
    """Commands of endline."""


def _run(**options: Any) -> Any:
    with plain_errors():
        assert kedro_run.callback is not None
        return kedro_run.callback(**options)


cli.add_command(click.Command("run", callback=_run, params=kedro_run.params, help=kedro_run.help))
