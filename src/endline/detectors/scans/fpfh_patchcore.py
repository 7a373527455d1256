"""PatchCore on fast point feature histograms."""

from dataclasses import dataclass

from endline.detectors.maps.patchcore import Patchcore, PatchcoreConfig
from endline.errors import EndlineError

MODALITIES = ("fpfh", "fpfh_colour")


@dataclass(frozen=True)
class FPFHPatchcoreConfig(PatchcoreConfig):
    """Settings of `FPFHPatchcore`, and those of `Patchcore` (`PatchcoreConfig`).

    Attributes:
        modality: `fpfh`, the histograms alone, or `fpfh_colour`, with the mean colour of a position.

    Example:
        >>> FPFHPatchcoreConfig().scales
        (0,)
    """

    scales: tuple[int, ...] = (0,)
    modality: str = "fpfh"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.modality not in MODALITIES:
            raise EndlineError(
                f"fpfh_patchcore has no modality '{self.modality}': choose one of {', '.join(MODALITIES)}."
            )


class FPFHPatchcore(Patchcore):
    """Largest distance of a position's point feature histogram to those of normal scans.

    Horwitz and Hoshen, "Back to the Feature: Classical 3D Features are (Almost) All You Need for 3D Anomaly Detection",
    CVPR workshops 2023 (arXiv 2203.05550): histograms of the points (Rusu et al. 2009, `evidence.scans.fpfh`) in the
    memory bank of PatchCore (Roth et al. 2022); 1-NN (FPFH) in table 6.2 of the thesis.

    Example:
        >>> FPFHPatchcore(FPFHPatchcoreConfig(modality="fpfh_colour")).modality
        'fpfh_colour'
    """

    Config = FPFHPatchcoreConfig
