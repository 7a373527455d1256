"""The project's commands in Kedro: those of `endline.commands`, and `kedro run` with errors in plain words."""

from copy import copy
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from endline.commands import cli, plain_errors

__all__ = ["cli", "words_quoted"]  # Kedro looks for `cli` here

# Options of `--params` that are names or paths: a number there is a word (group=007).
NAMES = ("raw", "group", "file", "format", "detector", "backbone", "weights", "domain", "section", "unit")


def words_quoted(params: str) -> str:
    """`--params` with names and paths quoted, so that Kedro, which reads each value as YAML, takes them as words.

    Args:
        params: `name=value,name=value`; `null` stays what it is, and so does what is quoted already.

    Example:
        >>> words_quoted("raw=2024,mirror_audio.run.group=007,seed=7,weights=null")
        "raw='2024',mirror_audio.run.group='007',seed=7,weights=null"
    """
    items = []
    for item in params.split(","):
        option, equals, value = item.partition("=")
        word = value.strip()
        plain = not word or word == "null" or word[0] in "'\"[{"
        if option.strip().rpartition(".")[2] in NAMES and not plain:
            item = option + equals + "'" + word.replace("'", "''") + "'"
        items.append(item)
    return ",".join(items)


def _with_words(option: click.Parameter) -> click.Parameter:
    """The parameter of `kedro run`; that of `--params` quotes names before Kedro reads them."""
    if option.name != "params" or (read := option.callback) is None:
        return option
    changed = copy(option)
    changed.callback = lambda context, parameter, value: read(
        context, parameter, words_quoted(value) if isinstance(value, str) else value
    )
    return changed


def _run(**options: Any) -> Any:
    with plain_errors():
        assert kedro_run.callback is not None
        return kedro_run.callback(**options)


_PARAMETERS = [_with_words(option) for option in kedro_run.params]
cli.add_command(click.Command("run", callback=_run, params=_PARAMETERS, help=kedro_run.help))
