"""Which file of a folder is a photograph, which a scan and which a mask, and which of them belong together."""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from endline.evidence.images.decoding import SUFFIXES as IMAGE_SUFFIXES
from endline.evidence.images.mask_pairs import is_mask_folder
from endline.evidence.scans.stored_scan import DECODERS

SUFFIXES = IMAGE_SUFFIXES | DECODERS.keys()
READABLE = "PNG, JPEG or TIFF (photographs), TIFF, PNG of 16 bits, npy, npz, PLY or PCD (scans)"
SCAN_FOLDERS = frozenset(
    {"xyz", "depth", "depths", "scan", "scans", "pointcloud", "pointclouds", "cloud", "clouds", "ply", "pcd"}
)
PHOTOGRAPH_FOLDERS = frozenset({"rgb", "image", "images", "photo", "photos", "photograph", "photographs"})
BOTH = (".tif", ".tiff", ".png")  # endings of photographs and of scans
ENDS = {
    "scan": re.compile(r"[_-](depth|xyz|scan|cloud|pointcloud)$"),
    "photograph": re.compile(r"[_-](rgb|image|photo|image_4)$"),  # the last: the photograph of Eyecandies
    "mask": re.compile(r"[_ -](mask|gt)$"),
}
Role = Literal["photograph", "scan", "mask"]
Key = tuple[str, ...]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Files:
    """Files of one name.

    Attributes:
        photograph, scan, mask: paths relative to the raw folder, POSIX; None where there is none.

    Example:
        >>> Files(photograph="good/rgb/0.png", scan="good/xyz/0.tiff").mask is None
        True
    """

    photograph: str | None = None
    scan: str | None = None
    mask: str | None = None


@dataclass
class Grouped:
    """Files of a folder by the name that they share.

    Attributes:
        files: key (folders and stem in lower case, without those that say a role) -> files.
        second: path and that of the file of the same role and name that was taken.

    Example:
        >>> grouped(Path("raw"), ["good/rgb/0.jpg", "good/xyz/0.ply"]).files
        {('good', '0'): Files(photograph='good/rgb/0.jpg', scan='good/xyz/0.ply', mask=None)}
    """

    files: dict[Key, Files] = field(default_factory=dict)
    second: list[tuple[str, str]] = field(default_factory=list)

    def seconds(self) -> dict[str, Files]:
        """Each second photograph and scan -> the files of its name, in which it stands for the one that was taken."""
        found = {}
        for path, taken in self.second:
            for files in self.files.values():
                if taken == files.photograph:
                    found[path] = replace(files, photograph=path)
                elif taken == files.scan:
                    found[path] = replace(files, scan=path)
        return found


def grouped(folder: Path, paths: Iterable[str]) -> Grouped:
    """Group files by the names that they share.

    A file's role is said by the end of its name (`0_depth.png`, `0_rgb.png`, `0_mask.png`), by the folder it lies in or
    the first one (`xyz/`, `rgb/`, `gt/`), else by what it is: a cloud, an array, a TIFF of floats and grey of 16 bits
    are scans; of two scans of one name, grey of 16 bits is the photograph.

    Args:
        folder: raw folder.
        paths: relative to it, POSIX.
    """
    found = Grouped()
    named: dict[Key, dict[Role, list[tuple[str, bool]]]] = {}
    for path in paths:
        role, key, said = role_of(folder, path)
        named.setdefault(key, {}).setdefault(role, []).append((path, said))
    for key, roles in named.items():
        scans, photographs = roles.get("scan", []), roles.get("photograph", [])
        if not photographs and len(scans) > 1:
            guessed = [each for each in scans if not each[1] and PurePosixPath(each[0]).suffix.lower() in BOTH]
            deep = [each for each in guessed if _is_integer_image(folder / each[0])]
            if len(deep) == 1:
                photographs, scans = deep, [each for each in scans if each not in deep]
        taken = {}
        for role, every in (("photograph", photographs), ("scan", scans), ("mask", roles.get("mask", []))):
            if every:
                taken[role] = every[0][0]
                found.second += [(path, every[0][0]) for path, _ in every[1:]]
        found.files[key] = Files(**taken)
    return found


def items_of(folder: Path, files: Iterable[Path]) -> list[tuple[Path, ...]]:
    """Of the files of a folder the photograph and the scan of each part, as far as it has both; no mask.

    A second file of the same role and name is an item of its own, as is one whose ending is not read.

    Example:
        >>> folder = Path("raw")
        >>> found = items_of(folder, [folder / name for name in ("rgb/0.jpg", "xyz/0.ply", "xyz/1.ply")])
        >>> [[path.as_posix() for path in item] for item in found]
        [['raw/rgb/0.jpg', 'raw/xyz/0.ply'], ['raw/xyz/1.ply']]
    """
    every = list(files)
    found = grouped(folder, (path.relative_to(folder).as_posix() for path in every if is_readable(path)))
    pairs = [(each.photograph, each.scan) for each in found.files.values()]
    for path, each in found.seconds().items():
        pairs.append((path, each.scan if path == each.photograph else each.photograph))
    items = [tuple(folder / name for name in pair if name) for pair in pairs if any(pair)]
    return items + [(path,) for path in every if not is_readable(path)]


def is_readable(path: Path) -> bool:
    """Whether a file is a photograph or a scan by its ending.

    Example:
        >>> is_readable(Path("part.PLY")), is_readable(Path("part.stl"))
        (True, False)
    """
    return path.suffix.lower() in SUFFIXES


def role_of(folder: Path, path: str) -> tuple[Role, Key, bool]:
    """Role of a file, the key that it shares with the others of its sample, and whether its name says the role.

    Example:
        >>> role_of(Path("raw"), "Dent/xyz/003.tiff"), role_of(Path("raw"), "gt/dent/3_mask.png")
        (('scan', ('dent', '003'), True), ('mask', ('dent', '3'), True))
    """
    *folders, name = (part.lower() for part in PurePosixPath(path).with_suffix("").parts)
    suffix = PurePosixPath(path).suffix.lower()
    role: Role | None = None
    for place in sorted({len(folders) - 1, 0}, reverse=True) if folders else ():
        if (said := _said_by_folder(folders[place])) is not None:
            role = said
            del folders[place]
            break
    for each in ("scan", "photograph", "mask"):
        bare = ENDS[each].sub("", name)
        if bare and bare != name:
            name = bare
            role = role or each  # a mask in gt/ may be named 0_rgb
            break
    if role is None:
        return _by_content(folder / path, suffix), (*folders, name), False
    if role == "scan" and suffix not in DECODERS:
        role = "photograph"  # a JPEG is none, wherever it lies
    return role, (*folders, name), True


def without_roles(path: str) -> tuple[str, ...]:
    """Folders of a file (POSIX) without the one that says its role.

    Example:
        >>> without_roles("scratch/rgb/0.png"), without_roles("xyz/normal/0.tiff"), without_roles("0.png")
        (('scratch',), ('normal',), ())
    """
    folders = list(PurePosixPath(path).parts[:-1])
    for place in sorted({len(folders) - 1, 0}, reverse=True) if folders else ():
        if _said_by_folder(folders[place].lower()) is not None:
            del folders[place]
            break
    return tuple(folders)


def is_role_folder(name: str) -> bool:
    """Whether a folder's name says what its files are.

    Example:
        >>> is_role_folder("rgb"), is_role_folder("dent")
        (True, False)
    """
    return _said_by_folder(name.lower()) is not None


def partners(path: Path) -> tuple[Path, Files]:
    """The files that belong to a photograph or a scan, below the folder that is given first.

    They lie beside it under the same name, or in folders beside its own that are named for their role. A second file of
    the same role and name goes with the same other one, and is told.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("rgb/0.png", "xyz/0.tiff"):
        ...     (folder / name).parent.mkdir()
        ...     (folder / name).touch()
        >>> partners(folder / "xyz/0.tiff")[1].photograph
        'rgb/0.png'
    """
    apart = is_role_folder(path.parent.name)
    root = path.parent.parent if apart else path.parent
    stem = path.stem.lower()
    folders = [each for each in root.iterdir() if each.is_dir() and is_role_folder(each.name)] if apart else [root]
    near = [
        file.relative_to(root).as_posix()
        for each in sorted(folders)
        for file in sorted(each.iterdir())
        if is_readable(file) and file.is_file() and _akin(file.stem.lower(), stem)
    ]
    found, name = grouped(root, near), path.relative_to(root).as_posix()
    for files in found.files.values():
        if name in (files.photograph, files.scan):
            return root, files
    if (own := found.seconds().get(name)) is not None:
        log.warning("%s is a second file of the same name as %s: keep one of them.", name, dict(found.second)[name])
        return root, own
    return root, Files(**{role_of(root, name)[0]: name})


def _akin(stem: str, other: str) -> bool:
    """Whether two stems may be of one sample: the same but for an end that says a role."""
    return _bare(stem) == _bare(other)


def _bare(stem: str) -> str:
    for pattern in ENDS.values():
        if bare := pattern.sub("", stem):
            stem = bare
    return stem


def _said_by_folder(name: str) -> Role | None:
    if name in SCAN_FOLDERS:
        return "scan"
    if name in PHOTOGRAPH_FOLDERS:
        return "photograph"
    return "mask" if is_mask_folder(name) else None


def _by_content(path: Path, suffix: str) -> Role:
    if suffix not in DECODERS:
        return "photograph"
    if suffix not in BOTH:
        return "scan"
    return "scan" if _is_float_image(path) or _is_integer_image(path) else "photograph"


def _is_integer_image(path: Path) -> bool:
    """Whether an image is grey of 16 bits, by its header."""
    try:
        if path.suffix.lower() == ".png":
            with path.open("rb") as file:
                head = file.read(26)
            return len(head) == 26 and head[12:16] == b"IHDR" and head[24] == 16 and head[25] == 0
        shape, kind, size = _tiff_head(path)
    except Exception:  # damaged: the index says so when it decodes it
        return False
    return kind in "iu" and size >= 2 and len(shape) == 2


def _is_float_image(path: Path) -> bool:
    """Whether a TIFF holds floats, by its header; one that is damaged counts as such, and is refused as a scan."""
    if path.suffix.lower() == ".png":
        return False
    try:
        return _tiff_head(path)[1] == "f"
    except Exception:
        return True


def _tiff_head(path: Path) -> tuple[tuple[int, ...], str, int]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        return tuple(series.shape), series.dtype.kind, series.dtype.itemsize
