"""Layouts of folders of photographs and scans: which files are one sample, what each shows, where its mask is."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from endline.errors import EndlineError
from endline.evidence.folders import kind_of_folders, list_folder, other_endings, visible_files
from endline.evidence.images.layouts import ALL, chosen_categories
from endline.evidence.images.mask_pairs import pair_masks
from endline.evidence.labels import Own, kind_of
from endline.evidence.scans.roles import READABLE, SUFFIXES, Files, grouped, is_role_folder, without_roles
from endline.samples import NORMAL

SPLITS = ("train", "validation", "test")
EYECANDIES = {"train": "train", "val": "validation", "test_public": "test"}  # folder -> split
PHOTOGRAPH, DEPTH = "_image_4.png", "_depth.png"  # of Eyecandies: lit from the left, as published methods take it
FAULTS = ("bumps", "dents", "colors", "normals")  # of Eyecandies, each with a mask of its own
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """A photograph and a scan of one part, or one of them alone, not yet opened.

    Attributes:
        photograph, scan, mask: paths relative to the raw folder, POSIX; None where there is none.
        kind: NORMAL, the kind of its defect, or None where that is unknown.
        category: the product it shows.
        split: `train` or `test` where the data set says so, else `test`.
        faults: masks of single kinds of defect, by kind; the kind is told by those that mark anything (Eyecandies).

    Example:
        >>> Pair("cut/rgb/0.png", "cut/xyz/0.tiff", "cut/gt/0.png", "cut", "dowel").path
        'cut/rgb/0.png'
    """

    photograph: str | None
    scan: str | None
    mask: str | None
    kind: str | None
    category: str
    split: str = "test"
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        """Of the photograph, or of the scan that stands alone."""
        return self.photograph or self.scan or ""

    @property
    def files(self) -> tuple[str, ...]:
        """All its files."""
        masks = [path for _, path in self.faults]
        return tuple(path for path in (self.photograph, self.scan, self.mask, *masks) if path)


@dataclass(frozen=True)
class Layout:
    """What a folder of photographs and scans holds by the names of its files.

    Attributes:
        pairs: in the order of their paths, category by category.
        normal_folders: category -> folder in which its training files lie or belong.
        published_split: whether the data set divides training and test.
        group: name of the group.
        aside: path, reason and remedy of each file that belongs to no sample.
        roots: the folders that were looked through, the raw one or the chosen categories.
        passed: files that are no evidence of this station and need no word, such as other lights of Eyecandies.

    Example:
        >>> Layout([], {"dowel": Path("raw/normal")}, published_split=False, group="dowel").roots
        ()
    """

    pairs: list[Pair]
    normal_folders: dict[str, Path]
    published_split: bool
    group: str
    aside: tuple[tuple[str, str, str], ...] = ()
    roots: tuple[Path, ...] = ()
    passed: frozenset[str] = frozenset()


def find_layout(folder: Path, group: str | None, own: Own | None = None) -> Layout:
    """Recognise a plain folder by `normal/`, Eyecandies by `train/data`, MVTec 3D-AD by `train/` or `test/`.

    Args:
        folder: raw folder.
        group: category of MVTec 3D-AD or Eyecandies, `all`, or None for the only one; elsewhere the group's name, None
            for the folder's own.
        own: the user's words for folders.

    Raises:
        EndlineError: when the folder is missing, holds nothing to read, has none of the layouts, or not this category.
    """
    if not folder.is_dir():
        raise EndlineError(
            f"There is no folder {folder}: give the folder of photographs and scans (--params=raw=<folder>)."
        )
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    normals = [
        path
        for top in inside
        for path in (top, *(sorted(top.iterdir()) if is_role_folder(top.name) else ()))
        if path.is_dir() and path.name not in SPLITS and kind_of(path.name, own) == NORMAL
    ]
    if normals:
        name = folder.resolve().name if group in (None, ALL) else str(group)
        layout = _plain(folder, normals[0], name, own)
    else:
        categories = _categories(folder)
        if not categories:
            raise _no_layout(folder)
        chosen = chosen_categories(folder, categories, group)
        sweets = all((path / "train/data").is_dir() or (path / "test_public/data").is_dir() for path in chosen.values())
        layout = (_eyecandies if sweets else _mvtec)(folder, chosen, group, own)
    if not layout.pairs:
        raise _no_layout(folder)
    return layout


def _plain(folder: Path, normal: Path, group: str, own: Own | None) -> Layout:
    """`normal/` and a folder a kind beside it; photograph and scan share a name, or one stands alone."""
    paths = [_inside(folder, path) for path in visible_files(folder, SUFFIXES)]

    def shown(files: Files) -> tuple[str | None, str]:
        return kind_of_folders(without_roles(files.photograph or files.scan or ""), own), "test"

    pairs, aside = _paired(folder, paths, group, shown)
    return Layout(pairs, {group: normal}, False, group, tuple(aside), (folder,))


def _mvtec(folder: Path, categories: Mapping[str, Path], group: str | None, own: Own | None) -> Layout:
    """MVTec 3D-AD (Bergmann et al. 2022): `<category>/{train,validation,test}/<defect or good>/{rgb,xyz,gt}/NNN.*`.

    Where `test` has no normal part, those of `validation` are tested; else they are left aside.
    """
    pairs: list[Pair] = []
    aside: list[tuple[str, str, str]] = []
    passed: set[str] = set()
    for name, category in categories.items():
        top = _inside(folder, category)
        found: dict[str, list[Pair]] = {}
        for split in SPLITS:
            paths = [_inside(folder, path) for path in visible_files(category / split, SUFFIXES)]
            within = (PurePosixPath(top) / split).as_posix()

            def shown(files: Files, within: str = within, split: str = split) -> tuple[str | None, str]:
                path = PurePosixPath(files.photograph or files.scan or "").relative_to(within).as_posix()
                kind = kind_of_folders(without_roles(path), own)
                return kind, "train" if split == "train" else "test"

            found[split], left = _paired(folder, paths, name, shown)
            aside += left
        faulty = [each for each in found["train"] if each.kind != NORMAL]
        aside += [
            (each.path, "a training part that is not known to be good", "move it into train/good, or into test/")
            for each in faulty
        ]
        pairs += [each for each in found["train"] if each.kind == NORMAL] + found["test"]
        if any(each.kind == NORMAL for each in found["test"]):
            passed |= {file for each in found["validation"] for file in each.files}
            if found["validation"]:
                log.info("The %d parts in validation/ of %s are not used.", len(found["validation"]), name)
        else:
            pairs += [each for each in found["validation"] if each.kind == NORMAL]
    folders = {name: category / "train/good" for name, category in categories.items()}
    chosen = ALL if group == ALL else next(iter(categories))
    return Layout(pairs, folders, True, chosen, tuple(aside), tuple(categories.values()), frozenset(passed))


def _eyecandies(folder: Path, categories: Mapping[str, Path], group: str | None, own: Own | None) -> Layout:
    """Eyecandies (Bonfiglioli et al. 2022): `<Category>/{train,val,test_public}/data/NNN_{image_4,depth,mask}.png`.

    The other five lights, the normals and the private test set, whose labels are not published, are passed over.
    """
    pairs: list[Pair] = []
    passed: set[str] = set()
    for name, category in categories.items():
        found: dict[str, list[Pair]] = {}
        passed |= {_inside(folder, path) for path in visible_files(category, SUFFIXES)}
        for place, split in EYECANDIES.items():
            data = category / place / "data"
            names = {path.name for path in visible_files(data, SUFFIXES)} if data.is_dir() else set()
            stems = sorted(
                {each.removesuffix(end) for end in (PHOTOGRAPH, DEPTH) for each in names if each.endswith(end)}
            )

            def file(named: str, data: Path = data, names: set[str] = names) -> str | None:
                return _inside(folder, data / named) if named in names else None

            found[split] = [
                Pair(
                    file(f"{stem}{PHOTOGRAPH}"),
                    file(f"{stem}{DEPTH}"),
                    file(f"{stem}_mask.png"),
                    NORMAL if split != "test" else None,
                    name,
                    "train" if split == "train" else "test",
                    tuple(
                        (fault, path)
                        for fault in FAULTS
                        if split == "test" and (path := file(f"{stem}_{fault}_mask.png"))
                    ),
                )
                for stem in stems
            ]
        pairs += found["train"] + (found["test"] or found["validation"])
    folders = {name: category / "train/data" for name, category in categories.items()}
    chosen = ALL if group == ALL else next(iter(categories))
    passed -= {file for pair in pairs for file in pair.files}
    return Layout(pairs, folders, True, chosen, (), tuple(categories.values()), frozenset(passed))


def _paired(
    folder: Path, paths: Iterable[str], category: str, shown: Callable[[Files], tuple[str | None, str]]
) -> tuple[list[Pair], list[tuple[str, str, str]]]:
    """Pairs of files, and what belongs to none, with reason and remedy."""
    found = grouped(folder, paths)
    aside = [
        (path, f"a second file of the same name as {other}", "keep one of them, or rename both its files")
        for path, other in found.second
    ]
    pairs, keys, masks = {}, {}, {}
    for key, files in found.files.items():
        if files.mask:
            masks[files.mask] = key
        if files.photograph or files.scan:
            kind, split = shown(files)
            pair = Pair(files.photograph, files.scan, None, kind, category, split)
            pairs[pair.path], keys[pair.path] = pair, key
    faulty = [path for path, pair in pairs.items() if pair.kind not in (None, NORMAL)]
    matched = pair_masks(keys, faulty, masks)
    aside += matched.unpaired
    return [replace(pair, mask=matched.mask_of.get(path)) for path, pair in sorted(pairs.items())], aside


def _categories(folder: Path) -> dict[str, Path]:
    """Categories of a folder of them by name, or the folder itself where it is one."""
    inside = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}

    def is_category(path: Path) -> bool:
        return any((path / split).is_dir() for split in ("train", "test", "test_public"))

    if is_category(folder):
        return {folder.resolve().name: folder}
    return {name: path for name, path in inside.items() if is_category(path)}


def _no_layout(folder: Path) -> EndlineError:
    if not visible_files(folder, SUFFIXES):
        others = other_endings(list_folder(folder, SUFFIXES), SUFFIXES)
        return EndlineError(
            f"{folder} holds no photograph and no scan{others}: put those of good parts into {folder / NORMAL} "
            f"({READABLE})."
        )
    return EndlineError(
        f"{folder} has no folder '{NORMAL}', and not the layout of MVTec 3D-AD (<category>/train/good/xyz) or "
        f"Eyecandies (<Category>/train/data): put photographs and scans of good parts into {folder / NORMAL}."
    )


def _inside(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
