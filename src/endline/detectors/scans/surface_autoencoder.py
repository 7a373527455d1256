"""An autoencoder of scans: what it cannot rebuild is anomalous."""

from dataclasses import dataclass

from torch import Tensor, nn

from endline.detectors.base import Shapes
from endline.detectors.fitting import Training
from endline.detectors.scans.surfaces import BATCH, SurfaceDetector, Surfaces, SurfaceSettings
from endline.detectors.scored import Scored
from endline.detectors.statistics import top_mean
from endline.detectors.strided_trunks import Autoencoder, Trunk
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class SurfaceNetworkConfig(SurfaceSettings, TrainingSettings):
    """Settings that the networks on whole scans share: `SurfaceSettings`, and those of the training.

    Attributes:
        hidden: channels after the first convolution; each of the next has twice as many, the latent vector half as
            many numbers as the last has channels.

    Example:
        >>> SurfaceNetworkConfig().hidden
        16
    """

    hidden: int = 16
    epochs: int = 40
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        SurfaceSettings.__post_init__(self)
        TrainingSettings.__post_init__(self)
        if self.hidden < 1:
            raise EndlineError(f"hidden={self.hidden}: choose at least 1 channel.")

    @property
    def trunk(self) -> Trunk:
        """Sizes of the convolutions."""
        return Trunk(self.side, self.side, self.hidden, inputs=self.channels)


class SurfaceNetwork(nn.Module):
    """Pictures of scans, and the autoencoder that rebuilds them.

    Args:
        config: the settings.

    Example:
        >>> import torch
        >>> SurfaceNetwork(SurfaceNetworkConfig(side=32, hidden=2)).autoencoder(torch.zeros(2, 1, 32, 32)).shape
        torch.Size([2, 1, 32, 32])
    """

    def __init__(self, config: SurfaceNetworkConfig) -> None:
        super().__init__()
        self.surfaces = Surfaces(config)
        self.autoencoder = Autoencoder(config.trunk)


class SurfaceAutoencoder(SurfaceDetector[SurfaceNetworkConfig]):
    """Squared error of an autoencoder's image of a scan.

    Bergmann et al. 2022 ("The MVTec 3D-AD Dataset", section 4: depth AE and voxel AE of table 6.2 of the thesis) press
    a depth image, or a grid of 64 x 64 x 64 voxels by convolutions over three axes, into a vector of 256 numbers; here
    the layers of a coarser grid are channels, and the vector is shorter. The score is the mean of the largest errors,
    there the largest one.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> depth = np.random.default_rng(0).standard_normal((6, 1, 32, 32)).astype("f4")
        >>> features = FeatureSet({"depth": depth, "depth_mask": np.ones_like(depth)})
        >>> detector = SurfaceAutoencoder(SurfaceNetworkConfig(side=32, hidden=2, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 32, 32])
    """

    Config = SurfaceNetworkConfig
    model: SurfaceNetwork

    def _build(self, shapes: Shapes, samples: int) -> SurfaceNetwork:
        """The autoencoder at its start."""
        return SurfaceNetwork(self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Learn the range of the depths in closed form, then train the autoencoder."""
        self.model.surfaces.fit(training.features.batches(BATCH))
        return train(self.model, self.loss, training, self.config)

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error."""
        return self._squares(batch).mean()

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,), and the mean error of the layers as a map (batch, side, side)."""
        anomaly_map = self._squares(batch).mean(1)
        return Scored(top_mean(anomaly_map, self.config.top_share), anomaly_map)

    def _squares(self, batch: Batch) -> Tensor:
        """Squared errors (batch, channels, side, side)."""
        pictures = self.model.surfaces(batch)
        squares: Tensor = (self.model.autoencoder(pictures) - pictures).square()
        return squares
