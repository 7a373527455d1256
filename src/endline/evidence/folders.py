"""Folders of files, one a kind: what lies in them, what of it can be data, and what the folders' names say."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from endline.evidence.labels import Own, kind_of, names_a_fault
from endline.samples import NORMAL

# Of file systems, archives and programs, in lower case; names that begin with one of `HIDDEN` are theirs too.
TRASH = frozenset(
    {
        "__macosx",
        "__pycache__",
        "@eadir",
        "lost+found",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "desktop.ini",
        "ehthumbs.db",
        "thumbs.db",
    }
)
HIDDEN = (".", "~$")
LABEL_TABLES = ("labels.csv", "labels.tsv", "labels.xlsx")
NOTES = frozenset({".txt", ".md", ".pdf", ".rst", ".html"})  # endings of what people write about their data
FEW_NOTES = 2  # files of such an ending that people write about data without any
_NOTE_NAMES = ("readme", "license", "licence", "copying", "notice", "citation", "changelog")
_SIDE_FILES = frozenset({"simulation.json", "units.csv"})
Rejected = tuple[str, str, str]  # path, reason, remedy
ELSEWHERE = ("it lies outside the folders that are read", "move it into one of them, or take it away")
NO_TABLE = ("no table of labels is read here", "put the files into one folder a kind, or delete the table")


@dataclass(frozen=True)
class Listing:
    """What lies in a folder at any depth, without what is hidden or trash.

    Attributes:
        files: regular files that can be opened by their name, by path; links are followed.
        rejected: path, reason and remedy of everything else that is named like data or stands in the way.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "a.png").touch()
        >>> (folder / "b.png").symlink_to(folder / "nowhere")
        >>> listing = list_folder(folder)
        >>> [path.name for path in listing.files], listing.rejected[0][:2]
        (['a.png'], ('b.png', 'a link to something that is not there'))
    """

    files: list[Path]
    rejected: list[Rejected]


def list_folder(folder: Path, suffixes: Collection[str] = ()) -> Listing:
    """Everything in a folder; nothing is opened, so that no pipe can block.

    Links to folders are followed, but for those that lead back to a folder above them.

    Args:
        folder: raw folder.
        suffixes: endings of data (lower case): a folder so named is no data, and is not entered.
    """
    files: list[Path] = []
    rejected: list[Rejected] = []
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while waiting:
        here, above = waiting.pop()
        try:
            about = here.stat()
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as problem:
            reason = f"the folder cannot be read ({problem.strerror})"
            rejected.append((_inside(folder, here), reason, "check its rights and the disk"))
            continue
        identity = (about.st_dev, about.st_ino)
        if identity in above:
            rejected.append((_inside(folder, here), "a link back to a folder above it", "delete the link"))
            continue
        for entry in entries:
            path = here / entry.name
            if _is_trash(entry.name):
                continue
            if (problem_of := _problem(path, suffixes)) is not None:
                rejected.append((_inside(folder, path), *problem_of))
            elif path.is_dir():
                waiting.append((path, above | {identity}))
            else:
                files.append(path)
    return Listing(sorted(files), sorted(rejected))


def visible_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Files with these suffixes (lower case) at any depth, by path, without hidden ones and trash."""
    return [path for path in list_folder(folder, suffixes).files if path.suffix.lower() in suffixes]


def left_out(
    folder: Path,
    listing: Listing,
    taken: Collection[str],
    suffixes: Collection[str],
    readable: str,
    *,
    elsewhere: tuple[str, str] = ELSEWHERE,
    labels: tuple[str, str] = NO_TABLE,
) -> Iterator[Rejected]:
    """Path, reason and remedy of everything in a folder that an index has not taken, without notes and side files.

    Args:
        folder: raw folder.
        listing: of this folder, or of the one inside it that was looked at.
        taken: paths, relative to the raw folder, of the files that were taken, usable or not.
        suffixes: endings of data (lower case).
        readable: the formats of data, in the user's words.
        elsewhere: reason and remedy of a file that would be data by its ending.
        labels: reason and remedy of a label table that is not read.
    """
    yield from listing.rejected
    for path in listing.files:
        name, suffix = path.relative_to(folder).as_posix(), path.suffix.lower()
        if name in taken or is_side_file(path, suffixes):
            continue
        if path.name.lower() in LABEL_TABLES:
            yield name, *labels
        elif suffix in suffixes:
            yield name, *elsewhere
        else:
            named = f"the ending '{path.suffix}'" if path.suffix else "no ending"
            yield name, f"{named} is not one that is read here", f"export it as {readable}, or take it away"


def other_endings(listing: Listing, suffixes: Collection[str]) -> str:
    """What a folder without data holds instead, as the end of a clause: nothing, or `, but 3 files of .gif`.

    Example:
        >>> other_endings(Listing([Path("a.gif"), Path("b.gif"), Path("notes.txt")], []), [".png"])
        ', but 2 files that are not read here (.gif)'
    """
    unread = [path for path in listing.files if path.suffix.lower() not in suffixes]
    notes = Counter(path.suffix.lower() for path in unread)
    # One text is a note; several are what a recorder has exported.
    others = [path for path in unread if not is_side_file(path, suffixes) or notes[path.suffix.lower()] > FEW_NOTES]
    endings = ", ".join(sorted({path.suffix.lower() or "no ending" for path in others}))
    said = "1 file that is" if len(others) == 1 else f"{len(others)} files that are"
    return f", but {said} not read here ({endings})" if others else ""


def is_side_file(path: Path, suffixes: Collection[str]) -> bool:
    """Whether a file is no data by its name, but a note, a table of units or attributes, or that of a simulation.

    Example:
        >>> [is_side_file(Path(name), [".wav"]) for name in ("README", "a.txt", "a.wav", "a.gif")]
        [True, True, False, False]
    """
    name, suffix = path.name.lower(), path.suffix.lower()
    if name in _SIDE_FILES or (name.startswith("attributes") and suffix == ".csv"):
        return True
    if suffix in suffixes:
        return False
    return name.startswith(_NOTE_NAMES) or suffix in NOTES


def kind_of_folders(folders: Sequence[str], own: Own | None = None) -> str | None:
    """Kind of a file below `folders`: that of the first, or of the next inside `abnormal/` where there is one.

    A folder of normal or unknown ones inside another kind (`line_3/normal`) makes the kind that path, which
    `check_words` asks about, and so does one of faulty ones inside that of normal ones (`good/faulty`); the user's own
    words may be such paths.

    Example:
        >>> kind_of_folders(("scratch", "deep")), kind_of_folders(("abnormal", "dent")), kind_of_folders(())
        ('scratch', 'dent', None)
    """
    if not folders:
        return None
    for depth in range(len(folders), 0, -1):
        path = "/".join(folders[:depth])
        if own and path.casefold() in own:
            return own[path.casefold()]
    top, *deeper = folders
    if top.lower() == "abnormal":
        inside = kind_of(deeper[0], own) if deeper else None
        return top if inside in (None, NORMAL) else inside
    kind = kind_of(top, own)
    if kind in (None, NORMAL):
        faulty = [depth for depth, name in enumerate(deeper, 2) if names_a_fault(name)]
        return "/".join(folders[: faulty[0]]) if kind is not None and faulty else kind
    for depth, name in enumerate(deeper):
        if kind_of(name, own) in (None, NORMAL):
            return "/".join(folders[: depth + 2])
    return kind


def printable(name: str) -> str:
    r"""The name with what cannot be printed or written as UTF-8 escaped.

    Example:
        >>> print(printable("a\udcff\n.wav"))
        a\xff\n.wav
    """
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in name)


def _escaped(sign: str) -> str:
    undecoded = 0xDC00 <= ord(sign) <= 0xDCFF  # a byte of a file name that is no UTF-8
    return f"\\x{ord(sign) - 0xDC00:02x}" if undecoded else sign.encode("unicode_escape").decode()


def _is_trash(name: str) -> bool:
    return name.startswith(HIDDEN) or name.lower() in TRASH


def _problem(path: Path, suffixes: Collection[str]) -> tuple[str, str] | None:
    """Reason and remedy of an entry that is neither a folder to look into nor a file to open."""
    if any(0xDC00 <= ord(sign) <= 0xDFFF for sign in path.name):
        return "its name is no UTF-8", "rename it"
    try:
        if path.is_dir():
            return ("a folder, named like a file of data", "rename it") if path.suffix.lower() in suffixes else None
        if path.is_file():
            return None
        if path.is_symlink() and not path.exists():
            return "a link to something that is not there", "restore what it leads to, or delete the link"
    except OSError as problem:
        return f"it cannot be read ({problem.strerror})", "check its rights and the disk"
    return "neither a file nor a folder, but a pipe, socket or device", "take it away"


def _inside(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
