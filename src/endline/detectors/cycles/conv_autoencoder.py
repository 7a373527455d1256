"""A convolutional autoencoder of whole cycles: what it cannot rebuild is anomalous."""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import ElementDetector
from endline.detectors.cycles.signals import cycle_shape, measured_batches, prepared
from endline.detectors.fitting import Training
from endline.detectors.standardisation import Standardisation
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch

LAYERS, KERNEL, STRIDE = 3, 7, 2


@dataclass(frozen=True)
class ConvAutoencoderConfig(TrainingSettings):
    """Settings of `ConvAutoencoder`, and those of its training (`TrainingSettings`).

    Attributes:
        hidden: channels of the convolutions.
        latent: numbers that a cycle is pressed into.

    Example:
        >>> ConvAutoencoderConfig().latent
        200
    """

    hidden: int = 220
    latent: int = 200
    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 5.2e-4
    weight_decay: float = 0.0
    schedule: str = "constant"
    milestones: tuple[int, ...] = (55,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden < 1 or self.latent < 1:
            raise EndlineError(
                f"conv_autoencoder has hidden={self.hidden} and latent={self.latent}: choose at least 1 of each."
            )


class Autoencoder(nn.Module):
    """Standardisation, three strided convolutions to the latent vector, and their mirror image.

    Args:
        signals, steps: of a cycle.
        config: the settings.

    Example:
        >>> import torch
        >>> model = Autoencoder(3, 41, ConvAutoencoderConfig(hidden=4, latent=2))
        >>> model(torch.zeros(2, 3, 41)).shape
        torch.Size([2, 3, 41])
    """

    def __init__(self, signals: int, steps: int, config: ConvAutoencoderConfig) -> None:
        super().__init__()
        self.standardise = Standardisation(signals)
        self.lengths = [steps]  # steps before each convolution, and after the last
        for _ in range(LAYERS):
            self.lengths.append(-(-self.lengths[-1] // STRIDE))
        channels = [signals] + [config.hidden] * LAYERS
        self.down = nn.ModuleList(
            nn.Conv1d(fine, coarse, KERNEL, STRIDE, KERNEL // 2) for fine, coarse in pairwise(channels)
        )
        self.inward = nn.Linear(config.hidden * self.lengths[-1], config.latent)
        self.outward = nn.Linear(config.latent, config.hidden * self.lengths[-1])
        self.up = nn.ModuleList(
            nn.ConvTranspose1d(coarse, fine, KERNEL, STRIDE, KERNEL // 2) for coarse, fine in pairwise(channels[::-1])
        )

    def forward(self, x: Tensor) -> Tensor:
        """Rebuilt cycles (batch, signals, steps) of standardised ones."""
        for layer in self.down:
            x = functional.leaky_relu(layer(x))
        x = self.outward(self.inward(x.flatten(1))).unflatten(1, (-1, self.lengths[-1]))
        for layer, steps in zip(self.up, self.lengths[-2::-1], strict=True):
            x = layer(functional.leaky_relu(x), output_size=[steps])
        return x


class ConvAutoencoder(ElementDetector[ConvAutoencoderConfig]):
    """Mean squared error of an autoencoder's image of the standardised signals.

    As described by Rudolph 2024, section 8.2.1: three convolutions of kernel 7 and stride 2 over time, 220 channels,
    a latent vector of 200, transposed convolutions back. Activations are not given there; ours are leaky. Padding is
    seen as zeros, and the error counts at valid elements alone, in training too. The map is the squared error.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = ConvAutoencoder(ConvAutoencoderConfig(hidden=4, latent=2, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 2, 20])
    """

    Config = ConvAutoencoderConfig
    model: Autoencoder

    def _build(self, shapes: Shapes, samples: int) -> Autoencoder:
        """The autoencoder at its start."""
        return Autoencoder(*cycle_shape(shapes), self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Standardise in closed form, then train the autoencoder."""
        self.model.standardise.fit(measured_batches(training.features))
        return train(self.model, self.loss, training, self.config)

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error of a valid element."""
        squares, valid = self.elements(batch)
        return squares.sum() / (valid.sum() * squares.shape[1]).clamp(min=1)

    def elements(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Squared errors (batch, signals, steps), 0 where padded, and the mask (batch, 1, steps)."""
        x, valid = prepared(batch, self.model.standardise)
        return (self.model(x) - x).square() * valid, valid
