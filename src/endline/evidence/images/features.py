"""Features of the station `surface_image`: from indexed photographs to the arrays that detectors read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from numpy.typing import NDArray
from rich.progress import track

from endline.backbones.image_arrays import ArraySettings, described, image_arrays
from endline.backbones.networks import Backbone, load_backbone
from endline.backbones.pyramids import PyramidSettings, check_size
from endline.evidence.images.photographs import image_tensor, read_indexed_image
from endline.feature_set import Batch, FeatureRecipe
from endline.files import content_key

BATCH = 8


@dataclass(frozen=True)
class ImageSettings:
    """How a photograph becomes arrays.

    Attributes:
        height, width: every photograph is resized to it, without a crop.
        arrays: which arrays are made.
    """

    height: int = 384
    width: int = 384
    arrays: ArraySettings = field(default_factory=ArraySettings)


def image_settings(parameters: Mapping[str, Any]) -> ImageSettings:
    """Settings of the parameters `<station>.images`, resolved for a detector."""
    plain = {key: parameters[key] for key in ("height", "width")}
    pyramid = PyramidSettings(**{key: parameters[key] for key in ("backbone", "weights", "input_type")})
    names = tuple(dict.fromkeys(["scale", *parameters["arrays"]]))  # the control needs maps in any case
    arrays = ArraySettings(pyramid, names, parameters["views"])
    return ImageSettings(**plain, arrays=arrays)


def surface_features(samples: pd.DataFrame, folder: Path, settings: ImageSettings) -> FeatureRecipe:
    """Recipe of the arrays of all photographs.

    Args:
        samples: the sample table.
        folder: raw folder.
        settings: of images, backbone and arrays.

    Raises:
        EndlineError: for an unknown backbone or input type, an image size that does not suit it, or missing weights.
    """
    backbone = load_backbone(settings.arrays.pyramid.backbone, settings.arrays.pyramid.weights)
    check_size((settings.height, settings.width), backbone, settings.arrays.pyramid.input_type)
    told = {**described(settings.arrays, backbone), "height": settings.height, "width": settings.width}
    paths = samples["path"].tolist()

    def batches() -> Iterator[dict[str, NDArray[Any]]]:
        starts = range(0, len(paths), BATCH)
        for start in track(starts, "Extracting features", transient=True):
            files = [folder / path for path in paths[start : start + BATCH]]
            yield {name: x.numpy() for name, x in photograph_arrays(files, settings, backbone).items()}

    return FeatureRecipe(content_key(samples["digest"].tolist(), told), len(samples), batches)


def photograph_arrays(files: list[Path], settings: ImageSettings, backbone: Backbone) -> Batch:
    """Arrays (files, ...) of some photographs.

    Raises:
        EndlineError: when one cannot be read any more.
    """
    size = (settings.height, settings.width)
    images = torch.stack([image_tensor(read_indexed_image(file), size) for file in files])
    return image_arrays(images, backbone, settings.arrays)
