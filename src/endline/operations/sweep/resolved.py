"""What a run will compute, before it starts: its resolved settings, their digest, and whether its weights are there."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from kedro.config import AbstractConfigLoader
from kedro.framework.project import settings

from endline.backbones.architectures import ARCHITECTURES
from endline.backbones.networks import load_backbone
from endline.detectors.candidates import AUTO
from endline.detectors.registry import build_detector
from endline.errors import EndlineError

# Settings of `<station>.run` that change no figure: the raw files have a digest of their own, and a device gives the
# same scores within rounding.
NO_FIGURE = {"raw", "title", "checkpoints", "store", "device"}


def configuration(project: Path, env: str | None, parameters: Mapping[str, Any]) -> AbstractConfigLoader:
    """The project's configuration with runtime parameters."""
    loader: AbstractConfigLoader = settings.CONFIG_LOADER_CLASS(
        conf_source=str(project / settings.CONF_SOURCE),
        env=env,
        runtime_params=dict(parameters),
        **settings.CONFIG_LOADER_ARGS,
    )
    return loader


def default_detector(project: Path, station: str) -> str | None:
    """Name of the detector that a station takes by `conf/base` alone; None for a station without one."""
    known = configuration(project, "base", {})["parameters"].get(station, {})
    name: str | None = known.get("run", {}).get("detector")
    return name


def settings_content(project: Path, env: str | None, station: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Everything in the configuration that can change the figures of a run.

    That is the station's resolved parameters and the settings of its detector, defaults of the code included; not
    the class that holds them (it may move), not the number of exhibits, and the number of views only where the
    detector reads views.

    Returns:
        `station`, `settings` (group -> settings of the station's parameters) and `detector` (its settings).
    """
    resolved = configuration(project, env, parameters)["parameters"]
    own = {key: value for key, value in resolved.get(station, {}).items() if key != "exhibits"}
    own["run"] = {key: value for key, value in own.get("run", {}).items() if key not in NO_FIGURE}
    name, detectors = own["run"].get("detector", ""), resolved.get("detectors", {})
    auto = own.pop("auto", None)
    if name == AUTO:
        named = {each: detectors.get(each, {}) for each in (auto or {}).get("candidates", ())}
        return {"station": station, "settings": {**own, "auto": auto}, "detector": named}
    try:
        detector = build_detector(name, detectors)
        config = asdict(detector.config)
        if "views" not in (*detector.required, *detector.optional):
            own = {group: _without(values, "views") for group, values in own.items()}
    except EndlineError:  # the run itself will say so
        config = _without(detectors.get(name, {}), "type")
    return {"station": station, "settings": own, "detector": config}


def settings_digest(project: Path, env: str | None, station: str, parameters: Mapping[str, Any]) -> str:
    """Digest (16 hexadecimal digits) of `settings_content`: equal settings, equal digest, wherever classes lie."""
    return digest(settings_content(project, env, station, parameters))


def digest(content: Mapping[str, Any]) -> str:
    """Digest of what `settings_content` gives.

    Example:
        >>> digest({"station": "a", "detector": {}}) == digest({"detector": {}, "station": "a"})
        True
    """
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def missing_weights(project: Path, env: str | None, station: str, parameters: Mapping[str, Any]) -> str | None:
    """Why the run's backbone cannot be had, in the words of its EndlineError; None when it can, or is unknown."""
    for group in configuration(project, env, parameters)["parameters"].get(station, {}).values():
        if isinstance(group, Mapping) and group.get("backbone") in ARCHITECTURES:
            return _missing(group["backbone"], group.get("weights"))
    return None


@cache
def _missing(backbone: str, weights: str | None) -> str | None:
    try:
        load_backbone(backbone, weights)
    except EndlineError as error:
        return str(error)
    return None


def _without(values: Any, name: str) -> Any:
    return {key: value for key, value in values.items() if key != name} if isinstance(values, Mapping) else values
