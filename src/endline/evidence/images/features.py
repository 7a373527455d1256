"""From indexed photographs to the arrays that detectors read."""

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
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
from endline.errors import EndlineError
from endline.evaluation.baselines import SUMMARY
from endline.evaluation.controls import CONTROL
from endline.evidence.image_parts import FIRST_VIEW, ArraySettings, ImageParts, array_settings, kept_backbone
from endline.evidence.images.alignment import Alignment
from endline.evidence.images.decoding import MEGAPIXELS
from endline.evidence.images.depth import FULL, warn_of_depths
from endline.evidence.images.finding_parts import find_part
from endline.evidence.images.index import index_image
from endline.evidence.images.masks import read_mask
from endline.evidence.images.pages import warn_of_pages
from endline.evidence.images.photographs import image_tensor, read_indexed_image
from endline.evidence.images.shape import warn_of_shapes
from endline.evidence.images.usual_files import UsualFiles
from endline.evidence.station import Inspected, Preparation
from endline.feature_set import FeatureSet
from endline.files import content_key

BATCH = 8
LIGHTS = ("as_is", "standardised")
MEAN, DEVIATION, LEAST_CONTRAST = 0.45, 0.225, 0.01
FACTS = ("height", "width", "colours", "quantisation")  # columns of the sample table that make the control
COVERED = 0.1  # share of a pixel that a defect covers, from which an aligned mask has it
READING = 2  # raised when a file is read as other values than before, so that what was stored of it is made again
log = logging.getLogger(__name__)


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
        light: `as_is`, or `standardised`: every photograph is brought to one brightness and contrast, see
            `standardised`, for features alone; control and summary are of the photograph as it is.
        alignment: the pose that every part is brought to; None: photographs are taken as they are.
        ratio: height by width of the training photographs, where they have one shape; None: it is not looked at.
        files: what the files of the training photographs are; None: it is not looked at, as of models that were trained
            before.

    Raises:
        EndlineError: for another light.

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
    light: str = "as_is"
    alignment: Alignment | None = None
    ratio: float | None = None
    files: UsualFiles | None = None

    def __post_init__(self) -> None:
        if self.light not in LIGHTS:
            raise EndlineError(f"There is no light '{self.light}': choose one of {', '.join(LIGHTS)}.")

    @property
    def pyramid(self) -> PyramidSettings:
        """How feature maps are made."""
        return self.arrays.pyramid

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The preparation that `plain` wrote."""
        pose = plain.get("alignment")
        alignment = None if pose is None else Alignment.from_plain(pose)
        files = UsualFiles(**plain["files"]) if plain.get("files") else None
        arrays = array_settings(plain["arrays"])
        return cls(**{**plain, "arrays": arrays, "alignment": alignment, "files": files})

    def recipe(self, samples: pd.DataFrame, folder: Path, store: ArrayStore, compute: Compute = CPU) -> FeatureRecipe:
        """Recipe of the arrays of all photographs.

        Raises:
            EndlineError: for an unknown backbone or input type, a size that does not suit it, or missing weights.
        """
        digests = samples["digest"].tolist()
        posed = () if self.alignment is None else (asdict(self.alignment),)
        lit = () if self.light == "as_is" else (self.light,)
        parts = self._parts(content_key(READING, digests, self.height, self.width, self.scale, *lit, *posed), compute)
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
                    made |= {name: x.numpy() for name, x in parts.make(self.lit(images), wanted, maps).items()}
                yield made

        return FeatureRecipe(
            arrays={**parts.arrays, CONTROL: (CONTROL,), SUMMARY: (SUMMARY,)},
            keys={
                **parts.keys,
                CONTROL: content_key(CONTROL, FACTS, digests),
                SUMMARY: content_key(SUMMARY, digests, self.height, self.width, *posed),
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
        warn_of_shapes(rows, self.ratio)
        warn_of_pages(rows)
        self.warn_of(path.name, rows.to_dict("records")[0])
        parts = self._parts("", compute)
        made = parts.make(self.lit(self.images([path])), parts.keys)
        return rows, FeatureSet(
            {name: [made[part].numpy() for part in joined] for name, joined in parts.arrays.items()}
        )

    def remarks(self, row: Mapping[Any, Any]) -> list[str]:
        """What is to be said of a photograph whose file is unlike those that train, by its row in the sample table."""
        return self.files.unlike(row, (self.height, self.width)) if self.files else []

    def images(self, files: list[Path]) -> Tensor:
        """Photographs in their pose, resized, (files, 3, height, width) in [0, 1].

        Raises:
            EndlineError: when one cannot be read any more.
        """
        size = (self.height, self.width)
        return torch.stack([self.posed(self.read(file), size, file.name) for file in files])

    def read(self, file: Path) -> NDArray[np.uint8]:
        """A photograph as 8-bit colours, (H, W, 3).

        Raises:
            EndlineError: when it cannot be read any more.
        """
        return read_indexed_image(file, self.scale, self.megapixels)

    def posed(self, image: NDArray[np.uint8], size: tuple[int, int], name: str | None = None) -> Tensor:
        """A photograph (H, W, 3) in its pose, resized without a crop: (3, *size) in [0, 1].

        Args:
            image: the photograph.
            size: (height, width).
            name: of its file, which is told where no part is found, or more than one; None: nothing is.
        """
        if self.alignment is None:
            return image_tensor(image, size)
        part = find_part(image, self.alignment.finder)
        if part is None and name is not None:
            log.warning(
                "In %s no part stands out from a background of one colour, as in those that train: it is judged as it "
                "lies. Photograph it as a whole before their background.",
                name,
            )
        elif part is not None and name is not None and self.alignment.hides(part):
            log.warning(
                "In %s something lies beside the part, %.0f %% of all that stands out from the background, and is not "
                "judged. Photograph each part alone.",
                name,
                100 * self.alignment.not_shown(part),
            )
        return self.alignment.placed(image, part, size)

    def mask(self, file: Path, size: tuple[int, int], photograph: Path | None = None) -> NDArray[np.bool_]:
        """Defect mask as `posed` shows its photograph; arguments as `read_mask`.

        Raises:
            EndlineError: when one of the two cannot be read.
        """
        if self.alignment is None or photograph is None:
            return read_mask(file, size, photograph)
        image = self.read(photograph)
        mask = read_mask(file, (image.shape[0], image.shape[1]), photograph)
        share = self.alignment.aligned(mask[..., None].astype(np.uint8) * np.uint8(255), size, image)[0].numpy()
        return np.asarray(share > min(COVERED, share.max() / 2), np.bool_)

    def lit(self, images: Tensor) -> Tensor:
        """Resized photographs (n, 3, H, W) as the backbone is to see them."""
        return standardised(images) if self.light == "standardised" else images

    @property
    def scale(self) -> int:
        """Bits of the scale by which photographs are read."""
        return FULL if self.bits is None else self.bits

    def _parts(self, evidence: str, compute: Compute) -> ImageParts:
        backbone = kept_backbone(self.pyramid.backbone, self.pyramid.weights, compute)
        check_size((self.height, self.width), backbone, self.pyramid.input_type)
        return ImageParts(self.arrays, backbone, evidence)


def standardised(images: Tensor) -> Tensor:
    """Images (n, 3, H, W) in [0, 1], each brought to one mean and standard deviation over all pixels and colours.

    These are about the mean and deviation of the photographs that the backbones were trained on. What the exposure, the
    lamp or the camera's gain changes in a whole photograph is gone, and so is a fault that does no more than that.
    Values may lie outside [0, 1], down to -0.5 and up to 1.5. The deviation of an image is taken as 1 % at least, so
    that the noise of a blank one stays noise.

    Example:
        >>> images = torch.rand(2, 3, 16, 16, generator=torch.manual_seed(0))
        >>> bool(torch.allclose(standardised(images), standardised(0.2 + 0.5 * images), atol=1e-5))
        True
    """
    mean = images.mean((1, 2, 3), keepdim=True)
    deviation = images.std((1, 2, 3), keepdim=True, correction=0).clamp(min=LEAST_CONTRAST)
    return (MEAN + DEVIATION * (images - mean) / deviation).clamp(-0.5, 1.5)


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
