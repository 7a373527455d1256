"""Remove the outputs of old runs: their versions, arrays that no run refers to any more, their artifacts in MLflow."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.config import AbstractConfigLoader

from endline.errors import EndlineError
from endline.evidence.station import find_station, station_names
from endline.files import clear_partials, discard, locked
from endline.operations.decisions import BEFORE
from endline.operations.registry import Registry
from endline.operations.sweep.resolved import configuration
from endline.published import ABOUT
from endline.tracking import (
    PRUNED,
    SQLITE,
    VERSION,
    all_runs,
    artifact_folder,
    claimed_versions,
    local_folder,
    tracked_in,
    versions_of,
)
from endline.versions import RUNS_LOCK, versioned_folders

if TYPE_CHECKING:  # importing it takes seconds
    from mlflow import MlflowClient

REGISTERED = "registered model "  # how the artifacts of one are told from those of a run


@dataclass(frozen=True)
class Pruning:
    """What goes, and why other things stay.

    Attributes:
        versions: station and version of a run -> the folders of its outputs.
        arrays: files of the store that no kept run refers to.
        artifacts: id of an MLflow run, or of a registered model -> the folder of its artifacts.
        size: bytes that become free; a file with several names counts once, and only if all of them go.
        notes: sentences on what stays though it is old.

    Example:
        >>> Pruning({}, (), {}, 0, ()).lines()
        ['Nothing to remove.']
    """

    versions: Mapping[tuple[str, str], tuple[Path, ...]]
    arrays: tuple[Path, ...]
    artifacts: Mapping[str, Path]
    size: int
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """What goes, in words."""
        runs = [f"{' '.join(run)}: {len(folders)} outputs" for run, folders in sorted(self.versions.items())]
        arrays = sum(path.suffix == ".npy" for path in self.arrays)
        count = f"{len(runs)} runs, {arrays} arrays, artifacts of {len(self.artifacts)} MLflow runs"
        total = f"{count}: {self.size:,} bytes"
        return [*runs, *self.notes, total if runs or self.arrays or self.artifacts else "Nothing to remove."]


def prune(
    project: Path, keep: int, *, station: str | None = None, env: str | None = None, dry: bool = False
) -> Pruning:
    """Remove what belongs to runs older than the newest `keep` whole runs of a station.

    A run is whole when it has published its model, which it does last; the one that `inspect` reads always stays, and
    so do younger runs that ended early, since somebody may look into them. While a run goes on, arrays stay, and so do
    its outputs, those that it reads, and those of all runs that have not come to their end. A run whose model is the
    challenger, or is or was champion, stays.

    Args:
        project: the project's folder.
        keep: whole runs of each station that stay, at least 1.
        station: name of the one whose runs go; None: each.
        env: overlay of the configuration, which may name other folders.
        dry: remove nothing.

    Returns:
        what goes, or has gone.

    Raises:
        EndlineError: for an unknown station, or a feature set that cannot be read and so hides which arrays it needs.
    """
    names = station_names() if station is None else [find_station(station).name]
    loader = configuration(project, env, {})
    with ExitStack() as held:
        try:
            held.enter_context(locked(project / RUNS_LOCK, "busy"))
            alone = True
        except EndlineError:
            alone = False
        pruning, client = _plan(project, loader, names, keep, alone)
        if not dry:
            _carry_out(pruning, client, _folders(project, loader, station_names()).values())
    return pruning


def _plan(
    project: Path, loader: AbstractConfigLoader, stations: Iterable[str], keep: int, alone: bool
) -> tuple[Pruning, "MlflowClient | None"]:
    client, experiment = _tracking(loader)
    runs = [] if client is None or experiment is None else list(all_runs(client, experiment))
    claimed = claimed_versions(runs)
    models, in_use = ({}, set()) if client is None else _registered(Registry(project, client.tracking_uri))
    versions: dict[tuple[str, str], tuple[Path, ...]] = {}
    notes = set()
    for name in stations:
        folders = _folders(project, loader, [name])
        kept = _versions(folders.values())
        model = folders.get(f"{name}.model", project / "none")
        whole = sorted(version for version in kept if (model / version / model.name / ABOUT).exists())
        for version in sorted(kept):
            if len(whole) < keep or version >= whole[-keep]:
                continue
            if version in in_use:
                notes.add(f"{name} {version} stays: its model is, or was, champion, or is the challenger.")
                continue
            if version in claimed or not (alone or version in whole):
                notes.add(f"{name} {version} stays: a run goes on, which writes or reads it.")
                continue
            versions[name, version] = tuple(kept[version])
    every = _folders(project, loader, station_names())
    removed = {folder for folders in versions.values() for folder in folders}
    left = {version for version, folders in _versions(every.values()).items() if not removed.issuperset(folders)}
    gone = {version for _, version in versions} - left
    if not alone:
        notes.add("The arrays stay: a run goes on.")
    arrays = _unused_arrays(project, loader["catalog"], every, removed) if alone else ()
    artifacts: dict[str, Path] = {}
    for run in runs:
        if (own := versions_of(run)) and own <= gone:
            folder = artifact_folder(run)
            # A copied project still names the folders of the one that it was copied from.
            if folder is None or not folder.resolve().is_relative_to(project.resolve()):
                notes.add(
                    f"The artifacts of the MLflow run {run.info.run_id} stay: {run.info.artifact_uri} is elsewhere."
                )
            elif folder.exists():
                artifacts[run.info.run_id] = folder
    for version in gone & models.keys():
        for folder in models[version]:
            if folder.resolve().is_relative_to(project.resolve()) and folder.exists():
                artifacts[f"{REGISTERED}{folder.parent.name}"] = folder
    size = _freed([*removed, *arrays, *artifacts.values()])
    return Pruning(versions, arrays, artifacts, size, tuple(sorted(notes))), client


def _carry_out(pruning: Pruning, client: "MlflowClient | None", folders: Iterable[Path]) -> None:
    """Remove: the artifacts first, for a run whose versions are gone is not found again after a kill."""
    for run, folder in pruning.artifacts.items():
        clear_partials(folder.parent)
        discard(folder)
        if client is not None and not run.startswith(REGISTERED):
            client.set_tag(run, PRUNED, "its artifacts were removed by `endline prune`")
    for folder in {each.parent for gone in pruning.versions.values() for each in gone} | set(folders):
        clear_partials(folder)  # of a prune that was killed
    for gone in pruning.versions.values():
        for each in gone:
            discard(each)
    for file in sorted(pruning.arrays, key=lambda path: path.suffix):  # the note first: without it there is no array
        file.unlink(missing_ok=True)


def _tracking(loader: AbstractConfigLoader) -> tuple["MlflowClient | None", str | None]:
    """Client of MLflow and id of the project's experiment, without making either."""
    settings = loader["mlflow"]
    uri = settings["server"]["mlflow_tracking_uri"]
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():
        return None, None
    return tracked_in(settings)


def _registered(registry: Registry) -> tuple[dict[str, list[Path]], set[str]]:
    """Folders of the registered models of each run, and the runs whose models are in use."""
    folders: dict[str, list[Path]] = {}
    in_use: set[str] = set()
    for name in registry.names():
        named = set(registry.aliases(name).values())
        for version in registry.versions(name):
            run = version.tags.get(VERSION, "")
            if int(version.version) in named or version.tags.get(BEFORE) is not None:
                in_use.add(run)
            if (folder := local_folder(registry.location(version))) is not None:
                folders.setdefault(run, []).append(folder)
    return folders, in_use


def _folders(project: Path, loader: AbstractConfigLoader, stations: Iterable[str]) -> dict[str, Path]:
    return {name: project / path for name, path in versioned_folders(loader["catalog"], stations).items()}


def _versions(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """Version -> its folders in those of the datasets."""
    found: dict[str, list[Path]] = {}
    for folder in folders:
        for path in folder.glob("[!.]*"):
            if path.is_dir():
                found.setdefault(path.name, []).append(path)
    return found


def _unused_arrays(
    project: Path, catalog: Mapping[str, Any], folders: Mapping[str, Path], removed: set[Path]
) -> tuple[Path, ...]:
    """Files of the stores that no feature set outside `removed` refers to."""
    stores: set[Path] = set()
    used: set[str] = set()
    for name, folder in folders.items():
        entry = catalog.get(name) or catalog["{station}." + name.partition(".")[2]]
        if (store := entry.get("dataset", {}).get("store")) is None:
            continue
        stores.add(project / store)
        for version in set(folder.glob("[!.]*")) - removed:
            if (pointer := version / folder.name).exists():
                used |= _keys(pointer)
    files = [path for store in stores for path in store.glob("[!.]*") if path.suffix in (".npy", ".json")]
    return tuple(sorted(path for path in files if path.stem not in used))


def _keys(pointer: Path) -> set[str]:
    try:
        return {key for keys in json.loads(pointer.read_text())["arrays"].values() for key in keys}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EndlineError(
            f"{pointer} cannot be read ({error}), and so nobody knows which arrays it needs: remove its folder first."
        ) from error


def _freed(paths: Iterable[Path]) -> int:
    """Bytes that removing files and folders makes free."""
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    names: Counter[tuple[int, int]] = Counter()
    for path in paths:
        for file in [path, *path.rglob("*")]:
            if file.is_file():
                about = file.stat()
                names[about.st_dev, about.st_ino] += 1
                sizes[about.st_dev, about.st_ino] = about.st_size, about.st_nlink
    return sum(size for inode, (size, links) in sizes.items() if names[inode] >= links)
