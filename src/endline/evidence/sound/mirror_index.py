"""Index of the station `mirror_audio`: a folder of recordings becomes a sample table."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from rich.progress import track

from endline.errors import EndlineError, FileRejected
from endline.evidence.decoded import DECODED
from endline.evidence.rejected import Rejections
from endline.evidence.sound.motions import Motions, find_motions
from endline.evidence.sound.recordings import Signal, read_recording
from endline.files import file_digest
from endline.samples import NORMAL, NORMAL_WORDS, Index, sample_table

LABELS = "labels.csv"
PARTS = ("fold", "unfold")
log = logging.getLogger(__name__)


def index_recordings(folder: Path, *, group: str, simulated: bool) -> Index:
    """Read every recording once: is it sound, and where are its motions.

    Labels come from `labels.csv` (columns `recording,fault`; `0`, `normal`, `good` or `ok` are normal, an empty fault
    is unknown) or, without that file, from one sub-folder a fault. Recordings without a label are kept: they are
    scored, and counted in no figure.

    Args:
        folder: raw folder, with the recordings at any depth, in any format that libsndfile reads.
        group: name of the group.
        simulated: whether the recordings were simulated.

    Returns:
        Two rows a recording (fold, unfold), with the columns `start, stop` of the motion and `rest_start, rest_stop` of
        the standstill, in seconds.

    Raises:
        EndlineError: when the folder is missing or holds no usable recording, or the label table cannot be read.
    """
    if not folder.is_dir():
        raise EndlineError(f"There is no folder {folder}: give the folder of the recordings (--params=raw=<folder>).")
    endings = {f".{name.lower()}" for name in soundfile.available_formats()} | {".aif", ".oga", ".opus"}
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())
    if not files:
        raise EndlineError(f"{folder} holds no recording: put sound files there (wav, flac, ...), with a {LABELS}.")
    faults, rejected = _faults(folder, files)
    rejections = Rejections(folder, "recording", rejected)
    rows: list[dict[str, object]] = []
    for path in track(files, "Looking for the motions", transient=True):
        name = path.relative_to(folder).as_posix()
        with rejections.instead(name):
            motions = _motions(path)
            digest = rejections.digest(name)
            rows.extend(_rows(name, faults.get(name), motions, group=group, simulated=simulated, digest=digest))
    table = rejections.table(len(files), usable=bool(rows))
    samples = sample_table(rows)
    unknown = int(samples["label"].isna().sum()) // len(PARTS)
    if unknown:
        log.warning("%d recordings have no label in %s: they are scored, but count in no figure.", unknown, folder)
    return Index(samples, table)


def index_recording(path: Path) -> pd.DataFrame:
    """Sample table of one recording whose label is unknown; its raw folder is the one it lies in.

    Raises:
        EndlineError: when the recording cannot be used.
    """
    try:
        motions = _motions(path)
    except FileRejected as problem:
        raise EndlineError(f"{path}: {problem}") from problem
    except OSError as problem:
        raise EndlineError(
            f"{path}: it cannot be read ({problem.strerror}): check the file's rights and the disk."
        ) from problem
    return sample_table(_rows(path.name, None, motions, group="", simulated=False, digest=file_digest(path)))


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


def _rows(
    name: str, fault: str | None, motions: Motions, *, group: str, simulated: bool, digest: str
) -> Iterator[dict[str, object]]:
    normal = fault is not None and fault.strip().lower() in NORMAL_WORDS
    for part in PARTS:
        start, stop = getattr(motions, part)
        yield {
            "sample_id": f"{name}#{part}",
            "path": name,
            "group": group,
            "label": None if fault is None else 0 if normal else 1,
            "kind": NORMAL if normal else fault,
            "part": part,
            "simulated": simulated,
            "start": start,
            "stop": stop,
            "rest_start": motions.standstill[0],
            "rest_stop": motions.standstill[1],
            "digest": digest,
        }


def _faults(folder: Path, files: list[Path]) -> tuple[Mapping[str, str], list[tuple[str, str, str]]]:
    """Fault of each labelled file (by its path in the folder), and the labels that name no file."""
    names = [path.relative_to(folder).as_posix() for path in files]
    table = folder / LABELS
    if not table.exists():
        return {name: name.split("/")[0] for name in names if "/" in name}, []
    try:
        labels = pd.read_csv(table, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise EndlineError(
            f"{table} cannot be read ({error}): save it as CSV with the columns recording,fault."
        ) from error
    if not {"recording", "fault"} <= set(labels.columns):
        raise EndlineError(f"{table} has the columns {', '.join(labels.columns)}: it needs recording,fault.")
    labels = labels.assign(recording=labels["recording"].str.strip(), fault=labels["fault"].str.strip())
    contradicted = labels.groupby("recording")["fault"].nunique()
    if (contradicted > 1).any():
        name = contradicted[contradicted > 1].index[0]
        raise EndlineError(f"{table} gives {name} more than one fault: keep the right line and delete the others.")
    # A label may name the file by its path in the folder, or by its name alone where that is unambiguous.
    by_name = pd.Series(names, dtype=str).groupby([name.rsplit("/", 1)[-1] for name in names]).agg(list)
    faults: dict[str, str] = {}
    rejected: list[tuple[str, str, str]] = []
    for recording, fault in zip(labels["recording"], labels["fault"], strict=True):
        matches = [recording] if recording in names else by_name.get(recording, [])
        if len(matches) == 1:
            if fault:
                faults[matches[0]] = fault
        elif not matches:
            rejected.append(
                (recording, f"{LABELS} names it, but there is no such file", "restore it or delete the line")
            )
        else:
            rejected.append(
                (
                    recording,
                    f"{LABELS} names it, but {len(matches)} files have this name",
                    "write its path in the folder",
                )
            )
    return faults, rejected
