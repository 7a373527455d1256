"""Index of the station `machine_audio`: clips of running machines become a sample table."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from endline.errors import EndlineError, FileRejected
from endline.evidence.decoded import DECODED
from endline.evidence.folders import left_out, list_folder, other_endings
from endline.evidence.label_table import find_label_table
from endline.evidence.labels import Own
from endline.evidence.near_duplicates import look_hash
from endline.evidence.rejected import Rejections, one_file
from endline.evidence.sound.clip_names import EXAMPLE, TARGET, ClipName, follows_nearly
from endline.evidence.sound.clip_places import ROLES, SUPPLEMENTAL, ClipPlace, is_layout
from endline.evidence.sound.condition_table import contradiction, read_conditions
from endline.evidence.sound.dropouts import longest_dropout, warn_of_dropouts
from endline.evidence.sound.file_facts import file_facts
from endline.evidence.sound.likeness import clip_look
from endline.evidence.sound.mirror_index import READABLE, TABLE_BELOW, kinds_of_files
from endline.evidence.sound.recordings import read_recording, sound_endings
from endline.evidence.sound.signals import Signal, resample
from endline.files import file_digest
from endline.samples import NORMAL, OUTLIER, TEST, TRAIN, Index, sample_table

SHORTEST = 1.0  # s
FEW_TARGETS = 2  # clips, below which nothing is learned of a target domain
OTHERS = "others"  # the setting that takes every other machine of the folder
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """How clips are read.

    Attributes:
        sample_rate: Hz that they are brought to; a clip of a lower rate is left out.
        channel: `mean`, `difference` (first less second), or the number of a channel from 1.

    Example:
        >>> Reading(sample_rate=16_000, channel="2").channel
        '2'
    """

    sample_rate: int = 16_000
    channel: str = "mean"


def index_clips(
    folder: Path,
    *,
    group: str | None,
    simulated: bool,
    reading: Reading,
    outliers: Sequence[str] = (),
    labels: Own | None = None,
) -> Index:
    """Read every clip of one machine once, and the normal ones of other machines that a method learns from.

    A machine is a folder with `train/`, `test/` (2021: `source_test/`, `target_test/`) or `supplemental/`; names of
    clips as `ClipName`. The raw folder may be that of one machine or hold several. Clips whose names and folders tell
    neither role nor label of that layout (`is_layout`) are labelled by `labels.csv` or by one sub-folder a kind, as
    recordings of mirror motors are.

    Args:
        folder: raw folder.
        group: the machine, None for the only one.
        simulated: whether the clips were simulated; of several simulated machines the first is taken.
        reading: how clips are read.
        outliers: machines whose normal clips are `OUTLIER`; `others` for all others.
        labels: the user's own words, see `own_labels`.

    Returns:
        One row a clip, with its `digest` and `seconds`, `rate`, `channels` and `bits` of its file, its
        `longest_dropout`, and `look_hash` (`clip_look`) but of outliers; `domain`, `section` and `attributes` as far
        as names and `attributes_*.csv` tell them. The split is published where some clips train and others are tested.

    Raises:
        EndlineError: when the folder is missing, holds no usable clip, holds several machines and none is chosen, or
            lacks the one that is.
    """
    if not folder.is_dir():
        raise EndlineError(f"There is no folder {folder}: give the folder of the clips (--params=raw=<folder>).")
    endings = sound_endings()
    listing = list_folder(folder, endings)
    clips = {path.relative_to(folder).as_posix(): path for path in listing.files if path.suffix.lower() in endings}
    if not clips:
        raise EndlineError(
            f"{folder} holds no clip{other_endings(listing, endings)}: put sound files there (wav, flac, ...), named "
            f"as {EXAMPLE} or sorted into folders normal/ and one a fault."
        )
    told = {name: ClipName.of(path.stem) for name, path in clips.items()}
    places = {name: ClipPlace.of(name) for name in clips}
    in_layout = is_layout(told, places)
    machine_of = {name: place.machine_below(folder) if in_layout else "" for name, place in places.items()}
    machine = _chosen(folder, sorted(set(machine_of.values())), group, simulated) if in_layout else group or folder.name
    others = _others(outliers, machine, set(machine_of.values())) if in_layout else _no_others(outliers)
    wanted = [name for name in clips if not in_layout or machine_of[name] in (machine, *others)]
    rejections = Rejections(folder, "clip")
    if in_layout:
        _warn_of_namesakes((machine_of[name], places[name].machine) for name in wanted)
        given = _of_layout(folder, wanted, told, machine_of, machine, rejections)
    else:
        given = _of_kinds(folder, wanted, machine, labels or {}, rejections)
    rows: list[dict[str, object]] = []
    for row in track(list(given), "Reading clips", transient=True):
        name = str(row["path"])
        with rejections.instead(name):
            facts = {**_sound_facts(folder / name, reading), "digest": rejections.digest(name)}
            look = None if row["split"] == OUTLIER else _look(folder / name, reading)
            rows.append({**row, "simulated": simulated, **facts, "look_hash": look})
    table = find_label_table(folder)
    taken = {*clips} if in_layout or table is None else {*clips, table.name}
    rejections.rows += left_out(folder, listing, taken, endings, READABLE, labels=TABLE_BELOW)
    rejected = rejections.table(len(wanted), usable=any(row["split"] != OUTLIER for row in rows))
    samples = sample_table(rows)
    _warn(samples, machine)
    return Index(samples, rejected, published_split={TRAIN, TEST} <= set(samples["split"]))


def index_clip(path: Path, reading: Reading) -> pd.DataFrame:
    """Sample table of one clip whose label is unknown; its section is that of its name, where it tells one.

    What it is apart from its label is in the columns of `index_clips`.

    Raises:
        EndlineError: when the clip cannot be used.
    """
    with one_file(path):
        facts = _sound_facts(path, reading)
    return clip_row(path).assign(digest=file_digest(path), **facts)


def clip_row(path: Path, name: str | None = None) -> pd.DataFrame:
    """Sample table of one clip as far as the name of its file tells, or of a piece of it with another `name`.

    Example:
        >>> clip_row(Path("section_02_0001.wav"), "the first minute")[["sample_id", "section"]].to_dict("records")
        [{'sample_id': 'the first minute', 'section': '02'}]
    """
    told = ClipName.of(path.stem)
    section = None if told is None else told.section
    return sample_table([{"sample_id": name or path.name, "path": path.name, "group": "", "section": section}])


def clip_signal(path: Path, reading: Reading) -> Signal:
    """Clip (samples,) as one channel at `reading.sample_rate`, decoded once as long as memory allows.

    Raises:
        FileRejected: as `read_recording`.
    """
    signal, rate = DECODED.read(path, lambda path: _decoded(path, reading), reading)
    return resample(signal, int(rate), reading.sample_rate)


def _decoded(path: Path, reading: Reading) -> tuple[Signal, NDArray[np.int64]]:
    signal, rate = read_recording(path, channel=reading.channel, lowest_rate=reading.sample_rate)
    return signal, np.array(rate)


def _look(path: Path, reading: Reading) -> str:
    signal, rate = DECODED.read(path, lambda path: _decoded(path, reading), reading)
    return look_hash(clip_look(signal, int(rate)))


def _sound_facts(path: Path, reading: Reading) -> dict[str, float]:
    """Length, facts of the file and longest dropout of a clip, columns of the sample table."""
    signal, rate = DECODED.read(path, lambda path: _decoded(path, reading), reading)
    seconds = len(signal) / int(rate)
    if seconds < SHORTEST:
        raise FileRejected(f"the clip is {seconds:.2g} s long", f"record at least {SHORTEST:g} s")
    return {"seconds": seconds, **file_facts(path), **longest_dropout(signal, int(rate))}


def _warn_of_namesakes(places: Iterable[tuple[str, str]]) -> None:
    """Warn where (machine, folder) of some clips name several folders of one machine's name."""
    folders: dict[str, set[str]] = {}
    for machine, folder in places:
        folders.setdefault(machine, set()).add(folder)
    for machine, several in folders.items():
        if len(several) > 1:
            log.warning(
                "The clips of %s are taken as one machine, '%s': if they are not, rename its folders.",
                " and ".join(sorted(several)), machine,
            )  # fmt: skip


def _chosen(folder: Path, machines: Sequence[str], group: str | None, simulated: bool) -> str:
    if group is not None and group not in machines:
        raise EndlineError(f"{folder} holds no machine '{group}': choose one of {', '.join(machines)}.")
    if group is None and len(machines) > 1 and not simulated:
        raise EndlineError(
            f"{folder} holds {len(machines)} machines, and one is learned at a time: choose one by "
            f"--params=group={machines[0]} ({', '.join(machines)})."
        )
    if group is None and len(machines) > 1:
        log.warning("Of the simulated machines %s the first is taken: --params=group=<one>.", ", ".join(machines))
    return group or machines[0]


def _others(outliers: Sequence[str], machine: str, machines: Collection[str]) -> list[str]:
    """Machines whose normal clips are learned from as outliers."""
    rest = sorted(set(machines) - {machine})
    if list(outliers) == [OTHERS]:
        return rest
    if unknown := [name for name in outliers if name not in rest]:
        said = f"choose among {', '.join(rest)}" if rest else "put its folder beside that of this machine"
        raise EndlineError(f"There is no other machine '{unknown[0]}' beside '{machine}': {said}.")
    return list(outliers)


def _no_others(outliers: Sequence[str]) -> list[str]:
    if outliers:
        raise EndlineError(
            f"outliers={','.join(outliers)} names another machine, and clips whose names follow no layout are all of "
            f"one: give each machine a folder with train/ and test/, and names as {EXAMPLE}."
        )
    return []


def _of_layout(
    folder: Path,
    names: Sequence[str],
    told: Mapping[str, ClipName | None],
    machine_of: Mapping[str, str],
    machine: str,
    rejections: Rejections,
) -> Iterator[dict[str, object]]:
    """Rows of the clips that can be used as far as their names tell."""
    conditions = read_conditions(folder)
    for name in names:
        with rejections.instead(name):
            clip, place = told[name], ClipPlace.of(name)
            if clip is None:
                nearly = follows_nearly(Path(name).stem)
                reason = "its name follows no layout" + (", though nearly" if nearly else ", as those beside it do")
                raise FileRejected(reason, f"name it as {EXAMPLE}")
            split = TRAIN if TRAIN in (clip.role, ROLES.get(place.role or "")) else TEST
            if SUPPLEMENTAL in (clip.role, place.role):
                raise FileRejected("a supplemental clip, no normal operation", "nothing is to be done")
            if None not in (clip.label, place.label) and clip.label != place.label:
                raise FileRejected("its name tells another label than its folder", "rename it, or move it")
            label = place.label if clip.label is None else clip.label
            if split == TRAIN and label == 1:
                raise FileRejected("an anomalous clip among those that train", "move it into test/")
            by_table = conditions.get((machine_of[name], Path(name).name))
            if problem := contradiction(clip.attributes, by_table):
                raise FileRejected(problem, "correct the name or the table")
            domain = clip.domain or {"source_test": "source", "target_test": "target"}.get(place.role or "")
            label = 0 if split == TRAIN else label
            of_other = machine_of[name] != machine
            if of_other and label != 0:
                continue
            yield {
                "sample_id": name,
                "path": name,
                "group": machine,
                "section": f"{machine_of[name]}/{clip.section}" if of_other else clip.section,
                "domain": domain,
                "attributes": clip.attributes or by_table,
                "split": OUTLIER if of_other else split,
                "label": label,
                "kind": None if label is None else NORMAL if label == 0 else "anomaly",
            }


def _of_kinds(
    folder: Path, names: Sequence[str], machine: str, labels: Own, rejections: Rejections
) -> Iterator[dict[str, object]]:
    """Rows of clips that a table or their folders label."""
    labelled = kinds_of_files(folder, find_label_table(folder), names, labels)
    rejections.rows += labelled.rejected
    contradicted = {name for name, _, _ in labelled.rejected}
    for name in names:
        if name not in contradicted:
            kind = labelled.kinds.get(name)
            label = None if kind is None else int(kind != NORMAL)
            yield {"sample_id": name, "path": name, "group": machine, "split": TEST, "label": label, "kind": kind}


def _warn(samples: pd.DataFrame, machine: str) -> None:
    """Say what a user may not expect: target domains hardly known, dropouts, and clips of unequal length."""
    training = samples[samples["split"] == TRAIN]
    for section, rows in training.groupby("section"):
        targets = int((rows["domain"] == TARGET).sum())
        if targets < FEW_TARGETS and rows["domain"].notna().any():
            log.warning(
                "Section %s of %s has %d target clip(s) that train: its false alarms there are not what is stated.",
                section, machine, targets,
            )  # fmt: skip
    unknown = int(samples["label"].isna().sum())
    if unknown:
        log.warning("%d clips have no label: they are scored, but count in no figure.", unknown)
    warn_of_dropouts(samples, "clips")
    shortest, longest = samples["seconds"].min(), samples["seconds"].max()
    if longest - shortest > 0.01 * longest:
        log.warning(
            "The clips last %.3g to %.3g s: shorter ones are repeated up to the length of the longest.",
            shortest, longest,
        )  # fmt: skip
