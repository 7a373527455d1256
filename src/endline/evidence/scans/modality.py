"""Which halves of a pair are read, photograph, scan or both, and as what."""

import logging
from collections.abc import Collection

from endline.detectors.base import BESIDE
from endline.errors import EndlineError
from endline.evidence.station import Arrays

MODALITIES = ("rgb", "3d", "both", "depth_image", "fpfh", "fpfh_colour")
OF_PHOTOGRAPHS = ("rgb", "both", "fpfh_colour")
OF_SCANS = ("3d", "both", "depth_image", "fpfh", "fpfh_colour")
OF_IMAGES = ("rgb", "depth_image")  # an image passes through the backbone as a whole: it has views, and is an array
OF_ONE = {"both": "3d", "fpfh_colour": "fpfh", "rgb": "depth_image"}  # without photographs
DEPTH_ARRAYS = ("mask", "depth", "depth_mask", *BESIDE)
log = logging.getLogger(__name__)


def checked_modality(asked: object) -> str:
    """The setting `modality`: auto, or one of `MODALITIES`.

    Raises:
        EndlineError: for another.
    """
    if asked != "auto" and asked not in MODALITIES:
        raise EndlineError(f"modality={asked} must be auto, or one of {', '.join(MODALITIES)}.")
    return str(asked)


def halves_read(asked: str, photographs: int, scans: int, pairs: int) -> tuple[bool, bool]:
    """Whether photographs and whether scans are read of a folder.

    Args:
        asked: the setting `modality`.
        photographs: number of samples with a photograph.
        scans: number of those with a scan.
        pairs: number of those with both.

    Raises:
        EndlineError: when there are none of what is asked for, or no photograph goes with a scan.

    Example:
        >>> halves_read("auto", 0, 12, 0), halves_read("auto", 12, 12, 12), halves_read("rgb", 12, 12, 12)
        ((False, True), (True, True), (True, False))
    """
    if asked == "auto":
        if photographs and scans and not pairs:
            raise EndlineError(
                f"None of the {photographs} photographs has the name of one of the {scans} scans: name them alike "
                "(0.png and 0.tiff), or read one kind alone (--params=modality=3d or rgb)."
            )
        return bool(photographs), bool(scans)
    needed = asked in OF_PHOTOGRAPHS, asked in OF_SCANS
    for name, count, need in zip(("photograph", "scan"), (photographs, scans), needed, strict=True):
        if need and not count:
            raise EndlineError(f"modality={asked} reads {name}s, and the folder holds none: choose modality=auto.")
    return needed


def chosen_modality(asked: str, wanted: Arrays, *, photographs: bool, scans: bool) -> str:
    """The modality of a run.

    Args:
        asked: the setting; `auto` is what the detector prefers, as far as there are photographs and scans.
        wanted: what the detector reads.
        photographs: whether the set has them.
        scans: whether the set has them.

    Raises:
        EndlineError: when the detector reads what the modality, or the set, has not.

    Example:
        >>> chosen_modality("auto", Arrays(("scale",)), photographs=True, scans=True)
        'both'
    """
    images = sorted({"views", "image"} & set(wanted.required))
    chosen = wanted.modality if asked == "auto" else asked
    if asked == "auto":
        if images and chosen not in OF_IMAGES:
            chosen = "rgb"
        if not photographs:
            chosen = OF_ONE.get(chosen, chosen)
        if not scans:
            chosen = "rgb"
        if chosen != wanted.modality:
            log.warning("The detector reads the modality %s, not %s, of these data.", chosen, wanted.modality)
    elif images and chosen not in OF_IMAGES:
        raise EndlineError(
            f"The detector reads '{images[0]}' of a single image, which modality={chosen} has not: choose "
            f"{' or '.join(OF_IMAGES)}."
        )
    if (depths := [name for name in wanted.required if name in DEPTH_ARRAYS]) and not scans:
        raise EndlineError(f"The detector reads '{depths[0]}' of scans, and the folder holds none: choose another.")
    return chosen


def depth_arrays(modality: str, wanted: Arrays) -> tuple[str, ...]:
    """Which of `DEPTH_ARRAYS` are made: what is required, and beside a modality that reads scans what is optional.

    A detector of photographs alone gets no foreground mask, which only a scan tells (Rudolph 2024, table 6.5). Where
    scans are read, the report compares the depth with that of normal parts, and every detector gaps, outline and
    height.

    Example:
        >>> depth_arrays("rgb", Arrays(("scale",), ("mask",))), depth_arrays("both", Arrays(("scale",), ("mask",)))
        ((), ('mask', 'depth', 'depth_mask', 'gap', 'outline', 'outside'))
    """
    needed = {name for name in DEPTH_ARRAYS if name in wanted.required}
    if needed or modality in OF_SCANS:
        needed.update(BESIDE)
    beside: Collection[str] = (*wanted.optional, "depth", "depth_mask") if modality in OF_SCANS else ()
    return tuple(name for name in DEPTH_ARRAYS if name in needed or name in beside)
