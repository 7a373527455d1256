"""Layouts of image folders: which photographs lie where, what each shows, and where its mask belongs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from endline.errors import EndlineError
from endline.evidence.folders import kind_of_folders, list_folder, other_endings, visible_files
from endline.evidence.images.masks import SUFFIXES
from endline.evidence.labels import Own, kind_of
from endline.samples import NORMAL

MVTEC = ("train", "test", "ground_truth")  # folders of a category, whatever the user's words make of such names
ALL = "all"  # the group of all categories at once
MAGNETIC_TILE = "magnetic_tile"


@dataclass(frozen=True)
class Photograph:
    """One image file, not yet opened.

    Attributes:
        path, mask: of the file and of the mask it would have, relative to the raw folder, POSIX.
        kind: NORMAL, the kind of its defect, or None where that is unknown.
        category: the product it shows.
        split: `train` or `test` where the data set says so, else `test`.

    Example:
        >>> Photograph("normal/0.png", "masks/normal/0.png", "normal", "tile").split
        'test'
    """

    path: str
    mask: str
    kind: str | None
    category: str
    split: str = "test"


@dataclass(frozen=True)
class Layout:
    """What an image folder holds by the names of its files.

    Attributes:
        photographs: in the order of their paths, category by category.
        masks: paths of the masks that are there.
        normal_folders: category -> folder in which its training images lie or belong.
        published_split: whether the data set divides training and test.
        group: name of the group.
        roots: the folders that were looked through, the raw one or the chosen categories.

    Example:
        >>> Layout([], set(), {"tile": Path("raw/normal")}, published_split=False, group="tile").group
        'tile'
    """

    photographs: list[Photograph]
    masks: set[str]
    normal_folders: dict[str, Path]
    published_split: bool
    group: str
    roots: tuple[Path, ...] = ()


def find_layout(folder: Path, group: str | None, own: Own | None = None) -> Layout:
    """Recognise MTD by `MT_<Kind>/Imgs`, a plain folder by `normal/`, MVTec AD by `train/` or `test/`.

    Args:
        folder: raw folder.
        group: category of an MVTec AD folder, `all`, or None for the only one; elsewhere the group's name, None for
            its usual one (`magnetic_tile`, the folder's own).
        own: the user's words for folders.

    Raises:
        EndlineError: when the folder is missing, holds no image, has none of the layouts, or not this category.
    """
    if not folder.is_dir():
        raise EndlineError(f"There is no folder {folder}: give the folder of the images (--params=raw=<folder>).")
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    tiles = [path for path in inside if path.name.startswith("MT_") and (path / "Imgs").is_dir()]
    normals = [path for path in inside if path.name not in MVTEC and kind_of(path.name, own) == NORMAL]
    name = None if group == ALL else group
    if tiles:
        layout = _magnetic_tiles(folder, tiles, name or MAGNETIC_TILE, own)
    elif normals:
        layout = _plain(folder, normals[0], name or folder.resolve().name, own)
    else:
        layout = _mvtec(folder, _categories(folder, group), group, own)
    if not layout.photographs:
        raise _no_layout(folder)
    return layout


def _magnetic_tiles(folder: Path, tiles: Iterable[Path], group: str, own: Own | None) -> Layout:
    """MTD (Huang et al. 2020): `MT_<Kind>/Imgs/*.jpg`, each with a `.png` mask beside; MT_Free is normal."""
    photographs, masks = [], set()
    for tile in tiles:
        kind = tile.name.removeprefix("MT_").lower()
        for path in _images(tile / "Imgs"):
            if path.suffix.lower() == ".png":
                masks.add(_inside(folder, path))
            else:
                mask = _inside(folder, path.with_suffix(".png"))
                shown = NORMAL if kind == "free" else kind_of(kind, own)
                photographs.append(Photograph(_inside(folder, path), mask, shown, group))
    return Layout(photographs, masks, {group: folder / "MT_Free/Imgs"}, False, group, (folder,))


def _plain(folder: Path, normal: Path, group: str, own: Own | None) -> Layout:
    """`normal/`, and what else there is: a folder a kind, or `abnormal/` with or without a sub-folder a kind."""
    photographs, masks = [], set()
    top = next((path.name for path in sorted(folder.iterdir()) if path.name.lower() == "masks"), "masks")
    for path in _images(folder):
        relative = path.relative_to(folder)
        folders = relative.parts[:-1]
        if folders[:1] == (top,):
            masks.add(relative.as_posix())
            continue
        mask = (top / relative.with_suffix(".png")).as_posix()
        photographs.append(Photograph(relative.as_posix(), mask, kind_of_folders(folders, own), group))
    return Layout(photographs, masks, {group: normal}, False, group, (folder,))


def _mvtec(folder: Path, categories: dict[str, Path], group: str | None, own: Own | None) -> Layout:
    """MVTec AD (Bergmann et al. 2019): `train/good`, `test/<defect or good>`, `ground_truth/<defect>/*_mask.png`."""
    photographs, masks = [], set()
    for name, category in categories.items():
        for split, top in (("train", category / "train/good"), ("test", category / "test")):
            for path in _images(top):
                shown = path.relative_to(category / split)
                kind = kind_of_folders(shown.parts[:-1], own)
                mask = category / "ground_truth" / shown.with_name(f"{shown.stem}_mask.png")
                photographs.append(Photograph(_inside(folder, path), _inside(folder, mask), kind, name, split))
        masks |= {_inside(folder, path) for path in _images(category / "ground_truth")}
    normal_folders = {name: category / "train/good" for name, category in categories.items()}
    chosen = ALL if group == ALL else next(iter(categories))
    return Layout(photographs, masks, normal_folders, True, chosen, tuple(categories.values()))


def _categories(folder: Path, group: str | None) -> dict[str, Path]:
    """Chosen categories of an MVTec AD folder, or the folder itself where it is one."""
    inside = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}
    single = _is_category(folder)
    categories = (
        {folder.resolve().name: folder} if single else {n: path for n, path in inside.items() if _is_category(path)}
    )
    if not categories:
        raise _no_layout(folder)
    if group == ALL or (group is None and len(categories) == 1):
        return categories
    # A folder of that name without `train/` and `test/` is chosen too: then its lack of train/good is reported.
    known = categories if single else inside
    if group in known:
        return {group: known[group]}
    choices = f"choose one of {', '.join(categories)}, or {ALL} (--params=group={next(iter(categories))})."
    if group is None:
        raise EndlineError(f"{folder} holds {len(categories)} categories: {choices}")
    raise EndlineError(f"{folder} holds no category '{group}': {choices}")


def _is_category(folder: Path) -> bool:
    return (folder / "train").is_dir() or (folder / "test").is_dir()


def _no_layout(folder: Path) -> EndlineError:
    if not _images(folder):
        others = other_endings(list_folder(folder, SUFFIXES), SUFFIXES)
        return EndlineError(
            f"{folder} holds no image{others}: put photographs of good parts into {folder / NORMAL} "
            "(png, jpg, tif, ...)."
        )
    return EndlineError(
        f"{folder} has no folder '{NORMAL}', and not the layout of MVTec AD (<category>/train/good) or MTD "
        f"(MT_Free/Imgs): put photographs of good parts into {folder / NORMAL}."
    )


def _inside(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _images(folder: Path) -> list[Path]:
    return visible_files(folder, SUFFIXES)
