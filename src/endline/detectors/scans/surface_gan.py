"""f-AnoGAN on scans: how near a generator comes to a scan from the vector that an encoder finds for it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from endline.detectors.adversarial import gradient_penalty
from endline.detectors.base import Shapes
from endline.detectors.fitting import Training
from endline.detectors.scans.surface_autoencoder import SurfaceNetworkConfig
from endline.detectors.scans.surfaces import BATCH, SurfaceDetector, Surfaces
from endline.detectors.scored import Scored
from endline.detectors.statistics import top_mean
from endline.detectors.strided_trunks import Decoder, Discriminator, Encoder
from endline.detectors.training import Turn, train
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class SurfaceGANConfig(SurfaceNetworkConfig):
    """Settings of `SurfaceGAN`, and those that networks on whole scans share (`SurfaceNetworkConfig`).

    Attributes:
        gan_epochs: passes of the adversaries' training; `epochs` are the encoder's.
        penalty: weight of the critic's gradient penalty.
        feature_weight: of the difference of the critic's features, beside 1 of the picture's, in the encoder's loss and
            in the score.

    Example:
        >>> SurfaceGANConfig().penalty
        10.0
    """

    gan_epochs: int = 40
    penalty: float = 10.0
    feature_weight: float = 1.0
    learning_rate: float = 5e-4
    schedule: str = "constant"
    betas: tuple[float, float] = (0.5, 0.999)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gan_epochs < 1 or self.penalty < 0 or self.feature_weight < 0:
            raise EndlineError(
                f"surface_gan has gan_epochs={self.gan_epochs}, penalty={self.penalty} and "
                f"feature_weight={self.feature_weight}: choose at least 1 epoch, and weights from 0."
            )


class SurfaceAdversaries(nn.Module):
    """Pictures of scans, generator and critic, and the encoder.

    Args:
        config: the settings.

    Example:
        >>> SurfaceAdversaries(SurfaceGANConfig(side=32, hidden=2)).made(3, torch.device("cpu")).shape
        torch.Size([3, 1, 32, 32])
    """

    def __init__(self, config: SurfaceGANConfig) -> None:
        super().__init__()
        self.surfaces, self.latent = Surfaces(config), config.trunk.latent
        self.generator, self.critic = Decoder(config.trunk), Discriminator(config.trunk)
        self.encoder = Encoder(config.trunk)

    def made(self, count: int, device: torch.device) -> Tensor:
        """Pictures (count, channels, side, side) from standard normal noise."""
        picture: Tensor = self.generator(torch.randn(count, self.latent, device=device))
        return picture


class SurfaceGAN(SurfaceDetector[SurfaceGANConfig]):
    """Residual of a scan and of the critic's features after encoder and generator.

    Schlegl et al., "f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial networks", Medical Image
    Analysis 2019: a Wasserstein GAN with gradient penalty, then an encoder to the frozen generator (their `izi_f`). By
    it Bergmann et al. 2022 made depth GAN and voxel GAN of table 6.2 of the thesis, there on 64 x 64 x 64 voxels, here
    on the layers of a coarser grid as channels. The critic takes one step for each of the generator, published are 5.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> depth = np.random.default_rng(0).standard_normal((6, 1, 32, 32)).astype("f4")
        >>> features = FeatureSet({"depth": depth, "depth_mask": np.ones_like(depth)})
        >>> detector = SurfaceGAN(SurfaceGANConfig(side=32, hidden=2, epochs=1, gan_epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 32, 32])
    """

    Config = SurfaceGANConfig
    model: SurfaceAdversaries

    def _build(self, shapes: Shapes, samples: int) -> SurfaceAdversaries:
        """The networks at their start."""
        return SurfaceAdversaries(self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Learn the range of the depths, train critic and generator in turns, then the encoder to both, frozen."""
        c, model = self.config, self.model
        model.surfaces.fit(training.features.batches(BATCH))
        turns = [Turn(self.critic_loss, model.critic), Turn(self.generator_loss, model.generator)]
        adversaries = nn.ModuleList([model.critic, model.generator])
        losses = train(adversaries, turns, training.stage("gan"), replace(c, epochs=c.gan_epochs))
        adversaries.requires_grad_(False)
        return losses + train(model.encoder, self.encoder_loss, training, c)

    def critic_loss(self, batch: Batch) -> Tensor:
        """How much more real made pictures are than real ones, and the gradient penalty."""
        real = self.model.surfaces(batch)
        with torch.no_grad():
            made = self.model.made(len(real), real.device)
        true, false = self.model.critic(torch.cat([real, made]))[0].chunk(2)
        penalty = gradient_penalty(lambda x: self.model.critic(x)[0], real, made)
        loss: Tensor = false.mean() - true.mean() + self.config.penalty * penalty
        return loss

    def generator_loss(self, batch: Batch) -> Tensor:
        """How little real made pictures are."""
        made = self.model.made(len(batch["depth"]), batch["depth"].device)
        realness: Tensor = self.model.critic(made)[0]
        return -realness.mean()

    def encoder_loss(self, batch: Batch) -> Tensor:
        """Mean squared residual, and that of the features."""
        squares, features = self._residuals(batch)
        return squares.mean() + self.config.feature_weight * features.mean()

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,), and the mean squared residual of the layers as a map (batch, side, side)."""
        squares, features = self._residuals(batch)
        anomaly_map = squares.mean(1)
        score = top_mean(anomaly_map, self.config.top_share) + self.config.feature_weight * features
        return Scored(score, anomaly_map)

    def _residuals(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Squared residuals (batch, channels, side, side), and mean squared residual of the features (batch,)."""
        model = self.model
        pictures = model.surfaces(batch)
        rebuilt = model.generator(model.encoder(pictures))
        away = model.critic.embedding(rebuilt) - model.critic.embedding(pictures)
        return (rebuilt - pictures).square(), away.square().mean(1)
