"""AnoGAN: how near a generator from noise comes to a window, by a search of its latent vector."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from endline.detectors.adversarial import realness_loss
from endline.detectors.base import Shapes
from endline.detectors.sound.window_gan import ARRAY, Adversaries, WindowGAN, WindowGANConfig, trunk_of
from endline.detectors.strided_trunks import Decoder
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class AnoGANConfig(WindowGANConfig):
    """Settings of `AnoGAN`, and those that adversarial detectors share (`WindowGANConfig`).

    Attributes:
        search_steps: gradient steps of the search.
        search_rate: learning rate of its optimizer, Adam.
        feature_share: share in [0, 1] of the difference of features in the score; the rest is the residual's.

    Example:
        >>> AnoGANConfig().feature_share
        0.1
    """

    search_steps: int = 8
    search_rate: float = 0.1
    feature_share: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.search_steps < 1 or not 0 <= self.feature_share <= 1:
            raise EndlineError(
                f"anogan has search_steps={self.search_steps} and feature_share={self.feature_share}: choose at least "
                "one step, and a share from 0 to 1."
            )


class NoiseModel(Adversaries):
    """The adversaries, with a generator from noise, and the noise that every search starts from.

    Args:
        shape: (bands, ...) of a clip.
        config: the settings.

    Example:
        >>> NoiseModel((32, 50), AnoGANConfig(window=32, hop=8, hidden=2)).made(3).shape
        torch.Size([3, 1, 32, 32])
    """

    start: Tensor

    def __init__(self, shape: tuple[int, ...], config: AnoGANConfig) -> None:
        trunk = trunk_of(shape, config)
        super().__init__(trunk, Decoder(trunk))
        self.register_buffer("start", torch.randn(trunk.latent))

    def made(self, count: int) -> Tensor:
        """Windows (count, 1, bands, frames) from standard normal noise."""
        window: Tensor = self.generator(torch.randn(count, len(self.start), device=self.start.device))
        return window


class AnoGAN(WindowGAN[AnoGANConfig]):
    """Residual of the nearest window that a generator can make (Schlegl et al., IPMI 2017).

    A baseline in table 1 of Jiang et al. 2023, here on the trunks of `aegan`. The score is the mean absolute residual
    of a window and, as `feature_share`, that of its embedding by the discriminator; published are sums, of which the
    residual has nearly all. Every search starts from the same noise, so that scores are those of a clip alone. The
    map is the absolute residual, in dB.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> clips = np.random.default_rng(0).standard_normal((6, 32, 40)).astype("f4")
        >>> features = FeatureSet({"log_mel_long": clips})
        >>> detector = AnoGAN(AnoGANConfig(window=32, hop=8, hidden=2, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 32, 40])
    """

    Config = AnoGANConfig
    model: NoiseModel

    def _build(self, shapes: Shapes, samples: int) -> NoiseModel:
        """The adversaries at their start."""
        return NoiseModel(shapes[ARRAY], self.config)

    def discriminator_loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of real windows and of as many that are made from noise."""
        real = self.model.windows(batch[ARRAY])
        with torch.no_grad():
            made = self.model.made(len(real))
        true, false = self.model.discriminator(torch.cat([real, made]))[0].chunk(2)
        return realness_loss(true, false)

    def generator_loss(self, batch: Batch) -> Tensor:
        """Cross-entropy by which windows from noise should be called real."""
        return functional.softplus(-self.model.discriminator(self.model.made(len(batch[ARRAY])))[0]).mean()

    def measure(self, windows: Tensor) -> dict[str, Tensor]:
        """What is left of windows after the search, as `score`, and the absolute residual as `picture`."""
        wanted = self.model.discriminator.embedding(windows)
        found = self.search(windows, wanted)
        return {"score": self.left(windows, wanted, found), "picture": (windows - found).abs()}

    def left(self, windows: Tensor, wanted: Tensor, made: Tensor) -> Tensor:
        """Weighted residual (n,) of scaled windows, their embeddings, and what was made for them."""
        share = self.config.feature_share
        features = (wanted - self.model.discriminator.embedding(made)).abs().mean(1)
        return (1 - share) * (windows - made).abs().mean((1, 2, 3)) + share * features

    def search(self, windows: Tensor, wanted: Tensor) -> Tensor:
        """The windows that the generator makes after the search, for scaled windows (n, 1, bands, frames)."""
        latent = self.model.start.expand(len(windows), -1).clone().requires_grad_()
        optimizer = torch.optim.Adam([latent], self.config.search_rate)
        for _ in range(self.config.search_steps):
            with torch.enable_grad():
                left = self.left(windows, wanted, self.model.generator(latent)).sum()
                (latent.grad,) = torch.autograd.grad(left, latent)
            optimizer.step()
        with torch.no_grad():
            found: Tensor = self.model.generator(latent)
        return found
