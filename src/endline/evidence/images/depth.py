"""The scale of photographs of more than 8 bits: cameras of 10 or 12 bits write the lower ones of files of 16."""

import logging

import pandas as pd

from endline.errors import EndlineError
from endline.evidence.images.photographs import DEPTHS, depth_of
from endline.samples import TRAIN

FULL = 16
log = logging.getLogger(__name__)


def fitted_bits(samples: pd.DataFrame) -> int | None:
    """Bits of the smallest scale that holds every training photograph of more than 8 bits; None without such ones.

    One scale for the set, fitted on what trains: a photograph that was taken darker stays darker, and no tested one
    changes another. (An sBIT chunk in a PNG says how many bits mean something, but by its specification they are the
    upper ones, so it does not tell the scale.)

    Args:
        samples: the sample table, with `split` and `peak`.

    Example:
        >>> fitted_bits(pd.DataFrame({"split": ["train", "train", "test"], "peak": [800, 3900, 50000]}))
        12
    """
    peak = samples.loc[samples["split"] == TRAIN, "peak"].max()
    return None if pd.isna(peak) else depth_of(peak)


def warn_of_depths(samples: pd.DataFrame, bits: int | None) -> None:
    """Say which scale is read where it is not plain, and name photographs that do not go with it.

    Args:
        samples: the sample table, with `path` and `peak`.
        bits: of the scale.
    """
    deep = samples[samples["peak"].notna()]
    if deep.empty:
        return
    if bits is None:
        log.warning(
            "%s more than 8 bits, unlike all that trained, and %s read from 0 to %d: set the bits of the camera "
            "(--params=bits=12) if it has fewer.",
            _named(deep, "has", "have"),
            "is" if len(deep) == 1 else "are",
            2**FULL - 1,
        )
        return
    white = 2**bits - 1
    over = deep[deep["peak"] > white]
    if not over.empty:
        log.warning(
            "%s values above %d, the largest of the %d bits by which photographs are read, and white there: "
            "set the bits of the camera (--params=bits=%d).",
            _named(over, "has", "have"),
            white,
            bits,
            depth_of(over["peak"].max()),
        )
    if bits < FULL and len(samples) > 1:
        log.warning(
            "Photographs of more than 8 bits are read from 0 to %d, the %d bits that those that train use: "
            "set --params=bits=16 if they are that dark.",
            white,
            bits,
        )


def checked_bits(bits: object) -> int:
    """The setting `bits`, one of `DEPTHS`.

    Raises:
        EndlineError: for another.
    """
    if isinstance(bits, bool) or bits not in DEPTHS:
        raise EndlineError(f"bits={bits} must be auto, or one of {', '.join(map(str, DEPTHS))}.")
    return int(str(bits))


def _named(rows: pd.DataFrame, one: str, several: str) -> str:
    """The first path of a table, and how many more there are, with the verb that follows."""
    first = rows["path"].iloc[0]
    return f"{first} {one}" if len(rows) == 1 else f"{first} and {len(rows) - 1} more photographs {several}"
