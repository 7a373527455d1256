"""Where sweeps are described: the user's in `conf/<env>/sweeps.yml`, the project's own in `benchmarks/sweeps.yml`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kedro.config import MissingConfigException

from endline.errors import EndlineError
from endline.operations.sweep.grid import Sweep, parse_sweep
from endline.operations.sweep.joined import JoinedSweep, parse_joined
from endline.operations.sweep.resolved import configuration

USERS = "conf/base/sweeps.yml"
PROJECTS = "benchmarks/sweeps.yml"
OVERLAYS = "overlays"  # key of a description: env -> what differs there, group by group
log = logging.getLogger(__name__)


def find_sweep(name: str, project: Path, env: str | None = None) -> Sweep:
    """The sweep of a name; the user's own where both files have it, with a warning.

    Args:
        name: of the sweep.
        project: the project's folder; an installed one may have no `benchmarks` folder.
        env: overlay of the configuration: `conf/<env>/sweeps.yml` is laid over the user's, and `overlays` of a
            description over the rest of it.

    Raises:
        EndlineError: for an unknown name, with those of both files, and for a wrong description.
    """
    description, file = _described(name, project, env)
    if isinstance(description, Mapping) and OVERLAYS in description:
        rest = {key: value for key, value in description.items() if key != OVERLAYS}
        description = laid_over(rest, description[OVERLAYS].get(env, {}))
    return parse_sweep(name, description, file)


def find_joined(name: str, project: Path, env: str | None = None) -> JoinedSweep | None:
    """The joined sweep of a name, one whose description has `of`; None where the name is that of a sweep of one set.

    Raises:
        EndlineError: as `find_sweep`.
    """
    description, file = _described(name, project, env)
    joins = isinstance(description, Mapping) and "of" in description
    return parse_joined(name, description, file) if joins else None


def _described(name: str, project: Path, env: str | None) -> tuple[Any, str]:
    """Description of a sweep and the file that it stands in."""
    files = {USERS: users(project, env), PROJECTS: projects(project)}
    own = [file for file, descriptions in files.items() if name in descriptions]
    if not own:
        known = "; ".join(f"{', '.join(names)} ({file})" for file, names in files.items() if names)
        raise EndlineError(f"There is no sweep '{name}': choose one of {known or 'none, as no file describes any'}.")
    if len(own) > 1:
        log.warning("The sweep '%s' is described in %s and in %s: the first is taken.", name, *own)
    return files[own[0]][name], own[0]


def users(project: Path, env: str | None = None) -> dict[str, Any]:
    """The user's own sweeps: name -> description; none without a file."""
    try:
        return dict(configuration(project, env, {})["sweeps"])
    except MissingConfigException:
        return {}


def projects(project: Path) -> dict[str, Any]:
    """The sweeps behind the published tables: name -> description; none in a project without benchmarks.

    Raises:
        EndlineError: for a file that is no YAML mapping.
    """
    file = project / PROJECTS
    if not file.exists():
        return {}
    try:
        return dict(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise EndlineError(f"{file} cannot be read as YAML ({' '.join(str(error).split())}): correct it.") from error


def laid_over(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with the values of another laid over it, group by group.

    Example:
        >>> laid_over({"grid": {"a": [1], "seed": [0]}, "rows": ["a"]}, {"grid": {"seed": [0, 1]}})
        {'grid': {'a': [1], 'seed': [0, 1]}, 'rows': ['a']}
    """
    merged = dict(base)
    for key, value in overlay.items():
        own = merged.get(key)
        merged[key] = laid_over(own, value) if isinstance(own, Mapping) and isinstance(value, Mapping) else value
    return merged
