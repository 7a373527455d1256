"""Layouts of image folders: which photographs lie where, what each shows, and where its mask belongs."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from endline.errors import EndlineError
from endline.evidence.folders import kind_of_folders, list_folder, other_endings, visible_files
from endline.evidence.images.decoding import SUFFIXES
from endline.evidence.images.mask_pairs import ORPHAN, in_mask_folder, is_mask_folder, mask_key, masks_among, pair_masks
from endline.evidence.labels import Own, kind_of
from endline.samples import NORMAL

MVTEC = ("train", "test", "ground_truth")  # folders of a category, whatever the user's words make of such names
VALIDATION = "validation/good"
ALL = "all"  # the group of all categories at once
MAGNETIC_TILE = "magnetic_tile"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photograph:
    """One image file, not yet opened.

    Attributes:
        path, mask: of the file and of its mask, relative to the raw folder, POSIX; None where it has no mask.
        kind: NORMAL, the kind of its defect, or None where that is unknown.
        category: the product it shows.
        split: `train` or `test` where the data set says so, else `test`.

    Example:
        >>> Photograph("dent/0.png", "masks/dent/0.png", "dent", "tile").split
        'test'
    """

    path: str
    mask: str | None
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
        unpaired: path, reason and remedy of each mask that no photograph takes.
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
    unpaired: tuple[tuple[str, str, str], ...] = ()
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


def chosen_group(group: object) -> str | None:
    """Name of the group of a run as it was asked for: a number on the command line is the name of a folder.

    Raises:
        EndlineError: for an empty name.
    """
    if group is None:
        return None
    name = str(group).strip()
    if not name:
        raise EndlineError("group= is empty: name a category (--params=group=<name>), or leave it out.")
    return name


def _magnetic_tiles(folder: Path, tiles: Iterable[Path], group: str, own: Own | None) -> Layout:
    """MTD (Huang et al. 2020): `MT_<Kind>/Imgs/*.jpg`, each with a `.png` mask beside; MT_Free is normal."""
    photographs, masks = [], set()
    for tile in tiles:
        kind = tile.name.removeprefix("MT_").lower()
        paths = _images(tile / "Imgs")
        beside = {path for path in paths if path.suffix.lower() == ".png"}
        masks |= {_inside(folder, path) for path in beside}
        for path in (each for each in paths if each not in beside):
            mask = _inside(folder, path.with_suffix(".png")) if path.with_suffix(".png") in beside else None
            shown = NORMAL if kind == "free" else kind_of(kind, own)
            photographs.append(Photograph(_inside(folder, path), mask, shown, group))
    orphans = masks - {photograph.mask for photograph in photographs}
    unpaired = tuple((mask, *ORPHAN) for mask in sorted(orphans))
    return Layout(photographs, masks, {group: folder / "MT_Free/Imgs"}, False, group, unpaired, (folder,))


def _plain(folder: Path, normal: Path, group: str, own: Own | None) -> Layout:
    """`normal/`, and what else there is: a folder a kind, or `abnormal/` with or without a sub-folder a kind.

    Masks lie in folders named so (`MASK_FOLDERS`), anywhere, or beside their photographs as `<name>_mask`, see
    `masks_among`.
    """
    paths = [_inside(folder, path) for path in _images(folder)]
    masks = masks_among(paths)
    _tell(masks)
    kinds = {path: kind_of_folders(Path(path).parts[:-1], own) for path in paths if path not in masks}
    photographs = [Photograph(path, None, kind, group) for path, kind in kinds.items()]
    keys = {photograph.path: mask_key(photograph.path) for photograph in photographs}
    paired, unpaired = _paired(photographs, keys, {mask: mask_key(mask) for mask in masks})
    return Layout(paired, masks, {group: normal}, False, group, unpaired, (folder,))


def _mvtec(folder: Path, categories: dict[str, Path], group: str | None, own: Own | None) -> Layout:
    """MVTec AD (Bergmann et al. 2019): `train/good`, `test/<defect or good>`, `ground_truth/<defect>/*_mask.png`.

    The masks may lie in any folder of `MASK_FOLDERS`, or beside the tested photographs. Where `test` has no normal
    photograph, those of `validation/good` (MVTec LOCO AD, 3D-AD) are tested; else they are left out.
    """
    photographs: list[Photograph] = []
    masks: set[str] = set()
    unpaired: tuple[tuple[str, str, str], ...] = ()
    for name, category in categories.items():
        tested = [_inside(folder, path) for path in _images(category / "test")]
        marked = masks_among(_inside(category / "test", folder / path) for path in tested)
        beside = {path for path in tested if _inside(category / "test", folder / path) in marked}
        folders = sorted(path for path in category.iterdir() if path.is_dir() and is_mask_folder(path.name))
        apart = {_inside(folder, path) for top in folders for path in _images(top)}
        top = _inside(folder, category)
        found = [
            Photograph(_inside(folder, path), None, NORMAL, name, "train") for path in _images(category / "train/good")
        ]
        keys = {}
        for path in (each for each in tested if each not in beside):
            key = mask_key(path, f"{top}/test")
            kind = Path(path).relative_to(Path(top, "test")).parts[:-1]
            keys[path] = key
            found.append(Photograph(path, None, kind_of_folders(kind, own), name, "test"))
        if not any(each.kind == NORMAL and each.split == "test" for each in found):
            spare = [_inside(folder, path) for path in _images(category / VALIDATION)]
            found += [Photograph(path, None, NORMAL, name, "test") for path in spare]
            if spare:
                log.info("%s has no normal photograph in test/: the %d of %s are tested.", name, len(spare), VALIDATION)
        mask_keys = {mask: mask_key(mask, f"{top}/test") for mask in beside} | {m: mask_key(m, top) for m in apart}
        paired, left = _paired(found, keys, mask_keys)
        photographs, masks, unpaired = photographs + paired, masks | beside | apart, unpaired + left
        _tell(beside)
    normal_folders = {name: category / "train/good" for name, category in categories.items()}
    chosen = ALL if group == ALL else next(iter(categories))
    return Layout(photographs, masks, normal_folders, True, chosen, unpaired, tuple(categories.values()))


def judged_images(folder: Path, files: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Files of a folder of new photographs without those that are masks by their names, each an item of its own.

    Example:
        >>> folder = Path("new")
        >>> judged_images(folder, [folder / name for name in ("0.png", "0_mask.png", "gas_mask.png")])
        [(PosixPath('new/0.png'),), (PosixPath('new/gas_mask.png'),)]
    """
    masks = masks_among(_inside(folder, path) for path in files if path.suffix.lower() in SUFFIXES)
    return [(path,) for path in files if _inside(folder, path) not in masks]


def _tell(masks: Collection[str]) -> None:
    """Say that files which lie among photographs, in no folder of masks, count as such."""
    if beside := [path for path in sorted(masks) if not in_mask_folder(path)]:
        log.info("Masks by their names, and no photographs: %d files, %s first.", len(beside), beside[0])


def _paired(
    photographs: list[Photograph], keys: Mapping[str, tuple[str, ...]], masks: Mapping[str, tuple[str, ...]]
) -> tuple[list[Photograph], tuple[tuple[str, str, str], ...]]:
    """Photographs with their masks, and the masks that none takes."""
    faulty = [each.path for each in photographs if each.path in keys and each.kind not in (None, NORMAL)]
    pairs = pair_masks(keys, faulty, masks)
    return [replace(each, mask=pairs.mask_of.get(each.path)) for each in photographs], tuple(pairs.unpaired)


def _categories(folder: Path, group: str | None) -> dict[str, Path]:
    """Chosen categories of an MVTec AD folder, or the folder itself where it is one."""
    inside = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}
    if _is_category(folder):
        return chosen_categories(folder, {folder.resolve().name: folder}, group)
    categories = {name: path for name, path in inside.items() if _is_category(path)}
    if not categories:
        raise _no_layout(folder)
    return chosen_categories(folder, categories, group)


def chosen_categories(folder: Path, categories: Mapping[str, Path], group: str | None) -> dict[str, Path]:
    """Those of the categories of a folder that a group names: `all`, one, or None for the only one.

    Raises:
        EndlineError: when there is none of that name, or None and there are several.

    Example:
        >>> chosen_categories(Path("raw"), {"screw": Path("raw/screw")}, None)
        {'screw': PosixPath('raw/screw')}
    """
    if group == ALL or (group is None and len(categories) == 1):
        return dict(categories)
    # A folder of that name without `train/` and `test/` is chosen too: then its lack of train/good is reported.
    single = list(categories.values()) == [folder]
    known = categories if single else {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}
    if group is not None and group in known:
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
