"""Position neighbour: patches beside those of the most alike normal images, at about the same place."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.neighbourhoods import brought_to, locally_averaged, taken_scales
from endline.detectors.scored import Scored
from endline.detectors.statistics import pooled, top_mean
from endline.errors import EndlineError
from endline.feature_set import Batch

BATCH = 16


@dataclass(frozen=True)
class PositionNeighbourConfig:
    """Settings of `PositionNeighbour`.

    Attributes:
        scales: the scales whose maps are taken, finest first; 0 is the finest that there is.
        images: training images at most, drawn evenly from all, that are kept.
        alike: of these, how many the patches of an image are compared with: the most alike as a whole.
        reach: by how many positions of the finest scale taken a part may lie elsewhere; coarser ones reach as far.
        top_share: share in (0, 1] of the positions, the most anomalous ones, whose mean is the score.

    Example:
        >>> PositionNeighbourConfig().alike
        32
    """

    scales: tuple[int, ...] = (1, 2)
    images: int = 200
    alike: int = 32
    reach: int = 2
    top_share: float = 0.02

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) < 0 or min(self.images, self.alike) < 1 or self.reach < 0:
            raise EndlineError(
                f"position_neighbour has scales={list(self.scales)}, images={self.images}, alike={self.alike} and "
                f"reach={self.reach}: choose at least one scale, counted from 0, images and alike from 1, reach from 0."
            )
        if not 0 < self.top_share <= 1:
            raise EndlineError(
                f"position_neighbour has top_share={self.top_share}: choose a share above 0 and at most 1."
            )


class KeptImages(nn.Module):
    """Maps of normal images, each position of length 1, and their pooled maps, of length 1 too.

    Args:
        shapes: shape (channels, height, width) of each scale's maps, the names' order being finest first.
        samples: number of training samples.
        config: the settings.

    Raises:
        EndlineError: when a scale is not there.

    Example:
        >>> kept = KeptImages({"scale_0": (6, 4, 4)}, 8, PositionNeighbourConfig(scales=(0,), images=5))
        >>> kept.kept(0).shape, kept.whole.shape
        (torch.Size([5, 6, 4, 4]), torch.Size([5, 6]))
    """

    whole: Tensor

    def __init__(self, shapes: Shapes, samples: int, config: PositionNeighbourConfig) -> None:
        super().__init__()
        self.names = taken_scales("position_neighbour", config.scales, shapes)
        self.size = (shapes[self.names[0]][1], shapes[self.names[0]][2])
        self.samples, self.images = samples, min(samples, config.images)
        for scale, name in enumerate(self.names):
            self.register_buffer(f"kept_{scale}", torch.zeros(self.images, *shapes[name]))
        self.register_buffer("whole", torch.zeros(self.images, sum(shapes[name][0] for name in self.names)))

    def kept(self, scale: int) -> Tensor:
        """Maps (images, C, h, w) of a scale."""
        maps: Tensor = getattr(self, f"kept_{scale}")
        return maps

    def maps(self, batch: Batch) -> list[Tensor]:
        """Maps of a batch averaged over 3 x 3 positions, each position of length 1, (batch, C, h, w) a scale."""
        return [functional.normalize(locally_averaged(batch[name], zero_padding=False), dim=1) for name in self.names]

    def wholes(self, batch: Batch) -> Tensor:
        """Pooled maps, of length 1, (batch, channels)."""
        return functional.normalize(pooled({name: batch[name] for name in self.names}), dim=1)


def least_cosine_distances(maps: Tensor, kept: Tensor, reach: int) -> Tensor:
    """One minus the largest cosine of each patch with those of the kept images at most `reach` positions away, (h, w).

    Args:
        maps: of one image, (C, h, w), each position of length 1.
        kept: of the images beside it, (k, C, h, w), likewise.
        reach: in positions, along either side.

    Example:
        >>> spot = torch.zeros(2, 3, 3)
        >>> spot[0], spot[1, 0, 0], spot[0, 0, 0] = 1, 1, 0
        >>> moved = spot.roll(1, 2)[None]
        >>> least_cosine_distances(spot, moved, 0)[0].tolist(), least_cosine_distances(spot, moved, 1)[0].tolist()
        ([1.0, 1.0, 0.0], [0.0, 0.0, 0.0])
    """
    channels, height, width = maps.shape
    patches, beside = maps.permute(1, 2, 0), kept.permute(2, 1, 0, 3).reshape(height, channels, -1)
    rows, columns = (torch.arange(side, device=maps.device) for side in (height, width))
    far = (columns[:, None] - columns).abs() > reach
    largest = torch.full_like(maps[0], -1.0)
    for step in range(-reach, reach + 1):
        # Beyond the border stands the last row, which is in the window as well.
        cosines = patches @ beside[(rows + step).clamp(0, height - 1)]
        nearest = cosines.reshape(height, width, -1, width).amax(2)
        largest = torch.maximum(largest, nearest.masked_fill(far, -1.0).amax(2))
    return 1 - largest


class PositionNeighbour(Detector[PositionNeighbourConfig]):
    """Distance of each patch to the nearest one of the most alike normal images, at about the same place.

    After Zhang, Li, Henderson, Aragon-Camarasa and Long, "Is Training Necessary for Anomaly Detection?" (RAD), 2026
    (arXiv 2601.22763): normal images are kept as they are; of a new one the most alike are found by pooled features,
    and each of its patches is compared with theirs in a window about its place, by the cosine, at several scales, whose
    distances are averaged. Published with layers of a DINO transformer and several categories in one memory; here on
    the station's maps, and the score is the mean of the largest share of positions.

    Example:
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"scale_0": (8, 3, 8, 8), "scale_1": (8, 4, 4, 4)}
        >>> features = FeatureSet({name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()})
        >>> detector = PositionNeighbour(PositionNeighbourConfig(scales=(0, 1)))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 8, 8])
    """

    Config = PositionNeighbourConfig
    default_modality = "rgb"  # it takes several scales
    default_light = "standardised"
    model: KeptImages

    def _build(self, shapes: Shapes, samples: int) -> KeptImages:
        """The images, empty."""
        return KeptImages(shapes, samples, self.config)

    @torch.no_grad()
    def _learn(self, training: Training) -> tuple[float, ...]:
        """Nothing is fitted; no losses. One pass over the images that are kept."""
        model, rng = self.model, np.random.default_rng(training.seed)
        chosen = np.sort(rng.choice(model.samples, model.images, replace=False))
        start = 0
        for batch in training.features.take(chosen).batches(BATCH):
            whole = model.wholes(batch)
            rows = slice(start, start + len(whole))
            model.whole[rows] = whole
            for scale, maps in enumerate(model.maps(batch)):
                model.kept(scale)[rows] = maps
            start = rows.stop
        return ()

    def _score(self, batch: Batch) -> Scored:
        """Mean of the largest distances (batch,), and all of them (batch, H, W), averaged over the scales."""
        model = self.model
        alike = (model.wholes(batch) @ model.whole.T).topk(min(self.config.alike, model.images), dim=1).indices
        distances = torch.stack([self._of_scale(*each, alike) for each in enumerate(model.maps(batch))]).mean(0)
        return Scored(top_mean(distances, self.config.top_share), distances)

    def _of_scale(self, scale: int, maps: Tensor, alike: Tensor) -> Tensor:
        """Distances (batch, H, W) of maps (batch, C, h, w) to those of the images `alike` (batch, k), at one size."""
        kept, size = self.model.kept(scale), self.model.size
        reach = round(self.config.reach * kept.shape[2] / size[0])
        pairs = zip(maps, alike, strict=True)
        distances = torch.stack([least_cosine_distances(own, kept[rows], reach) for own, rows in pairs])
        return brought_to(distances[:, None], size)[:, 0]
