"""The station `robot_cycle`: cycles of many signals, of a robot or another machine."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from endline.errors import EndlineError
from endline.evaluation.attribution import cycle_attribution
from endline.evaluation.nearest_cycles import nearest_training_cycles
from endline.evidence.cycles.cycle_files import SUFFIXES
from endline.evidence.cycles.durations import Durations, warn_of_pauses
from endline.evidence.cycles.features import ARRAYS, CyclePreparation, check_length, common_length
from endline.evidence.cycles.index import CycleIndexing, index_cycles
from endline.evidence.cycles.resampling import common_rate
from endline.evidence.cycles.values import CycleFormat
from endline.evidence.folders import kind_of_folders
from endline.evidence.labels import Own, is_doubtful, kind_of
from endline.evidence.station import Arrays, IndexRequest, Progress, Shown, Station
from endline.reporting.exhibit import Exhibit
from endline.samples import NORMAL, TEST, TRAIN, Index


def index(folder: Path, request: IndexRequest) -> Index:
    """Sample table of a folder of cycles, see `index_cycles`; where it has a folder a robot, of that named `group`."""
    cycles = request.preparation
    settings = CycleIndexing(
        group=request.group,
        simulated=request.simulated,
        signals=cycles["signals"],
        rate=cycles["rate"],
        stretched=cycles["steps"] is not None,
        file=cycles["file"],
        form=_format(cycles),
        train_fraction=request.split["train_fraction"],
        seed=request.seed,
        labels=cycles["labels"],
    )
    own = folder / request.group if request.group else folder
    if own != folder and own.is_dir() and any(path.is_dir() for path in own.iterdir()):
        return _below(index_cycles(own, settings), str(request.group))
    if not settings.form.of_tables:
        _check_robots(folder, request.group, settings.words)
    return index_cycles(folder, settings)


def _check_robots(folder: Path, group: str | None, own: Own) -> None:
    """Refuse a folder of robots' folders, each with normal cycles of its own, where none of them is chosen."""
    if any(kind_of(path.name, own) == NORMAL for path in folder.glob("*/")):
        return  # it has normal ones itself: what those further inside mean is asked about as labels are
    normal = [path.parts[-2:] for path in folder.glob("*/*/") if kind_of(path.name) == NORMAL]
    kinds = [(names[0], kind_of_folders(names, own)) for names in normal if names[0] not in (TRAIN, TEST)]
    robots = sorted({name for name, kind in kinds if kind is not None and is_doubtful(kind)})
    if robots:
        said = (
            f"has no folder {group}"
            if group
            else f"holds the cycles of {len(robots)} robot(s), each with its own normals"
        )
        raise EndlineError(
            f"{folder} {said}: choose one of {', '.join(robots)} (--params=group={robots[0]}), or say by labels what "
            f"their folders mean (--params=labels.{robots[0]}/normal=normal)."
        )


def _below(found: Index, name: str) -> Index:
    """The index of a sub-folder as that of the folder above it."""
    names = {column: f"{name}/" + found.samples[column] for column in ("sample_id", "path", "unit")}
    rejected = found.rejected.assign(path=f"{name}/" + found.rejected["path"])
    return replace(found, samples=found.samples.assign(**names), rejected=rejected)


def prepare(
    samples: pd.DataFrame, folder: Path, facts: Mapping[str, Any], parameters: Mapping[str, Any], wanted: Arrays
) -> CyclePreparation:
    """Signals, rate and length of the arrays: as long as the longest training cycle.

    Raises:
        EndlineError: for a detector that reads something else than cycles, or an unknown format; as `check_length`.
    """
    if missing := [name for name in wanted.required if name not in ARRAYS]:
        raise EndlineError(
            f"The detector reads '{missing[0]}', which is made of images, not of cycles: choose one that reads cycles, "
            "such as mts_flow, pca, nearest_cycle or gaussian."
        )
    steps, training = parameters["steps"], samples[samples["split"] == TRAIN]
    rate = None if steps is not None else common_rate(parameters["rate"], samples["rate"])
    length = steps if rate is None else common_length(training, rate)
    check_length(training, length, rate)
    # The exhibits show every cycle beside its nearest normal one; what is outside counts whatever the detector reads.
    always = ("cycle", "valid", "outside")
    arrays = tuple(name for name in ARRAYS if name in {*wanted.required, *wanted.optional, *always})
    durations, pauses, parts = training["duration"], training["pause"], training["unit"].nunique()
    warn_of_pauses(training, rate, length)
    return CyclePreparation(
        tuple(facts["signals"]),
        length,
        rate,
        arrays,
        _format(parameters),
        offsets=tuple(facts["offsets"]),
        units=tuple(facts.get("units", ())),  # of an index from before there are none
        durations=Durations(float(durations.min()), float(durations.max()), parts, float(pauses.max())),
    )


def attribute(shown: Shown, preparation: CyclePreparation) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How much each signal counts in each scored cycle, and the normal cycles nearest to the shortlisted ones."""
    # Without a shortlist nothing is shown, and no map was made: both tables are then empty.
    scored = shown.part_scores.iloc[:0] if shown.shortlist.empty else shown.part_scores
    names = shown.shortlist["sample_id"].tolist()
    nearest = nearest_training_cycles(names, shown.samples, shown.features)
    return cycle_attribution(scored, shown.maps, shown.samples, shown.features, preparation.signals), nearest


def exhibits(shown: Shown, preparation: CyclePreparation) -> list[Exhibit]:
    """The signals that count most of the shortlisted cycles, over the nearest normal cycle, with the map below.

    A cycle without a nearest one is left out.
    """
    from endline.evidence.cycles.exhibits import CycleTables, cycle_exhibits  # only reports draw

    tables = CycleTables(shown.part_scores, shown.maps, shown.attribution, shown.nearest, shown.samples, shown.features)
    compared = shown.shortlist["sample_id"].isin(shown.nearest["sample_id"])
    return cycle_exhibits(shown.shortlist[compared], tables, preparation)


def simulate(folder: Path, settings: Mapping[str, Any], progress: Progress) -> Path:
    """Simulate a robot arm that moves cans."""
    from endline.simulation.robot import robot_cycle  # MuJoCo: only runs without data need it

    return robot_cycle.simulate(folder, robot_cycle.RobotSimulation(**settings), progress)


def synthesise(
    samples: pd.DataFrame, folder: Path, target: Path, preparation: CyclePreparation, seed: int
) -> pd.DataFrame:
    """Copies of cycles with faults, see `cycle_faults`."""
    from endline.evidence.cycles import synthetic  # only a choice among detectors makes faults

    return synthetic.synthesise(samples, folder, target, preparation, seed)


def _format(parameters: Mapping[str, Any]) -> CycleFormat:
    formats = parameters["formats"]
    if parameters["format"] not in formats:
        raise EndlineError(
            f"robot_cycle.preparation.formats has no '{parameters['format']}': choose one of "
            f"{', '.join(sorted(formats))}."
        )
    return CycleFormat(**formats[parameters["format"]])


STATION = Station(
    name="robot_cycle",
    title="Robot cycles",
    evidence="cycles",
    index=index,
    prepare=prepare,
    preparation=CyclePreparation,
    attribute=attribute,
    exhibits=exhibits,
    simulate=simulate,
    suffixes=SUFFIXES,
    more_training="take more of them (train_fraction)",
    synthesise=synthesise,
)
