"""What decided on a sample: its newest verdict in the log, what the model comes from, and the same score once more."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endline.compute import CPU
from endline.errors import EndlineError
from endline.evidence.station import find_station, station_names
from endline.operations.batch import targets_in
from endline.operations.decisions import history
from endline.operations.inspection import Inspector
from endline.operations.model_folders import model_of_run
from endline.operations.recalibration import promise
from endline.operations.registry import MODEL, Registry, read_reference
from endline.operations.verdict_log import FILE, TIME, entries, log_file
from endline.operations.verdicts import NONE
from endline.published import PublishedModel

if TYPE_CHECKING:  # importing it takes seconds
    from mlflow.entities.model_registry import ModelVersion

SHOWN_TAGS = ("git_commit", "endline.data", "endline.training", "endline.files", "simulated", "detector", "seed")


@dataclass(frozen=True)
class Origin:
    """The model of a verdict, and what the registry knows of it.

    Attributes:
        model: loaded.
        version: in the registry; None where it is none, or no registry answers.
        versions: all versions of the registered model, the oldest first.
        note: why the registry says nothing; empty where it does.

    Example:
        `origin(Path.cwd(), entry, None).model.run`
    """

    model: PublishedModel
    version: "ModelVersion | None" = None
    versions: "tuple[ModelVersion, ...]" = ()
    note: str = ""


def newest_entry(project: Path, sample: str, station: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """The newest verdict on a sample, and what was found out of the logs that were read.

    Args:
        project: the project's folder.
        sample: the item, the path of its file as it was given, or its name.
        station: whose log is read; None for all.

    Raises:
        EndlineError: for a broken log, a sample that is in none, or in those of several stations, and a name that
            several files have.
    """
    found: dict[str, dict[str, Any]] = {}
    alike: set[str] = set()
    told, names = [], {sample, str(Path(sample).absolute())}
    for name in station_names() if station is None else [find_station(station).name]:
        if not (path := log_file(project, name)).exists():
            continue
        count = 0
        for entry in entries(path):
            count += 1
            item, file = entry["sample_id"], Path(entry["path"]).name
            whole = entry[FILE] + (item.removeprefix(file) if item.startswith(file) else "")  # of a table, its item too
            if not names.isdisjoint((item, entry["path"], entry[FILE], file, whole)):
                found[name] = entry  # by the order of lines: clocks jump
                alike |= {whole} if names.isdisjoint((entry["path"], entry[FILE], whole)) else set()
        told.append(f"{path}: {count} verdicts, whole")
    if not found:
        known = "the logs of verdicts" if told else "a log of verdicts, for there is none yet"
        raise EndlineError(f"{sample} is not in {known}: give the item, or the path of its file, as `inspect` had it.")
    if len(alike) > 1:
        listed = ", ".join(sorted(alike)[:5])
        raise EndlineError(
            f"{len(alike)} files of the name {sample} were judged: give the path of one, such as {listed}."
        )
    if len(found) > 1:
        raise EndlineError(f"{sample} was judged at the stations {', '.join(found)}: give --station.")
    return next(iter(found.values())), told


def origin(project: Path, entry: Mapping[str, Any], env: str | None) -> Origin:
    """The model of a verdict: that of the registry, or of the run where no registry answers.

    Args:
        project: the project's folder.
        entry: of the log.
        env: overlay of the configuration.

    Raises:
        EndlineError: where the model is gone from both.
    """
    note = "not registered"
    if entry["model"]:
        try:
            wanted = read_reference(entry["model"])
            registry = Registry.of(project, env)
            _, version = registry.find(wanted)
            versions = tuple(registry.versions(wanted.name))
            return Origin(PublishedModel.load(registry.files(version) / MODEL), version, versions)
        except EndlineError as error:
            note = str(error)
    return Origin(PublishedModel.load(model_of_run(project, entry["run"], env)), note=note)


def described(entry: Mapping[str, Any], known: Origin) -> Iterator[str]:
    """What decided, a line each."""
    yield f"{entry['sample_id']} ({entry[FILE]}), {entry[TIME]}"
    if entry["verdict"] == NONE:
        yield f"verdict    none: {entry['reason']}"
    else:
        yield f"verdict    {entry['verdict']}, score {entry['score']!r}, p {entry['p_value']!r}"
    if entry.get("remark"):
        yield f"remark     {entry['remark']}"
    yield f"file       SHA-256 {entry['digest'] or 'unknown'}"
    alias = f" ({entry['alias']})" if entry["alias"] else ""
    yield f"model      {entry['model'] or 'not registered'}{alias}, run {entry['run']} of {entry['station']}"
    calibration = known.model.calibration
    yield f"threshold  {calibration.threshold!r}, stated rate {calibration.stated_rate:g}. {promise(calibration)}"
    if known.version is None:
        yield f"git_commit {known.model.about.get('git_commit', 'unknown')}"
        yield f"registry   {known.note}"
        return
    for name in SHOWN_TAGS:
        if value := known.version.tags.get(name):
            yield f"{name.removeprefix('endline.'):10} {value}"
    for version in known.versions:
        for decision in history(version):
            why = f" ({decision['why']})" if decision.get("why") else ""
            yield f"decision   version {version.version} {decision['what']} {decision['when']}{why}"


def rebuilt(entry: Mapping[str, Any], known: Origin) -> str:
    """The score once more, from the file and the model, as a sentence.

    Args:
        entry: of the log.
        known: its model.

    Raises:
        EndlineError: where the file has gone or changed, or the model gives another score.
    """
    station, path = find_station(entry["station"]), Path(entry[FILE])
    if known.model.run != entry["run"]:
        raise EndlineError(f"The model is of the run {known.model.run}, and {entry['run']} has judged: restore it.")
    if entry["verdict"] == NONE:
        return "There is no score to rebuild."
    if not path.exists():
        raise EndlineError(f"The score cannot be rebuilt, {path} has gone: restore it.")
    others: tuple[Path, ...] = ()
    if station.groups is not None and str(path).endswith(entry["path"]):
        folder = Path(str(path)[: -len(entry["path"])] or ".")
        found = (target for target in targets_in(folder, station, quiet=True) if target.name == entry["path"])
        others = next((target.others for target in found), ())
    sample = entry["sample_id"]
    item = entry["path"] if sample.startswith(entry["path"]) else Path(entry["path"]).name
    judged = Inspector(known.model, CPU).judged(path, entry["path"], item, others=others)
    rows = [each.verdict for each in judged if each.verdict.sample_id == sample]
    if rows and rows[0].digest != entry["digest"]:
        raise EndlineError(f"The score cannot be rebuilt, {path} has changed since (its SHA-256): restore it.")
    if not rows or rows[0].verdict == NONE:
        said = rows[0].reason if rows else "the item is not in its file any more."
        raise EndlineError(f"The score cannot be rebuilt: {said}")
    now = rows[0]
    if (now.score, now.p_value) != (entry["score"], entry["p_value"]):
        raise EndlineError(
            f"The rebuilt score is {now.score!r} (p {now.p_value!r}), and {entry['score']!r} (p {entry['p_value']!r}) "
            "was given: compare the versions of the packages, the machine, and the model's files."
        )
    return f"Rebuilt from the file and the model: score {now.score!r}, equal to the last digit."
