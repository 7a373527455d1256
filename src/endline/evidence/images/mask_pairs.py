"""Which image files are masks, and which photograph each belongs to, by the names of files and folders alone."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

MASK_FOLDERS = frozenset(
    {"mask", "masks", "defect_mask", "defect_masks", "gt", "annotation", "annotations", "segmentation", "segmentations"}
    | {"ground_truth", "ground_truths", "groundtruth", "groundtruths"}
)
SUFFIX = re.compile(r"[_ -](mask|gt)$")  # of a stem in lower case
ORPHAN = (
    "a mask without an image",
    "restore its image, delete the mask, or rename its folder if it holds photographs",
)
Key = tuple[str, ...]  # folders and stem of a file, in lower case, without a folder of masks


def masks_among(paths: Iterable[str]) -> set[str]:
    """Paths that lie in a folder of masks, of any case, or are `<name>_mask` beside an image `<name>`.

    Args:
        paths: of image files, relative to the raw folder, POSIX.

    Example:
        >>> sorted(masks_among(["dent/0.png", "dent/0_mask.png", "dent/gas_mask.png", "Ground-Truth/dent/1.png"]))
        ['Ground-Truth/dent/1.png', 'dent/0_mask.png']
    """
    every = list(paths)
    keys = {_key(path) for path in every}
    return {path for path in every if _in_mask_folder(path) or ((bare := _without_suffix(_key(path))) and bare in keys)}


def is_mask_folder(name: str) -> bool:
    """Whether a folder is named as one of masks.

    Example:
        >>> [is_mask_folder(name) for name in ("Masks", "ground truth", "scratch")]
        [True, True, False]
    """
    return re.sub(r"[\s-]+", "_", name.strip().lower()) in MASK_FOLDERS


def pair_masks(photographs: Mapping[str, Key], faulty: Iterable[str], masks: Mapping[str, Key]) -> "MaskPairs":
    """Find the photograph of each mask: the one of the same folders and stem, with or without `_mask`.

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
        masks, key=lambda path: (not _candidates(masks[path], whole), not _without_suffix(masks[path]), path)
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
    bare = _without_suffix(key)
    return known.get(bare, []) if bare in known else known.get(key, [])


def _without_suffix(key: Key) -> Key:
    """Key without `_mask` at its end; empty where it has none."""
    bare = SUFFIX.sub("", key[-1])
    return (*key[:-1], bare) if bare and bare != key[-1] else ()


def _in_mask_folder(path: str) -> bool:
    return any(is_mask_folder(part) for part in PurePosixPath(path).parts[:-1])
