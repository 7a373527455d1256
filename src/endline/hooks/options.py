"""The hook that refuses misspelt options, and numbers that are none."""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import settings

from endline.dotted import flatten
from endline.errors import EndlineError
from endline.evaluation.thresholds import check_rate
from endline.versions import MLFLOW_RUN, RUN_VERSION

COUNTS = ("folds", "shots")  # numbers that are not set by default
_READ = re.compile(r"\$\{runtime_params:\s*(\w+)(?:\s*,\s*([^,}]+)\})?")  # name, and its default where it is no dict
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?")
ALWAYS_ALLOWED = {MLFLOW_RUN, RUN_VERSION, "mlflow_parent_run_id", "sweep"}


class Options:
    """Refuses options of `--params` that nothing reads, instead of ignoring them, and words where numbers are read.

    Example:
        `kedro run --params=sed=1` ends in "did you mean 'seed'?".
    """

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Compare the given options, dotted ones level by level, with those that the configuration names."""
        loader = context.config_loader
        given = loader.runtime_params or {}
        if not given:
            return
        configured = type(loader)(loader.conf_source, env=loader.env, **settings.CONFIG_LOADER_ARGS)["parameters"]
        folder = Path(context.project_path) / loader.conf_source
        known = ALWAYS_ALLOWED | set(configured)
        read = [found for file in sorted(folder.rglob("*.yml")) for found in _READ.findall(file.read_text())]
        known |= {name for name, _ in read}
        for name in flatten(given):
            _check_option(name.split("."), known, configured)
        _check_numbers(given, read)


def _check_numbers(given: Mapping[str, Any], read: Collection[tuple[str, str]]) -> None:
    """Refuse text for what is a number by all its defaults, before anything is read; `read` has names and defaults."""
    defaults: dict[str, set[bool]] = {name: {True} for name in COUNTS}
    for name, default in read:
        if default and name not in COUNTS:
            defaults.setdefault(name, set()).add(_NUMBER.fullmatch(default.strip()) is not None)
    for name, value in given.items():
        if isinstance(value, str) and defaults.get(name) == {True}:
            raise EndlineError(f"{name}={value} is no number: write one, such as 5 or 0.05 (for 5 %).")
    if isinstance(rate := given.get("false_alarm_rate"), int | float):
        check_rate(rate)


def _check_option(path: list[str], known: Collection[str], configured: Any) -> None:
    for depth, name in enumerate(path):
        if name not in known:
            option = ".".join(path[: depth + 1])
            close = get_close_matches(name, known, 1)
            hint = (
                f"did you mean '{'.'.join([*path[:depth], close[0]])}'?"
                if close
                else f"known are {', '.join(sorted(known))}."
            )
            raise EndlineError(f"Nothing reads the option '{option}' of --params: {hint}")
        configured = configured.get(name) if isinstance(configured, Mapping) else None
        # The settings of a detector are known to its class, which refuses strange ones itself.
        if not isinstance(configured, Mapping) or path[:depth] == ["detectors"]:
            return
        known = set(configured)
