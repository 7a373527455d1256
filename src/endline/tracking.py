"""What endline adds to MLflow: a database made whole, runs that name their process, artifacts that lie once."""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from endline.dotted import flatten
from endline.files import clear_partials, content_key, link, whole
from endline.owner import Owner

if TYPE_CHECKING:  # importing it takes seconds
    from mlflow import MlflowClient
    from mlflow.entities import Run

OWNER, VERSION, READS, PRUNED = "endline.owner", "endline.version", "endline.reads", "endline.pruned"
WAITS = "SCHEDULED"  # MLflow's status of a run whose next part another process will make
SQLITE = "sqlite:///"
AT_ONCE, LONGEST = 100, 6000  # parameters in one call, and letters of a parameter, that MLflow takes at most
CONTEXT = "MLFLOW_RUN_CONTEXT"  # MLflow's own variable: tags that a run has from its first moment
log = logging.getLogger(__name__)


def make_database(uri: str | None) -> None:
    """Make MLflow's SQLite database, whole or not at all, where the address is one and there is none yet.

    MLflow makes it in dozens of steps: a process killed between them leaves one that no later process can use.

    Args:
        uri: address of the tracking server.
    """
    if uri is None or not uri.startswith(SQLITE) or (path := Path(uri.removeprefix(SQLITE))).exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with whole(path) as partial:
        store = SqlAlchemyStore(f"{SQLITE}{partial}", str(path.parent))  # type: ignore[no-untyped-call]
        store.engine.dispose()


def tracked_in(settings: Mapping[str, Any]) -> tuple["MlflowClient", str | None]:
    """Client of a project's MLflow, and id of its experiment; None where that is not there yet.

    Args:
        settings: `mlflow` of the configuration.
    """
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=settings["server"]["mlflow_tracking_uri"])
    experiment = client.get_experiment_by_name(settings["tracking"]["experiment"]["name"])
    return client, None if experiment is None else str(experiment.experiment_id)


@contextmanager
def naming_process(version: str) -> Iterator[None]:
    """Let an MLflow run that is begun in here say from its first moment which process records it, and which version."""
    before = os.environ.get(CONTEXT)
    os.environ[CONTEXT] = json.dumps({**json.loads(before or "{}"), **own_tags(version)})
    try:
        yield
    finally:
        os.environ.pop(CONTEXT)
        if before is not None:
            os.environ[CONTEXT] = before


def own_tags(version: str | None = None) -> dict[str, str]:
    """Tags of a run that this process records."""
    return {OWNER: str(Owner.current())} | ({} if version is None else {VERSION: version})


def end_dead_runs(client: "MlflowClient", experiment: str, folders: Mapping[str, Path]) -> None:
    """Mark as killed the runs that a killed process left running, once what they left half-written is removed.

    Args:
        client: of MLflow.
        experiment: its id.
        folders: of the versions of each dataset.
    """
    for run in dead_runs(client, experiment):
        for version in versions_of(run):
            clear_version(folders, version)
        client.set_terminated(run.info.run_id, "KILLED")
        log.info("The run %s was killed: it is marked so.", run.info.run_id)


def dead_runs(client: "MlflowClient", experiment: str) -> Iterator["Run"]:
    """Runs that MLflow calls running, and whose process on this host is gone."""
    for run in all_runs(client, experiment, "attributes.status = 'RUNNING'"):
        owner = Owner.read(run.data.tags.get(OWNER, ""))
        if owner is not None and owner.is_dead:
            # Asked once more: it may have ended well between the question and the death of its process.
            now = client.get_run(run.info.run_id)
            if now.info.status == "RUNNING" and now.data.tags.get(OWNER) == str(owner):
                yield now


def all_runs(client: "MlflowClient", experiment: str, only: str = "") -> Iterator["Run"]:
    """Runs of an experiment, however many there are."""
    return all_pages(lambda token: client.search_runs([experiment], only, page_token=token))


def all_pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """All that a search of MLflow finds, which gives it page by page.

    Args:
        search: gives the page of a token, the first one for None.
    """
    token = None
    while True:
        page = search(token)
        yield from page
        if not (token := page.token):
            return


def versions_of(run: "Run") -> set[str]:
    """Versions under which a run has saved its outputs."""
    tags: Mapping[str, str] = run.data.tags
    return {value for key, value in tags.items() if key == VERSION or key.startswith("version.")}


def claimed_versions(runs: Iterable["Run"]) -> set[str]:
    """Versions that runs which still go on, here or on another host, write or read."""
    claimed: set[str] = set()
    for run in runs:
        owner = Owner.read(run.data.tags.get(OWNER, ""))
        goes_on = run.info.status == "RUNNING" and (owner is None or not owner.is_dead)
        if goes_on or run.info.status == WAITS:
            claimed |= versions_of(run) | set(run.data.tags.get(READS, "").split())
    return claimed


def log_parameters(run_id: str, parameters: Mapping[str, Any]) -> None:
    """Record parameters by dotted names, a hundred in a transaction; a value too long for MLflow becomes a tag.

    Args:
        run_id: of the MLflow run.
        parameters: name -> value, or nested dictionaries of them.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Param, RunTag

    client = MlflowClient()
    texts = [(re.sub(r"[^/\w.\- :]", "_", name), str(value)) for name, value in flatten(parameters).items()]
    for start in range(0, len(texts), AT_ONCE):
        part = texts[start : start + AT_ONCE]
        params = [Param(name, text) for name, text in part if len(text) <= LONGEST]
        tags = [RunTag(name, text) for name, text in part if len(text) > LONGEST]
        client.log_batch(run_id, params=params, tags=tags)


def run_name(metrics: Mapping[str, Any]) -> str:
    """Name of a run that tells it from others: station, group, detector and AUROC.

    Example:
        >>> run_name({"station": "mirror_audio", "group": "mirror", "detector": "padim", "auroc": 0.93217})
        'mirror_audio mirror padim 0.932'
    """
    auroc = metrics["auroc"]
    words = (metrics["station"], metrics["group"], metrics["detector"], "no AUROC" if auroc is None else f"{auroc:.3f}")
    return " ".join(str(word) for word in words if word)


def log_data_set(run_id: str, name: str, inputs: Mapping[str, Any]) -> None:
    """Record which files a run has read.

    Args:
        run_id: of the MLflow run.
        name: of the data set.
        inputs: `folder` and `digests` (file -> SHA-256) of the raw files, and whether they are `simulated`.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, DatasetInput, InputTag

    # Made here: MLflow's own makers load every library of data sets that there is.
    digests = inputs["digests"]
    dataset = Dataset(
        name=f"{name} (simulated)" if inputs["simulated"] else name,
        digest=data_digest(digests),
        source_type="local",
        source=json.dumps({"uri": str(inputs["folder"])}),
        profile=json.dumps({"num_rows": len(digests)}),
    )
    MlflowClient().log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def data_digest(digests: Mapping[str, str]) -> str:
    """One digest (32 hexadecimal digits) of files by name and content.

    Example:
        >>> data_digest({"a": "e3", "b": "ff"}) == data_digest({"b": "ff", "a": "e3"})
        True
    """
    return content_key(dict(digests))


def keep_artifact(run: "Run", path: Path) -> None:
    """Keep a saved file, or folder, as an artifact of the run: a second name of it, where MLflow keeps files on a disk.

    Args:
        run: the active run.
        path: what was saved; nobody changes it in place.
    """
    import mlflow

    folder = artifact_folder(run)
    if folder is None:
        (mlflow.log_artifacts(str(path), path.name) if path.is_dir() else mlflow.log_artifact(str(path)))
    elif path.is_dir():
        link_folder(path, folder / path.name)
    elif path.exists():
        link(path, folder / path.name)


def link_folder(source: Path, target: Path) -> None:
    """Give every file of a folder a second name, as `files.link` does, in a folder that may be there already."""
    shutil.copytree(source, target, copy_function=_linked, dirs_exist_ok=True)


def _linked(source: str, target: str) -> str:
    link(Path(source), Path(target))
    return target


def artifact_folder(run: "Run") -> Path | None:
    """Local folder of a run's artifacts; None where they lie on a server."""
    return local_folder(run.info.artifact_uri)


def local_folder(uri: str) -> Path | None:
    """Folder of an address of MLflow's artifacts; None where they lie on a server.

    Example:
        >>> local_folder("file:///data/a%20b"), local_folder("s3://bucket/a")
        (PosixPath('/data/a b'), None)
    """
    address = urlparse(uri)
    return Path(unquote(address.path)) if address.scheme in ("", "file") else None


def clear_version(folders: Mapping[str, Path], version: str) -> None:
    """Remove what a dead run has left half-written under its version, and the folders that it has not come to fill."""
    for folder in folders.values():
        with suppress(OSError):  # not there, or another process clears it at this moment
            clear_partials(folder / version)
            (folder / version).rmdir()
