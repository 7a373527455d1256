"""What the baselines on whole scans share: a scan as a depth image or as a grid of voxels, and where it has no like."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Detector
from endline.errors import EndlineError
from endline.feature_set import Batch

BATCH = 16
REPRESENTATIONS = ("depth", "voxel")
GRID = 32  # what the convolutions need a side to be a multiple of
ARRAYS = ("depth", "depth_mask")
SettingsT = TypeVar("SettingsT", bound="SurfaceSettings")


@dataclass(frozen=True)
class SurfaceSettings:
    """How the baselines on whole scans see them, and how they score.

    Attributes:
        representation: `depth`, an image of one channel, or `voxel`, a grid that says which voxels the part fills,
            from its surface on; a surface alone would leave nearly all of them empty, which is learned too easily.
        side: pixels or voxels along each side, a multiple of 32.
        layers: voxels along the depth, from the nearest to the farthest point of the training.
        top_share: share in (0, 1] of the map's positions, the most anomalous ones, whose mean is the score.

    Example:
        >>> SurfaceSettings(representation="voxel").layers
        32
    """

    representation: str = "depth"
    side: int = 64
    layers: int = 32
    top_share: float = 0.02

    def __post_init__(self) -> None:
        if self.representation not in REPRESENTATIONS:
            known = ", ".join(REPRESENTATIONS)
            raise EndlineError(f"There is no representation '{self.representation}' of scans: choose one of {known}.")
        if self.side < GRID or self.side % GRID or self.layers < 1 or not 0 < self.top_share <= 1:
            raise EndlineError(
                f"side={self.side}, layers={self.layers} and top_share={self.top_share}: choose a multiple of {GRID} "
                "for the side, at least one layer, and a share above 0 and at most 1."
            )

    @property
    def channels(self) -> int:
        """Of a scan's picture: layers of a voxel grid are channels, so that convolutions over the image plane do."""
        return self.layers if self.representation == "voxel" else 1


class Surfaces(nn.Module):
    """Makes of the arrays of a scan what a network sees: pictures in [-1, 1], by the depths of the training.

    Args:
        settings: the representation.

    Example:
        >>> surfaces = Surfaces(SurfaceSettings("voxel", side=32, layers=4))
        >>> scans = {"depth": torch.linspace(0, 3, 32).expand(2, 1, 64, 32), "depth_mask": torch.ones(2, 1, 64, 32)}
        >>> surfaces.fit([scans])
        >>> surfaces(scans).shape, surfaces(scans)[0, :, 5, 31].tolist()
        (torch.Size([2, 4, 32, 32]), [-1.0, -1.0, -1.0, 1.0])
    """

    nearest: Tensor
    farthest: Tensor

    def __init__(self, settings: SurfaceSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("nearest", torch.tensor(0.0))
        self.register_buffer("farthest", torch.tensor(0.0))

    def fit(self, batches: Iterable[Batch]) -> None:
        """Learn the least and the largest depth of the foreground; 0, its mean, lies between."""
        bounds = torch.stack([torch.stack(torch.aminmax(_foreground(batch)[0])) for batch in batches])
        self.nearest.copy_(bounds[:, 0].min())
        self.farthest.copy_(bounds[:, 1].max())

    def forward(self, batch: Batch) -> Tensor:
        """Pictures (batch, channels, side, side): mean depths, or how much of each voxel the part fills."""
        depth, inside = _foreground(batch)
        share = (depth - self.nearest) / (self.farthest - self.nearest).clamp(min=1e-6)  # 0 nearest, 1 farthest
        if self.settings.representation == "depth":
            return 2 * functional.adaptive_avg_pool2d(share, self.settings.side) - 1
        return 2 * occupancy(share, inside, self.settings) - 1

    def outside(self, batch: Batch) -> Tensor:
        """Share (batch,) of a scan's foreground nearer or farther than any of the training, which no picture shows."""
        depth, inside = _foreground(batch)
        beyond = (depth < self.nearest) | (depth > self.farthest)
        return (beyond & inside).flatten(1).float().mean(1) / inside.flatten(1).float().mean(1).clamp(min=1e-6)


class SurfaceDetector(Detector[SettingsT]):
    """What the baselines on whole scans share: what they read, and that depths beyond those of the training count.

    Example:
        >>> SurfaceDetector.required
        ('depth', 'depth_mask')
    """

    default_modality = "3d"
    required = ARRAYS

    def _beyond(self, batch: Batch) -> Tensor:
        surfaces: Surfaces = self.model.get_submodule("surfaces")  # type: ignore[assignment]  # each model has one
        return surfaces.outside(batch)


def occupancy(share: Tensor, inside: Tensor, settings: SurfaceSettings) -> Tensor:
    """Share (n, layers, side, side) of the pixels of a cell whose point lies in a layer or before it.

    Args:
        share: (n, 1, H, W) where a point lies between the first layer, 0, and the last, 1; beyond, it is in either.
        inside: (n, 1, H, W), where there is a point.
        settings: sizes of the grid.

    Example:
        >>> settings = SurfaceSettings("voxel", side=32, layers=3)
        >>> share = torch.full((1, 1, 32, 64), 0.5)
        >>> occupancy(share, torch.ones_like(share) > 0, settings)[0, :, 7, 7].tolist()
        [0.0, 1.0, 1.0]
    """
    side, layers = settings.side, settings.layers
    height, width = share.shape[-2:]
    rows, columns = (torch.arange(size, device=share.device) * side // size for size in (height, width))
    cell = rows[:, None] * side + columns
    layer = (share.clamp(0, 1) * layers).long().clamp(max=layers - 1)
    grid = share.new_zeros(len(share), layers * side**2)
    grid.scatter_add_(1, (layer * side**2 + cell).flatten(1), inside.to(share.dtype).flatten(1))  # whole numbers
    pixels = torch.bincount(cell.flatten(), minlength=side**2).clamp(min=1)
    return grid.reshape(-1, layers, side, side).cumsum(1) / pixels.reshape(side, side)


def _foreground(batch: Batch) -> tuple[Tensor, Tensor]:
    """Depth (batch, 1, H, W), 0 beside the foreground, and where that is."""
    inside = batch["depth_mask"] > 0
    return torch.where(inside, batch["depth"], 0.0), inside
