"""Index of the station `mirror_audio`: a folder of recordings becomes a sample table."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from endline.errors import EndlineError
from endline.evidence.decoded import DECODED
from endline.evidence.folders import kind_of_folders, left_out, list_folder, other_endings
from endline.evidence.label_table import Labelled, find_label_table, read_label_table
from endline.evidence.labels import Own, check_words, own_labels
from endline.evidence.near_duplicates import look_hash
from endline.evidence.rejected import Rejections, one_file
from endline.evidence.sound.dropouts import longest_dropout, warn_of_dropouts
from endline.evidence.sound.file_facts import file_facts
from endline.evidence.sound.likeness import sound_look
from endline.evidence.sound.motions import Motions, find_motions
from endline.evidence.sound.recordings import read_recording, sound_endings
from endline.evidence.sound.signals import Signal
from endline.files import file_digest
from endline.samples import NORMAL, Index, sample_table

READABLE = "WAV, FLAC or another sound format"
TABLE_BELOW = ("a table of labels is read in the raw folder itself alone", "move it there")
PARTS = ("fold", "unfold")
log = logging.getLogger(__name__)


def index_recordings(folder: Path, *, group: str, simulated: bool, labels: Mapping[str, Any] | None = None) -> Index:
    """Read every recording once: is it sound, and where are its motions.

    Labels come from `labels.csv` (or .tsv, .xlsx; columns `recording,fault`) or, without that file, from one sub-folder
    a fault. What their words mean, see `kind_of`: `0`, `normal`, `good`, `i.O.`, ... are normal, an empty fault, `NA`
    or `?` unknown. Recordings without a label are kept: they are scored, and counted in no figure.

    Args:
        folder: raw folder, with the recordings at any depth, in any format that libsndfile reads.
        group: name of the group.
        simulated: whether the recordings were simulated.
        labels: the user's own words, see `own_labels`.

    Returns:
        Two rows a recording (fold, unfold), with the columns `start, stop` of the motion and `rest_start, rest_stop` of
        the standstill, in seconds, `rate`, `channels` and `bits` of the file, its `longest_dropout` from the first
        motion to the second, and on the first of the rows `look_hash` (`sound_look`).

    Raises:
        EndlineError: when the folder is missing or holds no usable recording, or as `read_label_table` and
            `check_words`.
    """
    if not folder.is_dir():
        raise EndlineError(f"There is no folder {folder}: give the folder of the recordings (--params=raw=<folder>).")
    endings = sound_endings()
    listing = list_folder(folder, endings)
    files = [path for path in listing.files if path.suffix.lower() in endings]
    if not files:
        others = other_endings(listing, endings)
        raise EndlineError(
            f"{folder} holds no recording{others}: put sound files there (wav, flac, ...), with a labels.csv."
        )
    names = [path.relative_to(folder).as_posix() for path in files]
    label_table = find_label_table(folder)
    labelled = kinds_of_files(folder, label_table, names, own_labels(labels))
    rejections = Rejections(folder, "recording", labelled.rejected)
    contradicted = {name for name, _, _ in labelled.rejected}
    rows: list[dict[str, object]] = []
    for name in track([name for name in names if name not in contradicted], "Looking for the motions", transient=True):
        with rejections.instead(name):
            motions = _motions(folder / name)
            about = {"simulated": simulated, "digest": rejections.digest(name), **_facts(folder / name, motions)}
            look = {"look_hash": _look(folder / name, motions)}
            first, second = _rows(name, labelled.kinds.get(name), motions, group=group)
            rows += [{**first, **about, **look}, {**second, **about}]  # a look a recording
    taken = names if label_table is None else [*names, label_table.name]
    rejections.rows += left_out(folder, listing, set(taken), endings, READABLE, labels=TABLE_BELOW)
    table = rejections.table(len(files), usable=bool(rows))
    samples = sample_table(rows)
    warn_of_dropouts(samples.drop_duplicates("path"), "recordings")
    unknown = int(samples["label"].isna().sum()) // len(PARTS)
    if unknown:
        log.warning("%d recordings have no label in %s: they are scored, but count in no figure.", unknown, folder)
    return Index(samples, table)


def index_recording(path: Path) -> pd.DataFrame:
    """Sample table of one recording whose label is unknown; its raw folder is the one it lies in.

    Raises:
        EndlineError: when the recording cannot be used.
    """
    with one_file(path):
        motions = _motions(path)
        facts = _facts(path, motions)
    about = {"digest": file_digest(path), **facts}
    return sample_table({**row, **about} for row in _rows(path.name, None, motions, group=""))


def _motions(path: Path) -> Motions:
    signal, rate = DECODED.read(path, decoded)
    return find_motions(signal, int(rate))


def decoded(path: Path) -> tuple[Signal, NDArray[np.int64]]:
    """Recording as one channel and its rate, as arrays, for `DECODED`.

    Raises:
        FileRejected: as `read_recording`.
    """
    signal, rate = read_recording(path)
    return signal, np.array(rate)


def _look(path: Path, motions: Motions) -> str:
    signal, rate = DECODED.read(path, decoded)
    return look_hash(sound_look(signal, int(rate), [getattr(motions, part) for part in PARTS]))


def _facts(path: Path, motions: Motions) -> dict[str, float]:
    """Facts of the file, and the longest dropout from the start of its first motion to the end of the second."""
    signal, rate = DECODED.read(path, decoded)
    start, stop = (round(second * int(rate)) for second in (motions.fold[0], motions.unfold[1]))
    dropout = longest_dropout(signal[start:stop], int(rate))
    if dropout["dropout_seconds"]:
        dropout["dropout_start"] += motions.fold[0]
    return {**file_facts(path), **dropout}


def _rows(name: str, kind: str | None, motions: Motions, *, group: str) -> Iterator[dict[str, object]]:
    for part in PARTS:
        start, stop = getattr(motions, part)
        yield {
            "sample_id": f"{name}#{part}",
            "path": name,
            "group": group,
            "label": None if kind is None else int(kind != NORMAL),
            "kind": kind,
            "part": part,
            "start": start,
            "stop": stop,
            "rest_start": motions.standstill[0],
            "rest_stop": motions.standstill[1],
        }


def kinds_of_files(folder: Path, table: Path | None, names: Sequence[str], own: Own) -> Labelled:
    """Kinds of the files by the label table, or without one by their folders."""
    if table is not None:
        return read_label_table(table, names, own)
    kinds = {name: kind_of_folders(name.split("/")[:-1], own) for name in names}
    check_words(kinds.values(), f"{folder}, by the names of its folders,", own)
    return Labelled(kinds, [])
