"""The station `surface_image`: photographs of surfaces and parts."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from endline.backbones.pyramids import INPUT_TYPES
from endline.evidence.image_parts import wanted_arrays
from endline.evidence.images.alignment_choice import fitted_alignment
from endline.evidence.images.decoding import SUFFIXES, checked_megapixels
from endline.evidence.images.defect_masks import Mask, defect_masks
from endline.evidence.images.depth import checked_bits, fitted_bits, warn_of_depths
from endline.evidence.images.features import ImagePreparation
from endline.evidence.images.index import index_images
from endline.evidence.images.layouts import chosen_group, judged_images
from endline.evidence.images.shape import fitted_size, warn_of_shapes
from endline.evidence.images.usual_files import usual_files, ways_of
from endline.evidence.mixtures import warn_of_mixture
from endline.evidence.station import Arrays, IndexRequest, Progress, Shown, Station, hottest_points
from endline.reporting.exhibit import Exhibit
from endline.samples import TRAIN, Index

log = logging.getLogger(__name__)


def index(folder: Path, request: IndexRequest) -> Index:
    """Sample table of a folder of photographs, see `index_images`."""
    return index_images(
        folder,
        group=chosen_group(request.group),
        simulated=request.simulated,
        megapixels=checked_megapixels(request.preparation["max_megapixels"]),
        labels=request.preparation["labels"],
    )


def prepare(
    samples: pd.DataFrame, folder: Path, facts: Mapping[str, Any], parameters: Mapping[str, Any], wanted: Arrays
) -> ImagePreparation:
    """How photographs become arrays; fitted on the training ones are the scale of those of more than 8 bits, the
    pose of the parts, the shape of the photographs, and what their files are.
    """
    bits = fitted_bits(samples) if parameters["bits"] == "auto" else checked_bits(parameters["bits"])
    warn_of_depths(samples, bits)
    arrays = wanted_arrays(parameters, wanted)
    height, width = given = (parameters["height"], parameters["width"])
    megapixels = checked_megapixels(parameters["max_megapixels"])
    light = wanted.light if parameters["light"] == "auto" else parameters["light"]
    made = ImagePreparation(height, width, arrays, bits, megapixels, light)
    alignment = fitted_alignment(samples, folder, parameters["alignment"], made.scale, megapixels)
    multiple = INPUT_TYPES[arrays.pyramid.input_type].multiple
    size = fitted_size(samples, given, parameters["shape"], multiple, alignment.ratio if alignment else None)
    if size.sides != given:
        told = "The %s are %.2f times as high as wide, and brought to %d x %d pixels, not %d x %d (shape)."
        log.info(told, "aligned parts" if alignment else "photographs", size.ratio, *size.sides, *given)
    if alignment is None:
        warn_of_shapes(samples, size.ratio)
    ratio = size.ratio if alignment is None else None
    warn_of_mixture(*ways_of(samples[samples["split"] == TRAIN]))
    files = usual_files(samples)
    return replace(made, height=size.height, width=size.width, ratio=ratio, alignment=alignment, files=files)


def exhibits(shown: Shown, preparation: ImagePreparation) -> list[Exhibit]:
    """Photograph, anomaly map and mask of the shortlisted photographs."""
    from endline.evidence.images.exhibits import image_exhibits  # only reports draw

    return image_exhibits(shown.shortlist, shown.part_scores, shown.maps, shown.attribution, shown.folder, preparation)


def masks(samples: pd.DataFrame, folder: Path, preparation: ImagePreparation) -> Iterator[Mask]:
    """Defect masks of scored photographs in their pose, see `defect_masks`."""
    return defect_masks(samples, folder, preparation.mask)


def simulate(folder: Path, settings: Mapping[str, Any], progress: Progress) -> Path:
    """Simulate ground surfaces with defects."""
    from endline.simulation.images import surface_image  # only runs without data need it

    return surface_image.simulate(folder, surface_image.SurfaceSimulation(**settings), progress)


def synthesise(
    samples: pd.DataFrame, folder: Path, target: Path, preparation: ImagePreparation, seed: int
) -> pd.DataFrame:
    """Copies of photographs with faults, see `image_faults`."""
    from endline.evidence.images import synthetic  # only a choice among detectors makes faults

    return synthetic.synthesise(samples, folder, target, preparation, seed)


STATION = Station(
    name="surface_image",
    title="Surfaces",
    evidence="photographs",
    index=index,
    prepare=prepare,
    preparation=ImagePreparation,
    attribute=hottest_points,
    exhibits=exhibits,
    simulate=simulate,
    suffixes=SUFFIXES,
    groups=judged_images,
    more_training="take more of them (shots)",
    masks=masks,
    synthesise=synthesise,
)
