"""A Gaussian of what the depth does in each cell of a scan: the baseline of the station `surface_scan`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.statistics import shrunk_gaussian, squared_mahalanobis
from endline.errors import EndlineError
from endline.feature_set import Batch

BATCH = 64
STATISTICS = 4  # of a cell
# Least deviation: what hardly varies, such as a cell of background alone, must not outweigh all others.
FLOOR = 0.2  # of a statistic's mean deviation over the cells
LEAST = 0.01  # of its mean size, where it varies in none


@dataclass(frozen=True)
class DepthGaussianConfig:
    """Settings of `DepthGaussian`.

    Attributes:
        cells: along each side of a scan.
        shrinkage: share in [0, 1] of the mean variance that is mixed into the covariance.

    Example:
        >>> DepthGaussianConfig().cells
        8
    """

    cells: int = 8
    shrinkage: float = 0.1

    def __post_init__(self) -> None:
        if self.cells < 1 or not 0 <= self.shrinkage <= 1:
            raise EndlineError(
                f"depth_gaussian has cells={self.cells} and shrinkage={self.shrinkage}: choose at least 1 cell, and a "
                "shrinkage from 0 to 1."
            )


class DepthGaussian(Detector[DepthGaussianConfig]):
    """Mahalanobis distance of mean, deviation and slope of the depth, and of the part's share, in cells of a scan.

    It knows nothing of shapes: what it finds, any look at the numbers finds. The map shows which cells the distance
    comes from.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> depth = np.random.default_rng(0).standard_normal((9, 1, 16, 16)).astype("f4")
        >>> features = FeatureSet({"depth": depth, "depth_mask": np.ones_like(depth)})
        >>> detector = DepthGaussian(DepthGaussianConfig(cells=4))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 4, 4])
    """

    Config = DepthGaussianConfig
    default_modality = "3d"
    required = ("depth", "depth_mask")

    def _build(self, shapes: Shapes, samples: int) -> nn.Module:
        """Mean and gain (d,) and precision (d, d) of d statistics."""
        size, model = STATISTICS * self.config.cells**2, nn.Module()
        model.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        model.register_buffer("gain", torch.ones(size, dtype=torch.float64))
        model.register_buffer("precision", torch.eye(size, dtype=torch.float64))
        return model

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses."""
        vectors = torch.cat([self._statistics(batch) for batch in training.features.batches(BATCH)])
        mean, deviation = vectors.mean(0), vectors.std(0, correction=0).reshape(STATISTICS, -1)
        size = mean.reshape(STATISTICS, -1).abs().mean(1, keepdim=True)
        least = FLOOR * deviation.mean(1, keepdim=True) + LEAST * size + 1e-6
        gain = 1 / (deviation.square() + least.square()).sqrt().flatten()
        _, precision = shrunk_gaussian((vectors - mean) * gain, self.config.shrinkage)
        for name, value in (("mean", mean), ("gain", gain), ("precision", precision)):
            self.model.get_buffer(name).copy_(value)
        return ()

    def _score(self, batch: Batch) -> Scored:
        """Distance a statistic (batch,), and the addends of each cell (batch, cells, cells)."""
        mean, gain, precision = (self.model.get_buffer(name) for name in ("mean", "gain", "precision"))
        addends = squared_mahalanobis((self._statistics(batch) - mean) * gain, precision)
        cells = self.config.cells
        return Scored(addends.mean(1), addends.reshape(-1, STATISTICS, cells, cells).sum(1))

    def _statistics(self, batch: Batch) -> Tensor:
        """Statistics (batch, d), float64."""
        return cell_statistics(batch["depth"], batch["depth_mask"] > 0, self.config.cells).flatten(1).double()


def cell_statistics(depth: Tensor, inside: Tensor, cells: int) -> Tensor:
    """Mean, deviation and mean slope of the depth of the foreground, and its share, of each cell of a scan.

    Args:
        depth: (n, 1, H, W) in mm.
        inside: (n, 1, H, W), True in the foreground; a cell without any has zeros.
        cells: along each side.

    Returns:
        (n, 4, cells, cells): mm, mm, mm from one pixel to the next, share.

    Example:
        >>> ramp = torch.tensor([[0.0, 2.0, 4.0, 6.0]]).expand(1, 1, 4, 4)
        >>> cell_statistics(ramp, torch.ones_like(ramp) > 0, 1).flatten()
        tensor([3.0000, 2.2361, 1.5000, 1.0000])
    """
    weight = inside.to(depth.dtype)
    share = functional.adaptive_avg_pool2d(weight, cells)

    def mean(values: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(values * weight, cells) / share.clamp(min=1e-6)

    centre = mean(depth)
    deviation = (mean(depth.square()) - centre.square()).clamp(min=0).sqrt()
    across, down = (_step(depth, weight, dim) for dim in (3, 2))
    return torch.cat([centre, deviation, mean((across.square() + down.square()).sqrt()), share], 1)


def _step(depth: Tensor, weight: Tensor, dim: int) -> Tensor:
    """Difference (n, 1, H, W) to the next pixel, 0 where it or the pixel is no foreground."""
    both = weight.narrow(dim, 1, weight.shape[dim] - 1) * weight.narrow(dim, 0, weight.shape[dim] - 1)
    return functional.pad(depth.diff(dim=dim) * both, (0, 1, 0, 0) if dim == 3 else (0, 0, 0, 1))
