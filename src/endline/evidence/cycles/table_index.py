"""Index of tables that hold many cycles, or recordings that are cut into windows."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.progress import track

from endline.errors import EndlineError, FileRejected
from endline.evidence.cycles.layouts import CycleFile, CycleLayout, named_signals
from endline.evidence.cycles.long_tables import LongTable, read_long_table
from endline.evidence.cycles.readings import FoundCycle, Gathered, Reading, Row, rows_of
from endline.evidence.cycles.values import CycleFormat
from endline.evidence.labels import Own, check_words, kind_of
from endline.evidence.rejected import Rejections
from endline.samples import NORMAL

FEW_FILES = 4  # recordings with normal windows from which whole ones train or are tested; of fewer, blocks of windows
BLOCKS = 30  # of one recording: 70 % of them are enough to promise a false-alarm rate of 5 %


def index_tables(
    folder: Path,
    layout: CycleLayout,
    own: Own,
    form: CycleFormat,
    signals: str | list[str],
    rejections: Rejections,
    about: Row,
) -> tuple[Gathered, int]:
    """Rows and signals of the cycles of all tables, see `rows_of`, and the number of cycles.

    A window's `unit` is its recording where whole recordings can be divided, else a block of neighbouring windows.
    What is not normal is a unit by itself: its label is of its own steps, so the normal windows beside it stay normal.

    Args:
        folder: raw folder.
        layout: its files.
        own: words of the user.
        form: how they are read.
        signals: those wanted, see `named_signals`.
        rejections: of tables and cycles.
        about: columns that all rows share.

    Raises:
        EndlineError: for doubtful words in the column of labels, a single cycle, or none that is normal.
    """
    found: list[FoundCycle] = []
    words: Counter[str] = Counter()
    digests: dict[str, str] = {}
    count = 0
    for file in track(layout.files, "Reading the tables", transient=True):
        with rejections.instead(file.path):
            table = read_long_table(folder / file.path, form, named_signals(signals))
            _check_label(table, file, form)
            pieces = table.pieces()
            count += len(pieces)
            words += Counter(word for piece in pieces for word in set(piece.labels))
            for piece in pieces:
                name = f"{file.path}/{piece.name}"
                with rejections.instead(name):
                    cycle = table.cycle(piece)
                    kind = file.kind if table.labels is None else piece.kind(own, form.share)
                    if file.split == "train" and kind != NORMAL:
                        raise _not_for_training(kind)
                    digests[name] = cycle.digest
                    where = {"first_row": piece.first, "rows": piece.rows}
                    found.append(FoundCycle(name, file.path, kind, file.split, where, Reading.of(cycle)))
    _check_words(folder, words, own, form)
    _check_count(folder, found, layout, form, count, words)
    if form.window is not None:
        found = _with_units(found)

    def digest(one: FoundCycle) -> str:
        return rejections.first_of(digests[one.name], one.name)

    return rows_of(found, signals, rejections, digest, about, published=layout.published_split), count


def _check_label(table: LongTable, file: CycleFile, form: CycleFormat) -> None:
    if form.label is not None and table.labels is None and file.kind is None:
        raise FileRejected(
            f"it has no column '{form.label}', and no folder says what it shows",
            "export the column, put the table into a folder named normal or by its fault, or name the right column "
            "(label in robot_cycle.preparation.formats)",
        )


def _not_for_training(kind: str | None) -> FileRejected:
    shown = "nobody knows what it shows" if kind is None else f"it shows '{kind}'"
    return FileRejected(f"below train/, but {shown}: nothing learns from it", "move it into a table below test/")


def _check_words(folder: Path, words: Collection[str], own: Own, form: CycleFormat) -> None:
    check_words((kind_of(word, own) for word in words), f"The column '{form.label}' of {folder}", own)


def _check_count(
    folder: Path,
    found: Sequence[FoundCycle],
    layout: CycleLayout,
    form: CycleFormat,
    count: int,
    words: Counter[str],
) -> None:
    if count == 1 and form.cycle is not None:
        raise EndlineError(
            f"{folder} holds a single cycle by the column '{form.cycle}' of {layout.files[0].path}: name the column "
            "that tells its cycles apart (cycle in robot_cycle.preparation.formats), or record more of them."
        )
    learns = "train" if layout.published_split else "test"
    if found and not any(one.kind == NORMAL and one.split == learns for one in found):
        said = ", ".join(f"'{word}' ({number})" for word, number in words.most_common(6))
        shown = f"'{form.label}' has the words {said}" if words else "no folder is named normal"
        raise EndlineError(
            f"{folder} holds no normal cycle to learn from, {shown}: name the word or folder of good ones by the "
            "setting labels (--params=labels.<word>=normal)."
        )


def _with_units(found: Sequence[FoundCycle]) -> list[FoundCycle]:
    normals = Counter(one.path for one in found if one.kind == NORMAL)
    by_file = len(normals) >= FEW_FILES
    seen: Counter[str] = Counter()
    with_units = []
    for one in found:
        unit = one.path
        if one.kind != NORMAL:
            unit = f"{one.path}, not normal"
        elif not by_file:
            # Neighbours look alike: a window must not be tested on what the one beside it has taught.
            blocks = max(2, min(BLOCKS // len(normals), normals[one.path]))
            unit = f"{one.path}, block {seen[one.path] * blocks // normals[one.path]}"
            seen[one.path] += 1
        with_units.append(one._replace(where={**one.where, "unit": unit}))
    return with_units
