"""The project's commands in Kedro: those of `endline.commands`, and `kedro run` with errors in plain words."""

import os
from collections.abc import Iterable, Mapping
from copy import copy
from pathlib import Path
from typing import Any

import click
from kedro import runner as runners
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

from endline.commands import check_env, cli, plain_errors, project_folder
from endline.errors import EndlineError, nearest

__all__ = ["cli", "words_quoted"]  # Kedro looks for `cli` here

# Options of `--params` that are names or paths: a number there is a word (group=007).
PATTERNS = ("unit", "unit_pattern")  # which may begin with a bracket
NAMES = (
    "raw",
    "group",
    "file",
    "format",
    "detector",
    "backbone",
    "weights",
    "domain",
    "section",
    "mlflow_run_id",
    *PATTERNS,
)


def words_quoted(params: str) -> str:
    """`--params` with names and paths quoted, so that Kedro, which reads each value as YAML, takes them as words.

    Args:
        params: `name=value,name=value`; `null` stays what it is, and so does what is quoted already.

    Example:
        >>> words_quoted("raw=2024,mirror_audio.run.group=007,seed=7,weights=null")
        "raw='2024',mirror_audio.run.group='007',seed=7,weights=null"
        >>> words_quoted("unit=[a-z]+([0-9]+)")
        "unit='[a-z]+([0-9]+)'"
    """
    items = []
    for item in params.split(","):
        option, equals, value = item.partition("=")
        word, name = value.strip(), option.strip().rpartition(".")[2]
        plain = not word or word == "null" or word[0] in ("'\"" if name in PATTERNS else "'\"[{")
        if name in NAMES and not plain:
            item = option + equals + "'" + word.replace("'", "''") + "'"
        items.append(item)
    return ",".join(items)


def read_params(text: str) -> dict[str, Any]:
    """The runtime parameters of `--params`, as `kedro run` reads them.

    Example:
        >>> with click.Context(kedro_run):
        ...     read_params("seed=1,group=007")
        {'seed': 1, 'group': '007'}
    """
    option = next(each for each in kedro_run.params if each.name == "params")
    assert option.callback is not None
    return dict(option.callback(click.get_current_context(), option, words_quoted(text)))


def _with_words(option: click.Parameter) -> click.Parameter:
    """The parameter of `kedro run`; that of `--params` quotes names before Kedro reads them."""
    if option.name != "params" or (read := option.callback) is None:
        return option
    changed = copy(option)
    changed.callback = lambda context, parameter, value: read(
        context, parameter, words_quoted(value) if isinstance(value, str) else value
    )
    return changed


def _check(options: Mapping[str, Any]) -> None:
    """Refuse what `kedro run` would answer with a traceback, or pass over: unknown names of its options.

    Raises:
        EndlineError: for an overlay, runner, pipeline, node, tag, data set or namespace that is not there, or a version
            that nothing would read.
    """
    env = options["env"] or os.environ.get("KEDRO_ENV")
    check_env(Path(options["conf_source"] or project_folder() / "conf"), env)
    runner = options["runner"]
    if runner and "." not in runner and not hasattr(runners, runner):
        raise EndlineError(f"There is no runner '{runner}' (--runner): {nearest(runner, runners.__all__)}")
    chosen = Pipeline([])
    for name in options["pipelines"] or [options["pipeline"] or "__default__"]:
        if name not in pipelines.keys():  # noqa: SIM118  # its `in` reads what is loaded already
            known = [each for each in pipelines.keys() if each != "__default__"]  # noqa: SIM118
            raise EndlineError(f"There is no pipeline '{name}': {nearest(name, known)}")
        chosen += pipelines[name]
    try:
        chosen = chosen.filter(
            tags=options["tags"],
            from_nodes=options["from_nodes"],
            to_nodes=options["to_nodes"],
            node_names=options["node_names"],
            from_inputs=options["from_inputs"],
            to_outputs=options["to_outputs"],
            node_namespaces=options["namespaces"],
        )
    except ValueError as error:
        said = str(error).split(". ")[0].rstrip(".")
        raise EndlineError(f"{said}: correct the option, `kedro registry describe` lists the nodes.") from error
    _check_load_versions(options["load_versions"] or (), chosen, options["only_missing_outputs"])


def _check_load_versions(given: Iterable[str], chosen: Pipeline, only_missing: bool) -> None:
    """Refuse names of data sets whose earlier versions nothing would read; a run of all nodes reads none at all."""
    read = chosen.datasets() if only_missing else chosen.inputs()
    known = sorted(name for name in read if not name.startswith("params:") and name != "parameters")
    for name in given:
        if name in known:
            continue
        if name in chosen.datasets():
            raise EndlineError(
                f"The run makes '{name}' itself and reads no earlier version of it (--load-versions): leave it out, or "
                "begin with the nodes behind it (--from-nodes)."
            )
        remedy = nearest(name, known) if known else "leave it out, for this run makes all that it reads."
        raise EndlineError(f"The run reads no data set '{name}' (--load-versions): {remedy}")


def _run(**options: Any) -> Any:
    with plain_errors():
        _check(options)
        assert kedro_run.callback is not None
        return kedro_run.callback(**options)


_PARAMETERS = [_with_words(option) for option in kedro_run.params]
cli.add_command(click.Command("run", callback=_run, params=_PARAMETERS, help=kedro_run.help))
