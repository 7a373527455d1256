"""From indexed photographs to the arrays that detectors read."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from endline.array_store import ArrayStore, FeatureRecipe
from endline.backbones.pyramids import PyramidSettings, check_size
from endline.compute import CPU, Compute
from endline.evaluation.baselines import SUMMARY
from endline.evaluation.controls import CONTROL
from endline.evidence.image_parts import FIRST_VIEW, ArraySettings, ImageParts, array_settings, kept_backbone
from endline.evidence.images.decoding import MEGAPIXELS
from endline.evidence.images.depth import FULL, warn_of_depths
from endline.evidence.images.index import index_image
from endline.evidence.images.photographs import image_tensor, read_indexed_image
from endline.evidence.station import Inspected, Preparation
from endline.feature_set import FeatureSet
from endline.files import content_key

BATCH = 8
FACTS = ("height", "width", "colours", "quantisation")  # columns of the sample table that make the control
READING = 2  # raised when a file is read as other values than before, so that what was stored of it is made again


@dataclass(frozen=True)
class ImagePreparation(Preparation):
    """How a photograph becomes arrays.

    The array `control` holds what the file is apart from its picture (`FACTS`), which says nothing of a defect; not its
    number of bytes, as a defect is more to compress. `summary` holds three numbers that any look at the photograph
    gives, see `summary`.

    Attributes:
        height, width: each photograph is resized to it, without a crop.
        arrays: which arrays are made.
        bits: of the scale of grey and colours of more than 8 bits, fitted on the training photographs; None where none
            of them has so many.
        megapixels: largest photograph that is read, in millions of pixels.

    Example:
        >>> ImagePreparation(height=256, width=384).pyramid.backbone
        'efficientnet_lite0'
    """

    station: ClassVar[str] = "surface_image"
    height: int = 384
    width: int = 384
    arrays: ArraySettings = field(default_factory=ArraySettings)
    bits: int | None = None
    megapixels: float = MEGAPIXELS

    @property
    def pyramid(self) -> PyramidSettings:
        """How feature maps are made."""
        return self.arrays.pyramid

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The preparation that `plain` wrote."""
        return cls(**{**plain, "arrays": array_settings(plain["arrays"])})

    def recipe(self, samples: pd.DataFrame, folder: Path, store: ArrayStore, compute: Compute = CPU) -> FeatureRecipe:
        """Recipe of the arrays of all photographs.

        Raises:
            EndlineError: for an unknown backbone or input type, a size that does not suit it, or missing weights.
        """
        digests = samples["digest"].tolist()
        parts = self._parts(content_key(READING, digests, self.height, self.width, self.scale), compute)
        known = parts.stored_maps(store)
        paths = [folder / path for path in samples["path"]]
        facts = samples[list(FACTS)].to_numpy(np.float32)

        def batches(wanted: Collection[str]) -> Iterator[dict[str, NDArray[Any]]]:
            starts = range(0, len(paths), BATCH)
            for start in track(starts, "Extracting features", transient=True):
                rows = np.arange(start, min(start + BATCH, len(paths)))
                made: dict[str, NDArray[Any]] = {CONTROL: facts[rows]}
                if set(wanted) - {CONTROL}:
                    images = self.images([paths[row] for row in rows])
                    made[SUMMARY] = summary(images)
                    maps = known.read(rows) if known is not None and FIRST_VIEW in wanted else None
                    made |= {name: x.numpy() for name, x in parts.make(images, wanted, maps).items()}
                yield made

        return FeatureRecipe(
            arrays={**parts.arrays, CONTROL: (CONTROL,), SUMMARY: (SUMMARY,)},
            keys={
                **parts.keys,
                CONTROL: content_key(CONTROL, FACTS, digests),
                SUMMARY: content_key(SUMMARY, digests, self.height, self.width),
            },
            length=len(samples),
            batches=batches,
            dtypes={CONTROL: "float32", SUMMARY: "float32"},
        )

    def inspect(self, path: Path, compute: Compute = CPU) -> Inspected:
        """Row of the sample table, and arrays, of one new photograph.

        Raises:
            EndlineError: when it cannot be used.
        """
        rows = index_image(path, self.megapixels)
        warn_of_depths(rows, self.bits)
        parts = self._parts("", compute)
        made = parts.make(self.images([path]), parts.keys)
        return rows, FeatureSet(
            {name: [made[part].numpy() for part in joined] for name, joined in parts.arrays.items()}
        )

    def images(self, files: list[Path]) -> Tensor:
        """Photographs as they are resized, (files, 3, height, width) in [0, 1].

        Raises:
            EndlineError: when one cannot be read any more.
        """
        size = (self.height, self.width)
        read = (read_indexed_image(file, self.scale, self.megapixels) for file in files)
        return torch.stack([image_tensor(image, size) for image in read])

    @property
    def scale(self) -> int:
        """Bits of the scale by which photographs are read."""
        return FULL if self.bits is None else self.bits

    def _parts(self, evidence: str, compute: Compute) -> ImageParts:
        backbone = kept_backbone(self.pyramid.backbone, self.pyramid.weights, compute)
        check_size((self.height, self.width), backbone, self.pyramid.input_type)
        return ImageParts(self.arrays, backbone, evidence)


def summary(images: Tensor) -> NDArray[np.float32]:
    """Brightness, contrast and sharpness (n, 3) of images (n, 3, H, W) in [0, 1].

    Mean, standard deviation and mean absolute step to the next pixel of the grey image.

    Example:
        >>> summary(torch.zeros(2, 3, 8, 8)).tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    grey = images.mean(1)
    steps = grey.diff(dim=1).abs().mean((1, 2)) + grey.diff(dim=2).abs().mean((1, 2))
    return torch.stack([grey.mean((1, 2)), grey.std((1, 2)), steps], 1).numpy()
