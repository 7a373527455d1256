"""What the adversarial detectors share: windows of a long-window spectrogram, two networks, their training."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from torch import Tensor, nn

from endline.detectors.base import Detector
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.sound.spectrogram_windows import BATCH, Scaling, WindowSet, by_window
from endline.detectors.strided_trunks import Discriminator, Trunk
from endline.detectors.training import TrainingSettings, Turn, train
from endline.errors import EndlineError
from endline.feature_set import Batch

ARRAY = "log_mel_long"


@dataclass(frozen=True)
class WindowGANConfig(TrainingSettings):
    """Settings that the adversarial detectors share, and those of their training (`TrainingSettings`).

    Attributes:
        window: frames of a window; clips that are shorter are repeated.
        hop: frames between two windows, in training and in scoring; one more window ends with the clip.
        hidden: channels after the first convolution; each next one has twice as many, the latent vector half as many
            numbers as the last has channels.
        norm: of the generator: `layer`, or `batch`. The discriminator's is always the layer norm.
        batch_size: windows a step.

    Example:
        >>> WindowGANConfig().window
        128
    """

    window: int = 128
    hop: int = 93
    hidden: int = 8
    norm: str = "layer"
    epochs: int = 12
    batch_size: int = 16
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.5, 0.999)
    clip_norm: float = 0.0
    schedule: str = "constant"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hop < 1 or self.hidden < 1:
            raise EndlineError(f"hop={self.hop} and hidden={self.hidden}: choose at least 1 of each.")
        if self.hop > self.window:
            raise EndlineError(
                f"hop={self.hop} is more than window={self.window}: choose a smaller hop, for the frames between two "
                "windows would never be looked at."
            )


class Adversaries(nn.Module):
    """Scaling, generator and discriminator.

    Args:
        trunk: sizes of the discriminator.
        generator: the other network.

    Example:
        >>> import torch
        >>> Adversaries(Trunk(32, 32, hidden=2), nn.Identity()).windows(torch.ones(3, 32, 32)).shape
        torch.Size([3, 1, 32, 32])
    """

    def __init__(self, trunk: Trunk, generator: nn.Module) -> None:
        super().__init__()
        self.scaling = Scaling()
        self.generator = generator
        self.discriminator = Discriminator(trunk)

    def windows(self, x: Tensor) -> Tensor:
        """Scaled windows (n, 1, bands, frames) of windows (n, bands, frames) in dB."""
        scaled: Tensor = self.scaling(x)
        return scaled[:, None]


def trunk_of(shape: tuple[int, ...], settings: WindowGANConfig) -> Trunk:
    """Trunk for windows of spectrograms (bands, ...)."""
    return Trunk(shape[0], settings.window, settings.hidden, settings.norm)


ConfigT = TypeVar("ConfigT", bound=WindowGANConfig)


class WindowGAN(Detector[ConfigT]):
    """Two networks that train against each other on windows of `log_mel_long`; a score of what they make of a clip.

    A method builds the model (`_build`), and says what the adversaries want (`discriminator_loss`, `generator_loss`)
    and what it measures of windows (`measure`): tensors (n, ...) by name, of which `score` is averaged over the
    windows of a clip, and `picture` over those that cover a frame.

    Example:
        >>> WindowGAN.required
        ('log_mel_long',)
    """

    required = (ARRAY,)
    model: Any

    @abstractmethod
    def discriminator_loss(self, batch: Batch) -> Tensor:
        """What the discriminator wants to be small, of a batch of windows."""

    @abstractmethod
    def generator_loss(self, batch: Batch) -> Tensor:
        """What the generator wants to be small, of a batch of windows."""

    @abstractmethod
    def measure(self, windows: Tensor) -> dict[str, Tensor]:
        """What is to be known of scaled windows (n, 1, bands, frames)."""

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Learn the scaling, then train the discriminator and the generator in turns, batch by batch."""
        c, model, clips = self.config, self.model, training.features
        model.scaling.fit(batch[ARRAY] for batch in clips.batches(BATCH))
        turns = [
            Turn(self.discriminator_loss, model.discriminator),
            Turn(self.generator_loss, model.generator),
        ]
        return train(model, turns, replace(training, features=WindowSet(clips, c.window, c.hop)), c)

    def _beyond(self, batch: Batch) -> Tensor:
        """Share of a clip's spectrogram outside the range of the training clips, (batch,).

        No generator can make it, and a layer norm takes a level out before an embedding or a latent vector sees it.
        """
        outside: Tensor = self.model.scaling(batch[ARRAY]).abs() > 1 + 1e-6
        return outside.float().mean((1, 2))

    def _measured(self, batch: Batch) -> dict[str, Tensor]:
        """What is measured of clips: (batch, windows, ...) by name, and `picture` (batch, bands, frames)."""
        return by_window(self.model.scaling(batch[ARRAY]), self.config.window, self.config.hop, self.measure)

    def _score(self, batch: Batch) -> Scored:
        """Mean score of the windows (batch,), and the pictures in dB as a map (batch, bands, frames)."""
        measured = self._measured(batch)
        return Scored(measured["score"].mean(1), measured["picture"] * self.model.scaling.decibels)
