"""The station `surface_scan`: photographs and scans of parts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from endline.evidence.image_parts import wanted_arrays
from endline.evidence.images.decoding import checked_megapixels
from endline.evidence.images.defect_masks import Mask, defect_masks
from endline.evidence.images.depth import checked_bits, fitted_bits, warn_of_depths
from endline.evidence.images.layouts import chosen_group
from endline.evidence.images.masks import read_mask
from endline.evidence.images.photographs import read_indexed_image
from endline.evidence.images.shape import usual_ratio, warn_of_shapes
from endline.evidence.images.usual_files import usual_files, ways_of
from endline.evidence.mixtures import warn_of_mixture
from endline.evidence.scans.columns import shapes, usual_sides
from endline.evidence.scans.features import ScanPreparation, reading_of
from endline.evidence.scans.heights import usual_heights
from endline.evidence.scans.index import index_scans, part_settings
from endline.evidence.scans.modality import OF_PHOTOGRAPHS, checked_modality, chosen_modality, depth_arrays
from endline.evidence.scans.roles import SUFFIXES, items_of
from endline.evidence.station import Arrays, IndexRequest, Progress, Shown, Station, hottest_points
from endline.reporting.exhibit import Exhibit
from endline.samples import TRAIN, Index

MARGIN = 0.1  # of the range of training depths, that a drawn depth may lie beyond


def index(folder: Path, request: IndexRequest) -> Index:
    """Sample table of a folder of photographs and scans, see `index_scans`."""
    return index_scans(
        folder, group=chosen_group(request.group), simulated=request.simulated, parameters=request.preparation
    )


def prepare(
    samples: pd.DataFrame, folder: Path, facts: Mapping[str, Any], parameters: Mapping[str, Any], wanted: Arrays
) -> ScanPreparation:
    """How photographs and scans become arrays; fitted on the training ones are their scale, and what is usual."""
    asked, scans = checked_modality(parameters["modality"]), bool(facts["scans"])
    modality = chosen_modality(asked, wanted, photographs=bool(facts["photographs"]), scans=scans)
    bits = None
    if facts["photographs"]:
        bits = fitted_bits(samples) if parameters["bits"] == "auto" else checked_bits(parameters["bits"])
        warn_of_depths(samples, bits)
    usual: dict[str, Any] = {}
    training = samples[samples["split"] == TRAIN]
    if scans:
        nearest, farthest = float(training["nearest"].min()), float(training["farthest"].max())
        beyond = MARGIN * (farthest - nearest)
        usual = {
            "limits": (nearest - beyond, farthest + beyond),
            "before": float(training["before"].median()),
            "heights": usual_heights(training),
            "sides": usual_sides(training),
            "placeholders": tuple(sorted({*training["unmeasured"]} - {""})),
        }
    sides = shapes(samples)
    ratio = usual_ratio(sides)
    warn_of_shapes(sides, ratio)
    photographs = facts["photographs"] and modality in OF_PHOTOGRAPHS
    if photographs:
        warn_of_mixture(*ways_of(training))
    return ScanPreparation(
        modality=modality,
        size=parameters["size"],
        arrays=wanted_arrays(parameters, wanted),
        depths=depth_arrays(modality, wanted),
        reading=reading_of(facts["reading"]),
        part=part_settings(parameters),
        bits=bits,
        megapixels=checked_megapixels(parameters["max_megapixels"]),
        light=wanted.light if parameters["light"] == "auto" else parameters["light"],
        ratio=ratio,
        files=usual_files(samples) if photographs else None,
        **usual,
    )


def exhibits(shown: Shown, preparation: ScanPreparation) -> list[Exhibit]:
    """Photograph, relief, anomaly map and mask of the shortlisted parts."""
    from endline.evidence.scans.exhibits import ScanPair, scan_exhibits  # only reports draw

    def read(row: Mapping[str, Any]) -> ScanPair:
        photograph, scan, mask = None, None, None
        path = shown.folder / row["path"]
        if not pd.isna(row["depth_path"]):
            scan = preparation.relief(shown.folder / row["depth_path"])[0]
        if row["depth_path"] != row["path"]:
            photograph = read_indexed_image(path, preparation.scale, preparation.megapixels)
        seen = photograph if photograph is not None else scan.depth if scan is not None else None
        if not pd.isna(row["mask_path"]) and seen is not None:
            own = None if photograph is None else path
            mask = read_mask(shown.folder / row["mask_path"], (seen.shape[0], seen.shape[1]), own)
        return ScanPair(photograph, scan, mask)

    return scan_exhibits(shown, read)


def masks(samples: pd.DataFrame, folder: Path, preparation: ScanPreparation) -> Iterator[Mask]:
    """Defect masks of scored rows, see `defect_masks`; those of scans alone are turned by no photograph."""
    alone = samples["path"] == samples["depth_path"]
    return defect_masks(samples.assign(path=samples["path"].where(~alone)), folder)


def simulate(folder: Path, settings: Mapping[str, Any], progress: Progress) -> Path:
    """Simulate parts with their photographs and scans."""
    from endline.simulation.scans import surface_scan  # only runs without data need it

    return surface_scan.simulate(folder, surface_scan.ScanSimulation(**settings), progress)


def synthesise(
    samples: pd.DataFrame, folder: Path, target: Path, preparation: ScanPreparation, seed: int
) -> pd.DataFrame:
    """Copies of parts with faults in the photograph or in the depth, see `pair_faults`."""
    from endline.evidence.scans import synthetic  # only a choice among detectors makes faults

    return synthetic.synthesise(samples, folder, target, preparation, seed)


STATION = Station(
    name="surface_scan",
    title="Scanned parts",
    evidence="parts",
    index=index,
    prepare=prepare,
    preparation=ScanPreparation,
    attribute=hottest_points,
    exhibits=exhibits,
    simulate=simulate,
    suffixes=SUFFIXES,
    groups=items_of,
    more_training="take more of them (shots)",
    masks=masks,
    synthesise=synthesise,
)
