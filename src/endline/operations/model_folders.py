"""Which published model judges: that of a folder, of a run, or the newest of a station."""

import os
import re
from pathlib import Path

import yaml

from endline.errors import EndlineError
from endline.evidence.station import find_station, station_names
from endline.published import ABOUT, PublishedModel

DEFAULT = "mirror_audio"  # the station where none is named
SHOWN = 3  # runs that a refusal names


def model_folder(source: str | Path, project: Path, env: str | None = None) -> Path:
    """Folder of the published model that a user names.

    Args:
        source: the folder of a published model, or that of its version; the id of a run; or the name of a station,
            whose newest model it is then.
        project: the project's folder.
        env: overlay of the configuration, which may name another folder of models.

    Raises:
        EndlineError: where there is no such model, as `latest_model`, and for the URI of a registry.
    """
    text = str(source)
    if re.match(r"[a-z]+:/", text):
        raise EndlineError(
            f"{text} is a URI of MLflow, whose registry is not read yet: give the id of a run, the folder of a "
            "published model, or the name of a station."
        )
    for folder in (Path(text), Path(text) / "model"):
        if (folder / ABOUT).is_file():
            return folder
    if isinstance(source, Path) or os.sep in text:
        raise EndlineError(f"{text} is no folder of a published model, it has no {ABOUT}: correct the path.")
    if text in station_names():
        return latest_model(project, text, env)
    return model_of_run(project, text, env)


def chosen_model(project: Path, station: str | None, run: str | None, env: str | None) -> tuple[Path, PublishedModel]:
    """Folder and model of the options `--station` and `--run`, of which one is enough; `DEFAULT` without both.

    Args:
        project: the project's folder.
        station: its name; None where it was not given.
        run: as `model_folder` takes its source; None for the newest of the station.
        env: overlay of the configuration.

    Raises:
        EndlineError: as `model_folder` and `PublishedModel.load`, and for a run of another station.
    """
    folder = model_folder(run, project, env) if run else latest_model(project, station or DEFAULT, env)
    model = PublishedModel.load(folder)
    if station is not None and find_station(station).name != model.station:
        raise EndlineError(f"The run {run} is of the station {model.station}: leave out --station={station}.")
    return folder, model


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
