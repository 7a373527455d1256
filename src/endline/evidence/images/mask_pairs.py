"""Which image files are masks, and which photograph each belongs to, by the names of files and folders alone."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

MASK_FOLDERS = frozenset(
    {"mask", "masks", "defect_mask", "defect_masks", "gt", "annotation", "annotations", "segmentation", "segmentations"}
    | {"ground_truth", "ground_truths", "groundtruth", "groundtruths"}
)
WORDS = r"(masks?|gt|labels?|seg|segmentations?|annotations?|ground[_ -]?truth)"
SUFFIX, PREFIX = re.compile(rf"[_ .-]{WORDS}$"), re.compile(rf"^{WORDS}[_ .-]")  # of a name in lower case
KIND_OR_MASKS = re.compile(rf"^{WORDS}$")  # of a folder that may as well be one of photographs
ORPHAN = (
    "a mask without an image",
    "restore its image, delete the mask, or rename its folder if it holds photographs",
)
Key = tuple[str, ...]  # folders and stem of a file, in lower case, without a folder of masks


def masks_among(paths: Iterable[str]) -> set[str]:
    """Paths that lie in a folder of masks, of any case, or are named as the mask of an image that is there.

    That is `<name>_mask`, `gt_<name>`, and so with the other `WORDS`, beside an image `<name>`; and `labels/dent/0` or
    `dent_mask/0` where there is `dent/0`. A folder `labels` that has no such image may be a kind of defect.

    Args:
        paths: of image files, relative to the raw folder, POSIX.

    Example:
        >>> sorted(masks_among(["dent/0.png", "dent/0_mask.png", "dent/gas_mask.png", "Ground-Truth/dent/1.png"]))
        ['Ground-Truth/dent/1.png', 'dent/0_mask.png']
    """
    every = list(paths)
    keys = {_key(path) for path in every}
    return {path for path in every if in_mask_folder(path) or keys.intersection(_readings(_key(path))[:-1])}


def in_mask_folder(path: str) -> bool:
    """Whether a file (POSIX) lies in a folder of masks, however deep.

    Example:
        >>> in_mask_folder("masks/dent/0.png"), in_mask_folder("dent/0_mask.png")
        (True, False)
    """
    return any(is_mask_folder(part) for part in PurePosixPath(path).parts[:-1])


def is_mask_folder(name: str) -> bool:
    """Whether a folder is named as one of masks.

    Example:
        >>> [is_mask_folder(name) for name in ("Masks", "ground truth", "scratch")]
        [True, True, False]
    """
    return re.sub(r"[\s-]+", "_", name.strip().lower()) in MASK_FOLDERS


def pair_masks(photographs: Mapping[str, Key], faulty: Iterable[str], masks: Mapping[str, Key]) -> "MaskPairs":
    """Find the photograph of each mask: the one of the same folders and stem, with or without `_mask`, see `WORDS`.

    Where none has the same folders, the mask is that of the only faulty photograph whose last folders and stem it has:
    `masks/0.png` of `scratch/0.png`, if there is no `dent/0.png`. No photograph takes two.

    Args:
        photographs: path -> key, as `mask_key` makes it.
        faulty: paths of those that show a defect.
        masks: path -> key.
    """
    whole: defaultdict[Key, list[str]] = defaultdict(list)
    tails: defaultdict[Key, list[str]] = defaultdict(list)
    for path, key in photographs.items():
        whole[key].append(path)
    for path in faulty:
        key = photographs[path]
        for start in range(1, len(key)):
            tails[key[start:]].append(path)
    pairs = MaskPairs()
    # Exact ones first, and those that say `_mask`, so that a second one by chance takes no place.
    ranked = sorted(
        masks, key=lambda path: (not _candidates(masks[path], whole), len(_readings(masks[path])) == 1, path)
    )
    for mask in ranked:
        found = _candidates(masks[mask], whole) or _candidates(masks[mask], tails)
        pairs.add(mask, found)
    return pairs


class MaskPairs:
    """Masks by their photographs, and those that have none, with reason and remedy.

    Attributes:
        mask_of: path of a photograph -> path of its mask.
        unpaired: path, reason and remedy of every other mask.

    Example:
        >>> masks = {"mask/0.png": ("0",), "mask/1.png": ("1",)}
        >>> pairs = pair_masks({"dent/0.png": ("dent", "0")}, ["dent/0.png"], masks)
        >>> pairs.mask_of, [path for path, _, _ in pairs.unpaired]
        ({'dent/0.png': 'mask/0.png'}, ['mask/1.png'])
    """

    def __init__(self) -> None:
        self.mask_of: dict[str, str] = {}
        self.unpaired: list[tuple[str, str, str]] = []

    def add(self, mask: str, found: Sequence[str]) -> None:
        """Pair a mask with the only photograph found for it, or say why it is not."""
        if not found:
            self.unpaired.append((mask, *ORPHAN))
        elif len(found) > 1:
            reason = f"a mask of {found[0]} or of {found[1]}: both have its name"
            self.unpaired.append((mask, reason, "put it into a folder named as that of its image"))
        elif (other := self.mask_of.setdefault(found[0], mask)) != mask:
            self.unpaired.append((mask, f"{found[0]} has a mask already, {other}", "keep one of them"))


def mask_key(path: str, folder: str = "") -> Key:
    """Key of a photograph or a mask below `folder` (POSIX, relative to the raw folder).

    Example:
        >>> mask_key("screw/Ground_Truth/Hole/000_mask.png", "screw")
        ('hole', '000_mask')
    """
    return _key(PurePosixPath(path).relative_to(folder or ".").as_posix())


def _key(path: str) -> Key:
    parts = PurePosixPath(path).with_suffix("").parts
    return tuple(part.lower() for part in (*(each for each in parts[:-1] if not is_mask_folder(each)), parts[-1]))


def _candidates(key: Key, known: Mapping[Key, list[str]]) -> list[str]:
    return next((known[each] for each in _readings(key) if each in known), [])


def _readings(key: Key) -> list[Key]:
    """Keys that the photograph of a mask may have, the likeliest first: without words for masks; last its own."""
    *folders, stem = key
    stems = [bare for bare in (SUFFIX.sub("", stem), PREFIX.sub("", stem)) if bare and bare != stem]
    without = [SUFFIX.sub("", name) or name for name in folders if not KIND_OR_MASKS.search(name)]
    readings = [(*folders, bare) for bare in stems]
    if without != folders:
        readings += [(*without, bare) for bare in (*stems, stem)]
    return [*readings, key]
