"""Versions of a project's outputs: each run has one of its own, saves under it, and reads nobody else's."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from kedro.framework.session.store import BaseSessionStore
from kedro.io import AbstractVersionedDataset, DataCatalog
from kedro.io.core import VERSION_FORMAT, Version, generate_timestamp

from endline.errors import EndlineError
from endline.files import discard, locked, write_whole

RUNS_LOCK = Path("mlruns/runs.lock")  # shared by the runs that go on in a project
# Options of `--params` by which several processes, one after the other, make one run.
RUN_VERSION, MLFLOW_RUN = "run_version", "mlflow_run_id"
PATTERN = r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{3}Z"
Dataset = AbstractVersionedDataset[Any, Any]


def new_version(project: Path, wanted: str | None = None) -> str:
    """A version (UTC to the millisecond) later than every other that was given in the project, by any process.

    Args:
        project: the project's folder; it remembers the last version in `mlruns/last_version`.
        wanted: the version to take if it is later than the last one; None: the time.

    Example:
        >>> import tempfile
        >>> project = Path(tempfile.mkdtemp())
        >>> [new_version(project, "2026-01-01T00.00.00.000Z") for _ in range(2)]
        ['2026-01-01T00.00.00.000Z', '2026-01-01T00.00.00.001Z']
    """
    file = project / "mlruns" / "last_version"
    with locked(project / "mlruns" / ".version.lock"):
        version, last = wanted or generate_timestamp(), file.read_text() if file.exists() else ""
        if version <= last:
            version = _next(last)
        write_whole(file, version)
    return version


def _next(version: str) -> str:
    later = datetime.strptime(version, VERSION_FORMAT) + timedelta(milliseconds=1)
    return later.strftime(VERSION_FORMAT)[:-4] + "Z"


class RunVersion(BaseSessionStore):
    """Kedro's record of a session, which keeps the session's version to this session.

    Kedro names a session by the time to a millisecond, which two can share. A name that is set later, as a sweep does,
    is kept, and so is the one that `--params=run_version=...` gives: several processes make one run then.

    Example:
        `SESSION_STORE_CLASS = RunVersion` in `settings.py`.
    """

    def update(self, *given: Any, **named: Any) -> None:
        """Take the facts of a new session, its name later than that of every other, or the one that was begun.

        Raises:
            EndlineError: for a version that no `endline begin` has given, or one without its MLflow run.
        """
        super().update(*given, **named)
        if dict(*given, **named).get("session_id") == self._session_id:
            project, begun = Path(self["project_path"]), begun_version(self.get("runtime_params"))
            if begun is not None:
                _check_begun(project, begun, self["runtime_params"].get(MLFLOW_RUN))
            self["session_id"] = begun or new_version(project, self._session_id)


def begun_version(parameters: Mapping[str, Any] | None) -> str | None:
    """Version of the run that a process goes on with, by its runtime parameters; None where it is a run of its own.

    Example:
        >>> begun_version({"run_version": "2026-01-01T00.00.00.000Z"}), begun_version(None)
        ('2026-01-01T00.00.00.000Z', None)
    """
    version = (parameters or {}).get(RUN_VERSION)
    return None if version is None else str(version)


def _check_begun(project: Path, version: str, mlflow_run: Any) -> None:
    file = project / "mlruns" / "last_version"
    if not re.fullmatch(PATTERN, version) or version > (file.read_text() if file.exists() else ""):
        raise EndlineError(
            f"No run was begun as '{version}' ({RUN_VERSION}): take the version that `endline begin` gave."
        )
    if mlflow_run is None:
        raise EndlineError(
            f"{RUN_VERSION}={version} needs its MLflow run: give the {MLFLOW_RUN} of `endline begin` too."
        )


def versioned_folders(catalog: Mapping[str, Any], stations: Iterable[str]) -> dict[str, Path]:
    """Folder of the versions of every versioned dataset of some stations: dataset -> folder.

    Args:
        catalog: the catalog's entries as configured, `{station}` in names and paths.
        stations: names.

    Example:
        >>> entry = {"versioned": True, "filepath": "data/{station}/scores.parquet"}
        >>> versioned_folders({"{station}.scores": entry}, ["mirror_audio"])
        {'mirror_audio.scores': PosixPath('data/mirror_audio/scores.parquet')}
    """
    entries = {name: entry for name, entry in catalog.items() if isinstance(entry, Mapping) and entry.get("versioned")}
    return {
        name.replace("{station}", station): Path(str(entry["filepath"]).replace("{station}", station))
        for station in stations
        for name, entry in entries.items()
    }


def pin_versions(
    catalog: DataCatalog,
    *,
    outputs: Collection[str],
    inputs: Collection[str],
    given: Mapping[str, str],
    tell: Callable[[str], None],
    begun: bool = False,
) -> None:
    """Let a run load what it saves, and what it does not save from one earlier run.

    Kedro loads the newest version of each dataset at the moment of loading: another run's that has ended meanwhile, or
    those of several runs.

    Args:
        catalog: of the run; its datasets are changed.
        outputs: what the run saves.
        inputs: what it loads and does not save.
        given: versions that the user has named, dataset -> version; they are left alone.
        tell: is told which run the inputs come from.
        begun: the run was begun by other processes, which have saved its inputs: those of no other run will do.

    Raises:
        EndlineError: when no run has all inputs, or none has saved a version that the user has named.
    """
    for dataset in _versioned(catalog, outputs).values():
        save = dataset.resolve_save_version()
        dataset._version = Version(save, save)
    read = _versioned(catalog, inputs)
    for name in read.keys() & given:
        _check_given(name, given[name], _kept(read[name]))
    wanted = {name: dataset for name, dataset in read.items() if name not in given}
    if not wanted:
        return
    if begun:
        version = _own_version(wanted)
    else:
        version = run_with_all({name: _kept(dataset) for name, dataset in wanted.items()}, list(given.values()))
        tell(version)
    for dataset in wanted.values():
        dataset._version = Version(version, dataset.resolve_save_version())


def _own_version(read: Mapping[str, Dataset]) -> str:
    """The run's own version, once all that a part of it reads is there."""
    missing = [name for name, dataset in read.items() if not _own_path(dataset).exists()]
    version = str(next(iter(read.values())).resolve_save_version())
    if missing:
        raise EndlineError(
            f"The run {version} has not made {', '.join(missing)} yet, which this part of it reads: run the parts "
            "before it first."
        )
    return version


def clear_outputs(catalog: DataCatalog, names: Iterable[str]) -> None:
    """Remove what a killed process has saved of a node's outputs, for Kedro saves no version twice.

    Args:
        catalog: of a run that several processes make.
        names: outputs of a node that is about to run.
    """
    for dataset in _versioned(catalog, names).values():
        if (path := _own_path(dataset)).exists():
            discard(path)


def saved_outputs(catalog: DataCatalog, names: Iterable[str]) -> set[str]:
    """The versioned outputs that the run has saved already, in this process or an earlier one."""
    return {name for name, dataset in _versioned(catalog, names).items() if _own_path(dataset).exists()}


def _own_path(dataset: Dataset) -> Path:
    return Path(dataset._get_versioned_path(str(dataset.resolve_save_version())))


def read_versions(catalog: DataCatalog, inputs: Iterable[str]) -> set[str]:
    """Versions of other runs that a run loads, once they are pinned."""
    pinned = [dataset._version for dataset in _versioned(catalog, inputs).values()]
    return {each.load for each in pinned if each is not None and each.load and each.load != each.save}


def run_with_all(versions: Mapping[str, Collection[str]], first: Iterable[str] = ()) -> str:
    """The newest version that all datasets have.

    Args:
        versions: dataset -> its versions.
        first: versions that are better than the newest.

    Raises:
        EndlineError: when there is none; the sentence says what the newest run lacks.

    Example:
        >>> run_with_all({"scores": ["1", "2", "3"], "metrics": ["1", "2"]})
        '2'
    """
    common = set.intersection(*(set(each) for each in versions.values()))
    if common:
        return next((version for version in first if version in common), max(common))
    newest = max((version for each in versions.values() for version in each), default=None)
    lacking = ", ".join(sorted(name for name, each in versions.items() if newest not in each))
    known = f"; the newest, {newest}, lacks {lacking}" if newest else ""
    raise EndlineError(
        f"No earlier run has all that this part of the pipeline reads{known}: run the whole pipeline first, or name a "
        "version of each by --load-versions."
    )


def _check_given(name: str, version: str, kept: Collection[str]) -> None:
    if version not in kept:
        known = f"the newest is {max(kept)}" if kept else "no run has saved one"
        raise EndlineError(f"There is no version {version} of {name} (--load-versions): {known}.")


def _versioned(catalog: DataCatalog, names: Iterable[str]) -> dict[str, Dataset]:
    datasets = {name: catalog.get(name) for name in sorted(names) if not name.startswith("params:")}
    return {
        name: dataset
        for name, dataset in datasets.items()
        if isinstance(dataset, AbstractVersionedDataset) and dataset._version
    }


def _kept(dataset: Dataset) -> set[str]:
    """Versions of a dataset older than the run's own."""
    own = str(dataset.resolve_save_version())
    return {version for version in dataset.list_versions(full_path=False) if version < own}
