"""Whether and how parts of training photographs are brought to one pose, decided without labels."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from endline.errors import EndlineError
from endline.evidence.images.alignment import FAILED, Alignment
from endline.evidence.images.finding_parts import FINDERS, Finder, Found, find_part, reduced
from endline.evidence.images.photographs import image_tensor, read_indexed_image
from endline.samples import TRAIN

CHOICES = ("auto", "as_is", "aligned")
SEEN = 40  # training photographs by which the pose is fitted
REDUCED = 384  # pixels of their longer side meanwhile
LOOK = 24  # pixels of a side of the looks by which it is judged whether parts become more alike
GAIN = 0.1  # by which their mean correlation must rise
SEVERAL = 0.2  # share of it from which there seem to be several parts in a training photograph
log = logging.getLogger(__name__)


def fitted_alignment(
    samples: pd.DataFrame, folder: Path, choice: str, bits: int, megapixels: float
) -> Alignment | None:
    """Alignment of the training photographs; None where they are taken as they are.

    No label is needed: of the ways to find parts the one is taken that makes good ones most alike, by the mean
    correlation of each small picture with the mean of the others; by `auto` they are aligned where that makes them
    more alike than they are.

    Args:
        samples: the sample table; of its training rows some are read.
        folder: raw folder.
        choice: one of `CHOICES`.
        bits: of the scale by which photographs are read.
        megapixels: largest photograph that is read.

    Raises:
        EndlineError: for another choice, and for `aligned` where no part is found.
    """
    if choice not in CHOICES:
        raise EndlineError(f"There is no alignment '{choice}': choose one of {', '.join(CHOICES)}.")
    if choice == "as_is":
        return None
    training = samples[samples["split"] == TRAIN]
    if "control" in training:
        training = training[~training["control"].to_numpy(bool)]
    paths = training["path"].iloc[np.unique(np.linspace(0, len(training) - 1, SEEN).round().astype(int))]
    images: list[NDArray[np.uint8]] = []
    found: dict[Finder, list[Found | None]] = {finder: [] for finder in FINDERS}
    for path in paths:
        images.append(reduced(read_indexed_image(folder / path, bits, megapixels), REDUCED))
        for finder, parts in found.items():
            parts.append(find_part(images[-1], finder))
        if choice == "auto" and all(parts.count(None) > FAILED * len(paths) for parts in found.values()):
            return None
    tried = [(finder, parts) for finder, parts in found.items() if parts.count(None) <= FAILED * len(paths)]
    fits = [Alignment.fit(parts, finder).sharpened(parts) for finder, parts in tried or list(found.items())[:1]]
    before = likeness([image_tensor(image, (LOOK, LOOK)) for image in images])
    after, alignment = max(((_alike(fit, images, found[fit.finder]), fit) for fit in fits), key=itemgetter(0))
    taken_so = choice == "aligned" or after > before + GAIN
    log.info(
        "Photographs of good parts have a mean correlation of %.2f as they are, %.2f aligned: they are %s (alignment).",
        before, after, "aligned" if taken_so else "taken as they are",
    )  # fmt: skip
    if taken_so and alignment.beside is not None and alignment.beside > SEVERAL:
        log.warning(
            "In photographs of good parts up to %.0f %% of what stands out from the background lies beside the part "
            "that is shown, and is not judged. Photograph each part alone, or choose alignment=as_is.",
            100 * alignment.beside,
        )
    return alignment if taken_so else None


def _alike(alignment: Alignment, images: Sequence[NDArray[np.uint8]], parts: Sequence[Found | None]) -> float:
    """Likeness of photographs aligned, with as much background as in those that they are compared with."""
    whole = replace(alignment, reach=None)
    pairs = zip(images, parts, strict=True)
    return likeness([whole.placed(image, part, (LOOK, LOOK)) for image, part in pairs])


def likeness(images: Sequence[Tensor]) -> float:
    """Mean correlation of each grey picture (3, H, W) with the mean of the others; 0 of one alone.

    Example:
        >>> picture = torch.rand(3, 8, 8, generator=torch.manual_seed(0))
        >>> round(likeness([picture, picture / 2]), 3)
        1.0
    """
    looks = torch.stack([image.mean(0).flatten() for image in images]).double()
    looks = looks - looks.mean(1, keepdim=True)
    looks = looks / looks.norm(dim=1, keepdim=True).clamp(min=1e-9)
    others = looks.sum(0) - looks
    return float(((looks * others).sum(1) / others.norm(dim=1).clamp(min=1e-9)).mean())
