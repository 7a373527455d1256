"""Which published model judges: that of a folder, of a run, of the registry, or the newest of a station."""

import logging
import os
import re
from pathlib import Path
from typing import NamedTuple

import yaml

from endline.errors import EndlineError
from endline.evidence.station import find_station, station_names
from endline.operations.registry import (
    CHAMPION,
    MODEL,
    URI,
    Registered,
    Registry,
    read_reference,
    refusal_of,
    registered_as,
)
from endline.published import ABOUT, PublishedModel

DEFAULT = "mirror_audio"  # the station where none is named
SHOWN = 3  # runs that a refusal names
log = logging.getLogger(__name__)


class Located(NamedTuple):
    """A published model on the disk.

    Attributes:
        folder: of the model.
        registered: which version of the registry it is; None where it is none.

    Example:
        >>> Located(Path("model")).registered
    """

    folder: Path
    registered: Registered | None = None


class Chosen(NamedTuple):
    """The model that judges.

    Attributes:
        folder: of it.
        model: loaded.
        registered: which version of the registry it is; None where it is none.

    Example:
        `chosen_model(Path.cwd(), "mirror_audio", None, None).model.run`
    """

    folder: Path
    model: PublishedModel
    registered: Registered | None = None


def model_folder(source: str | Path, project: Path, env: str | None = None) -> Located:
    """Folder of the published model that a user names.

    Args:
        source: the folder of a published model, or that of its version; the id of a run; the name of a station,
            whose newest model it is then; or one of the registry, `models:/NAME@alias` or `models:/NAME/3`, where
            `NAME@alias` is enough.
        project: the project's folder.
        env: overlay of the configuration, which may name another folder of models, or another registry.

    Raises:
        EndlineError: where there is no such model, as `latest_model` and `Registry.find`.
    """
    text = str(source)
    if text.startswith(URI) or (isinstance(source, str) and "@" in text and not Path(text).exists()):
        return registered_folder(text, project, env)
    if re.match(r"[a-z]+:/", text):
        raise EndlineError(f"{text} is no URI of a registered model: write {URI}NAME@champion, or {URI}NAME/3.")
    return _located(_plain_folder(source, project, env))


def registered_folder(text: str, project: Path, env: str | None = None) -> Located:
    """Folder of a model of the registry, by `NAME@alias` or `NAME/3`; errors as `Registry.find`."""
    wanted = read_reference(text)
    registry = Registry.of(project, env)
    registered, version = registry.find(wanted)
    return Located(registry.files(version) / MODEL, registered)


def _located(folder: Path) -> Located:
    return Located(folder, registered_as(folder))


def _plain_folder(source: str | Path, project: Path, env: str | None) -> Path:
    text = str(source)
    for folder in (Path(text), Path(text) / "model"):
        if (folder / ABOUT).is_file():
            return folder
    if isinstance(source, Path) or os.sep in text:
        raise EndlineError(f"{text} is no folder of a published model, it has no {ABOUT}: correct the path.")
    if text in station_names():
        return _newest(project, text, env)
    return model_of_run(project, text, env)


def chosen_model(
    project: Path, station: str | None, run: str | None, env: str | None, name: str | None = None
) -> Chosen:
    """The model of the options `--station`, `--run` and `--model`, of which one is enough; `DEFAULT` without any.

    Args:
        project: the project's folder.
        station: its name; None where it was not given.
        run: as `model_folder` takes its source; None for the newest of the station.
        env: overlay of the configuration.
        name: of a model of the registry, `NAME@alias` or `NAME/3`; None for none.

    Raises:
        EndlineError: as `model_folder` and `PublishedModel.load`, for a model of another station, and for both a run
            and a model of the registry.
    """
    if run and name:
        raise EndlineError("--run and --model both name the model that judges: give one of them.")
    if name:
        located = registered_folder(name, project, env)
    elif run:
        located = model_folder(run, project, env)
    else:
        located = _located(_newest(project, station or DEFAULT, env))
    model = PublishedModel.load(located.folder)
    if station is not None and find_station(station).name != model.station:
        given = f"model {name}" if name else f"run {run}"
        raise EndlineError(f"The {given} is of the station {model.station}: leave out --station={station}.")
    return Chosen(located.folder, model, located.registered)


def _newest(project: Path, station: str, env: str | None) -> Path:
    """The newest model of a station; where it was judged and is no champion, that is said."""
    folder = latest_model(project, station, env)
    if (refused := refusal_of(folder)) and (known := registered_as(folder)):
        log.warning(
            "Beware: the newest model, %s, judges, and `endline promote` has not let it be champion (%s): "
            "--model=%s@%s judges by the champion.",
            known.label, refused, known.name, CHAMPION,
        )  # fmt: skip
    return folder


def models_root(project: Path, station: str, env: str | None = None) -> Path:
    """Folder of the versions of a station's published models.

    Raises:
        EndlineError: for an unknown station, and where no catalog names the folder.
    """
    find_station(station)
    return _root(_template(project, env), project, station)


def _template(project: Path, env: str | None) -> str:
    # Read as plain YAML: Kedro's own loader takes longer to import than a verdict does.
    files = [project / "conf" / name / "catalog.yml" for name in ("base", env) if name is not None]
    entries = [yaml.safe_load(file.read_text()).get("{station}.model") for file in files if file.exists()]
    named = [str(entry["filepath"]) for entry in entries if entry]
    if not named:
        raise EndlineError(f"{project} has no catalog that names the model: call this in the project's folder.")
    return named[-1]


def _root(template: str, project: Path, station: str) -> Path:
    return project / template.replace("{station}", station)


def model_of_run(project: Path, run: str, env: str | None = None) -> Path:
    """Folder of the published model of a run, of whatever station.

    Args:
        project: the project's folder.
        run: id of the run, which is the version of its outputs, such as `2026-11-27T19.15.30.326Z`.
        env: overlay of the configuration.

    Raises:
        EndlineError: when no run of this id has published a model.
    """
    template = _template(project, env)
    roots = [_root(template, project, station) for station in station_names()]
    for root in roots:
        if (root / run / root.name / ABOUT).is_file():
            return root / run / root.name
    known = sorted({path.parent.parent.name for root in roots for path in root.glob(f"[!.]*/{root.name}/{ABOUT}")})
    if not known:
        raise EndlineError(f"There is no run '{run}', nor any that has published a model: run `kedro run` first.")
    raise EndlineError(
        f"There is no run or station '{run}' with a published model: the newest runs are "
        f"{', '.join(known[: -SHOWN - 1 : -1])}."
    )


def latest_model(project: Path, station: str, env: str | None = None) -> Path:
    """Folder of the newest published model of a station.

    Args:
        project: the project's folder.
        station: its name.
        env: overlay of the configuration, which may name another folder.

    Raises:
        EndlineError: for an unknown station, when no run has been finished yet, and when the newest model has lost its
            `model.json`: an older one would judge in its stead, and nobody would know.
    """
    path = models_root(project, station, env)
    for version in sorted(path.glob("[!.]*"), reverse=True):
        model = version / path.name
        if (model / ABOUT).exists():
            return model
        # A run that goes on, or was killed, has no such folder: it appears in one step, whole. Asked last, for pruning
        # may have removed it meanwhile.
        if os.path.lexists(model):
            raise EndlineError(
                f"The newest published model, {model}, is damaged, it has lost {ABOUT}: run "
                f"`kedro run --pipeline={station}` again, or remove {version} to judge by the model before it."
            )
    raise EndlineError(f"There is no fitted detector yet: run `kedro run --pipeline={station}` first.")
