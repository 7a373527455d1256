"""The table beside raw files that labels them: columns `recording,fault`, one row a file."""

import logging
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from endline.errors import EndlineError
from endline.evidence.folders import LABEL_TABLES, Rejected
from endline.evidence.labels import Own, check_words, frequent_fault, kind_of
from endline.evidence.tables import read_own_table
from endline.samples import NORMAL

COLUMNS = ("recording", "fault")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """What a label table says.

    Attributes:
        kinds: of the files that it labels, by path: NORMAL, a kind of fault, or None where it says unknown.
        rejected: path, reason and remedy of rows that name no file, and of files whose rows contradict each other.

    Example:
        >>> Labelled({"a.wav": "normal"}, []).kinds["a.wav"]
        'normal'
    """

    kinds: Mapping[str, str | None]
    rejected: list[Rejected]


def find_label_table(folder: Path) -> Path | None:
    """The label table of a raw folder, None where there is none.

    Raises:
        EndlineError: when there are several, or it is no file that can be opened.
    """
    tables = sorted(path for path in folder.iterdir() if path.name.lower() in LABEL_TABLES)
    if len(tables) > 1:
        raise EndlineError(
            f"{folder} holds several tables of labels ({', '.join(path.name for path in tables)}): keep the right one."
        )
    if tables and not tables[0].is_file():
        raise EndlineError(f"{tables[0]} is no file, or a link to something that is not there: put the table there.")
    return tables[0] if tables else None


def read_label_table(path: Path, names: Sequence[str], own: Own | None = None) -> Labelled:
    r"""Labels of the files of a folder by its label table.

    A row may name a file by its path in the folder, with `/` or `\`, or by its name alone; where none is written just
    so, upper and lower case do not matter, nor how accents are encoded. What the words mean: see `kind_of`.

    Args:
        path: of the table.
        names: paths of the files, relative to the raw folder, POSIX.
        own: words of the user.

    Raises:
        EndlineError: when the table cannot be read or lacks a column, no file is labelled normal though others are
            labelled, or a word may mean a fault or not.
    """
    kinds: dict[str, dict[str | None, int]] = defaultdict(dict)  # file -> kind -> number of the row
    rejected: list[Rejected] = []
    spelling: dict[str, str] = {}  # `Scratch` and `scratch` are one kind
    find = _finder(names)
    for number, recording, fault in _rows(path):
        kind = kind_of(fault, own)
        kind = kind and spelling.setdefault(kind.casefold(), kind)
        if not recording:
            if fault:
                problem = f"row {number} labels no recording"
                rejected.append((path.name, problem, "write the recording's name there, or delete the row"))
            continue
        matches = find(recording)
        if len(matches) == 1:
            kinds[matches[0]].setdefault(kind, number)
        elif matches:
            problem = f"{path.name} names it, but {len(matches)} files have this name"
            rejected.append((recording, problem, "write its path in the folder"))
        else:
            problem = f"{path.name} names it, but there is no such file"
            rejected.append((recording, problem, "restore it or delete the line"))
    agreed = {name: next(iter(said)) for name, said in kinds.items() if len(said) == 1}
    for name, said in kinds.items():
        if len(said) > 1:
            words = ", ".join(f"{kind or 'unknown'} in row {number}" for kind, number in said.items())
            problem = f"{path.name} contradicts itself ({words})"
            rejected.append((name, problem, "keep the right line and delete the others"))
    _check_kinds(path, [kind for said in kinds.values() for kind in said], own)
    return Labelled(agreed, rejected)


def _check_kinds(path: Path, kinds: Sequence[str | None], own: Own | None) -> None:
    check_words(kinds, str(path), own)
    counts = Counter(kind for kind in kinds if kind is not None)
    if counts and NORMAL not in counts:
        said = ", ".join(f"'{kind}' ({count})" for kind, count in counts.most_common(6))
        raise EndlineError(
            f"{path} labels no recording as normal, and endline learns from good parts only; its words are {said}: "
            "label good ones '0' or 'normal', or name the word for them by the setting labels "
            f"(--params=labels.<word>=normal)."
        )
    if (often := frequent_fault(kinds)) is not None and often[0] not in set((own or {}).values()):
        log.warning(
            "'%s' counts as a kind of fault, and %d of the %d labelled recordings of %s have it: if it means good "
            "ones, say so by the setting labels (--params=labels.<word>=normal).",
            *often,
            path,
        )


def _rows(path: Path) -> list[tuple[int, str, str]]:
    """Number of the row in the file, recording and fault of each, as text."""
    table = read_own_table(path)
    columns = [str(name) for name in table.columns]
    places = {wanted: [i for i, name in enumerate(columns) if name.lower() == wanted] for wanted in COLUMNS}
    if not all(places.values()):
        raise EndlineError(f"{path} has the columns {', '.join(columns)}: it needs recording,fault.")
    if twice := [name for name, at in places.items() if len(at) > 1]:
        raise EndlineError(f"{path} has {len(places[twice[0]])} columns '{twice[0]}': keep the right one.")
    recordings, faults = (table.iloc[:, at[0]] for at in places.values())
    return list(zip(table.index.tolist(), recordings, faults, strict=True))


def _finder(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Which files a row of the table names."""
    lookups: list[tuple[Callable[[str], str], dict[str, list[str]]]] = []
    for form in (_written, lambda name: _written(name).casefold()):
        for bare in (False, True):
            found: dict[str, list[str]] = defaultdict(list)
            for name in names:
                found[form(name.rsplit("/", 1)[-1] if bare else name)].append(name)
            lookups.append((form, found))

    def find(recording: str) -> list[str]:
        return next((found[form(recording)] for form, found in lookups if form(recording) in found), [])

    return find


def _written(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")
