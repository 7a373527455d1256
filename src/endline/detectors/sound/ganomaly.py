"""GANomaly: how far the latent vector of a reconstruction lies from that of the window."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.adversarial import realness_loss
from endline.detectors.base import Shapes
from endline.detectors.sound.window_gan import ARRAY, Adversaries, WindowGAN, WindowGANConfig, trunk_of
from endline.detectors.strided_trunks import Decoder, Encoder
from endline.feature_set import Batch


@dataclass(frozen=True)
class GANomalyConfig(WindowGANConfig):
    """Settings of `GANomaly`, and those that adversarial detectors share (`WindowGANConfig`).

    Attributes:
        adversarial: weight of the squared difference of the discriminator's embeddings.
        contextual: weight of the mean absolute error of the reconstruction.
        latent: weight of the squared difference of the latent vectors.

    Example:
        >>> GANomalyConfig().contextual
        50.0
    """

    adversarial: float = 1.0
    contextual: float = 50.0
    latent: float = 1.0


class TwiceEncoded(nn.Module):
    """Encoder, decoder, and a second encoder.

    Args:
        shape: (bands, ...) of a clip.
        config: the settings.

    Example:
        >>> generator = TwiceEncoded((32, 50), GANomalyConfig(window=32, hop=8, hidden=2))
        >>> first, rebuilt, second = generator(torch.zeros(3, 1, 32, 32))
        >>> first.shape, second.shape
        (torch.Size([3, 4]), torch.Size([3, 4]))
    """

    def __init__(self, shape: tuple[int, ...], config: GANomalyConfig) -> None:
        super().__init__()
        trunk = trunk_of(shape, config)
        self.encoder, self.decoder, self.second = Encoder(trunk), Decoder(trunk), Encoder(trunk)

    def rebuilt(self, x: Tensor) -> Tensor:
        """Reconstruction (n, 1, bands, frames) of windows, without its latent vector."""
        picture: Tensor = self.decoder(self.encoder(x))
        return picture

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latent vector (n, d), reconstruction (n, 1, bands, frames) and its latent vector, of windows."""
        latent = self.encoder(x)
        rebuilt = self.decoder(latent)
        return latent, rebuilt, self.second(rebuilt)


class GANomaly(WindowGAN[GANomalyConfig]):
    """Mean absolute difference of the two latent vectors (Akçay, Atapour-Abarghouei and Breckon, ACCV 2018).

    A baseline in table 1 of Jiang et al. 2023, here on the trunks of `aegan`. The program of its authors takes the
    squared difference as score, the text the absolute one. The map is the absolute error of the reconstruction, in dB.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> clips = np.random.default_rng(0).standard_normal((6, 32, 40)).astype("f4")
        >>> features = FeatureSet({"log_mel_long": clips})
        >>> detector = GANomaly(GANomalyConfig(window=32, hop=8, hidden=2, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 32, 40])
    """

    Config = GANomalyConfig

    def _build(self, shapes: Shapes, samples: int) -> Adversaries:
        """The adversaries at their start."""
        shape = shapes[ARRAY]
        return Adversaries(trunk_of(shape, self.config), TwiceEncoded(shape, self.config))

    def discriminator_loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of real windows and reconstructions."""
        real = self.model.windows(batch[ARRAY])
        with torch.no_grad():
            rebuilt = self.model.generator.rebuilt(real)
        true, false = self.model.discriminator(torch.cat([real, rebuilt]))[0].chunk(2)
        return realness_loss(true, false)

    def generator_loss(self, batch: Batch) -> Tensor:
        """The three weighted errors: of embeddings, of the reconstruction, of latent vectors."""
        c, real, judge = self.config, self.model.windows(batch[ARRAY]), self.model.discriminator
        latent, rebuilt, again = self.model.generator(real)
        with torch.no_grad():
            wanted = judge.embedding(real)
        return (
            c.adversarial * functional.mse_loss(judge.embedding(rebuilt), wanted)
            + c.contextual * functional.l1_loss(rebuilt, real)
            + c.latent * functional.mse_loss(again, latent)
        )

    def measure(self, windows: Tensor) -> dict[str, Tensor]:
        """Distance of the latent vectors as `score`, and the absolute error as `picture`."""
        latent, rebuilt, again = self.model.generator(windows)
        return {"score": (latent - again).abs().mean(1), "picture": (windows - rebuilt).abs()}
