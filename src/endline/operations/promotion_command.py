"""`endline promote` and `endline rollback`: which version of a registered model judges as champion."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endline.errors import EndlineError
from endline.evidence.station import find_station
from endline.files import locked
from endline.operations.acceptance import Acceptance, judge, read_acceptance
from endline.operations.decisions import (
    DECISION,
    FORCED,
    KEPT,
    PROMOTED,
    RESTORED,
    ROLLED_BACK,
    Decision,
    champion_before,
)
from endline.operations.inspection import Inspector
from endline.operations.model_folders import model_of_run
from endline.operations.promotion import Bounds, Criterion, Judged, all_hold, criteria
from endline.operations.registration import training_of
from endline.operations.registry import CHALLENGER, CHAMPION, MODEL, Registered, Registry, note_decision
from endline.operations.sweep.resolved import configuration
from endline.published import PublishedModel
from endline.tracking import VERSION

if TYPE_CHECKING:  # importing it takes seconds
    from mlflow.entities.model_registry import ModelVersion

LOCK = Path("mlruns/promotion.lock")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What a user asks of `promote`.

    Attributes:
        station: its name.
        group: of its runs; None for the only one.
        run: whose model is judged, by the id of its outputs; None for the challenger.
        acceptance: folder of the acceptance set; None for that of the configuration.
        why: reason to promote it whatever the criteria say; None where they decide.

    Example:
        >>> Wish("mirror_audio").why
    """

    station: str
    group: str | None = None
    run: str | None = None
    acceptance: Path | None = None
    why: str | None = None


def promote(project: Path, wish: Wish, env: str | None, say: Say) -> bool:
    """Judge a challenger beside the champion, and let it be champion where every criterion holds.

    Args:
        project: the project's folder.
        wish: what is asked for.
        env: overlay of the configuration.
        say: is given each line.

    Returns:
        whether it is champion now.

    Raises:
        EndlineError: where nothing can be decided.
    """
    find_station(wish.station)
    registry = Registry.of(project, env)
    with locked(project / LOCK):  # the second of two waits, and then sees what the first has decided
        name = registry.name_of(wish.station, wish.group)
        aliases = registry.aliases(name)
        champion = aliases.get(CHAMPION, 0)
        wanted, version = _wanted(registry, name, wish.run)
        if wanted.version == champion:
            say(f"{wanted.label} is champion already.")
            return True
        if version.tags.get(DECISION) == ROLLED_BACK and wish.why is None:
            say(f"{wanted.label} was rolled back, and stays so: run the station again, or give --force --why.")
            return False
        beside = f"the champion {name}/{champion}" if champion else "no champion yet"
        say(f"{wanted.label}, the run {version.tags.get(VERSION)}, beside {beside}")
        found, acceptance = _criteria(registry, wish, env, wanted, champion, say)
        what = (PROMOTED if all_hold(found) else KEPT) if wish.why is None else FORCED
        decision = Decision(what, wanted, champion, found, acceptance, wish.why or "")
        decision.record(registry, version)
        if decision.is_champion:
            registry.set_alias(name, CHAMPION, wanted.version)
        _note(project, env, version, "" if decision.is_champion else KEPT)
        say(_outcome(decision))
        return decision.is_champion


def rollback(project: Path, station: str, group: str | None, env: str | None, why: str = "") -> str:
    """Let the champion before be champion again.

    Args:
        project: the project's folder.
        station: its name.
        group: of its runs; None for the only one.
        env: overlay of the configuration.
        why: reason, which is recorded.

    Returns:
        what has been done, as a sentence.

    Raises:
        EndlineError: where there is no champion, none before it, or its files are gone.
    """
    find_station(station)
    registry = Registry.of(project, env)
    with locked(project / LOCK):
        name = registry.name_of(station, group)
        current, version = registry.find(Registered(name, 0, CHAMPION))
        before = champion_before(version)
        if not before:
            raise EndlineError(f"{current.label} is the first champion, there is none before it: promote another run.")
        restored, earlier = registry.find(Registered(name, before))
        PublishedModel.load(registry.files(earlier) / MODEL)  # a model that cannot judge shall not be champion
        Decision(ROLLED_BACK, current, current.version, why=why).record(registry, version)
        Decision(RESTORED, restored, current.version, why=why).record(registry, earlier)
        registry.set_alias(name, CHAMPION, before)
        _note(project, env, version, ROLLED_BACK)
        _note(project, env, earlier, "")
    return f"{restored.label} is champion again, {current.label} was rolled back."


def _note(project: Path, env: str | None, version: "ModelVersion", refused: str) -> None:
    """Note the decision beside the model that the run has published, where the project still has it."""
    with suppress(EndlineError):
        note_decision(model_of_run(project, version.tags.get(VERSION, ""), env), refused)


def _wanted(registry: Registry, name: str, run: str | None) -> tuple[Registered, "ModelVersion"]:
    if run is None:
        return registry.find(Registered(name, 0, CHALLENGER))
    for version in reversed(registry.versions(name)):
        if version.tags.get(VERSION) == run or version.run_id == run:
            return Registered(name, int(version.version)), version
    raise EndlineError(f"The run {run} has no version of {name}: give one that has, or run `endline register {run}`.")


def _criteria(
    registry: Registry, wish: Wish, env: str | None, wanted: Registered, champion: int, say: Say
) -> tuple[list[Criterion], Mapping[str, Any] | None]:
    """Criteria of a version, each said, and the acceptance set; where a person has decided, no error is the end."""
    try:
        settings = _settings(registry.project, wish, env)
        acceptance = _acceptance(settings, wish, registry.find(wanted)[1].tags)
        say(acceptance.line)
        before = [(Registered(wanted.name, champion), CHAMPION)] if champion else []
        own, *others = (
            _judged(registry, acceptance, version, alias, wish.station, check=alias == CHALLENGER)
            for version, alias in [(wanted, CHALLENGER), *before]
        )
        found = criteria(own, others[0] if others else None, Bounds.of(settings["bounds"]))
        content = {"folder": str(acceptance.folder), "digest": acceptance.digest, "digests": acceptance.digests}
    except EndlineError as error:
        if wish.why is None:
            raise
        found, content = [Criterion("acceptance set", False, str(error))], {}
    for each in found:
        say(each.line)
    if champion and content:
        known = registry.find(Registered(wanted.name, champion))[1].tags.get("endline.acceptance")
        if known and known != content["digest"]:
            say(f"The acceptance set has changed since the champion was judged by it (digest {known[:12]} then).")
    return found, content or None


def _settings(project: Path, wish: Wish, env: str | None) -> dict[str, Any]:
    """Bounds, parameters of the station, and what the configuration says of its acceptance set."""
    loader = configuration(project, env, {})
    promotion, parameters = loader["promotion"], loader["parameters"]
    own = dict((promotion.get("stations") or {}).get(wish.station) or {})
    parameters = parameters.get(wish.station)
    if parameters is None:
        raise EndlineError(f"The configuration has no parameters of {wish.station}: call this in the project's folder.")
    group = parameters["run"]["group"] if wish.group is None else wish.group
    return {"bounds": promotion.get("bounds") or {}, "parameters": parameters, "own": own, "group": group}


def _acceptance(settings: Mapping[str, Any], wish: Wish, tags: Mapping[str, str]) -> Acceptance:
    station, own, parameters = find_station(wish.station), settings["own"], settings["parameters"]
    folder, group = wish.acceptance or own.get("acceptance"), settings["group"]
    if folder is None:
        if not (tags.get("simulated") == "True" and own.get("simulation")):
            raise EndlineError(
                f"{wish.station} has no acceptance set: give --acceptance=FOLDER with labelled parts that train "
                f"nobody, or name it in conf/base/promotion.yml (stations.{wish.station}.acceptance)."
            )
        place = Path(f"{parameters['run']['raw_simulated']}_acceptance")
        folder = station.simulate(place, {**parameters["simulation"], **own["simulation"]}, lambda done, every: None)
        learned = tags.get("group", "")
        group = learned if learned and ", " not in learned else group  # of several machines the one that it knows
    return read_acceptance(Path(folder), station, parameters, group)


def _judged(
    registry: Registry, acceptance: Acceptance, version: Registered, alias: str, station: str, *, check: bool
) -> Judged:
    files = registry.files(registry.find(version)[1])
    if check:
        acceptance.check_unseen(training_of(files), version.label)
    inspector = Inspector(
        PublishedModel.load(files / MODEL), registered=Registered(version.name, version.version, alias)
    )
    return judge(acceptance, inspector, find_station(station))


def _outcome(decision: Decision) -> str:
    label, champion = decision.version.label, f"{decision.version.name}/{decision.champion}"
    if decision.what == KEPT:
        return f"Kept: {champion} stays champion." if decision.champion else f"Kept: {label} is not champion."
    forced = f" by force ({decision.why})" if decision.what == FORCED else ""
    return f"{label} is champion now{forced}."
