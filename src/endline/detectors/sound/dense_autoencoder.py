"""The dense autoencoder of DCASE's baselines, on windows of neighbouring log-mel frames."""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from endline.detectors.sound.frame_windows import all_windows, drawn_windows
from endline.detectors.sound.levelling import Levelling
from endline.detectors.training import TrainingSettings
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

DEPTH = 4  # hidden layers before the latent one, and after it


@dataclass(frozen=True)
class DenseAutoencoderConfig(TrainingSettings):
    """Settings of a dense autoencoder, and those of its training (`TrainingSettings`).

    Attributes:
        frames: neighbouring frames of a window; clips of fewer are one window.
        windows: drawn from a clip in each pass over it, so that a step sees `batch_size` times as many of as many
            clips, and memory holds no more.
        hidden: width of the layers.
        latent: width of the narrowest one.
        levelled: whether the input is levelled (`Levelling`). The published one is not: with inputs at some -40 dB and
            outputs that start at 0, a short training spends its steps on the mean spectrum.
        batch_size: clips a step.

    Example:
        >>> DenseAutoencoderConfig().hidden
        128
    """

    frames: int = 5
    windows: int = 32
    hidden: int = 128
    latent: int = 8
    levelled: bool = True
    epochs: int = 80
    min_steps: int = 2000
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.frames, self.windows, self.hidden, self.latent) < 1:
            raise EndlineError(
                f"The autoencoder has frames={self.frames}, windows={self.windows}, hidden={self.hidden}, "
                f"latent={self.latent}: choose at least 1 of each."
            )


class DenseAutoencoder(nn.Module):
    """Levelling, four dense layers with batch norm and ReLU, a narrow one, four more, and a linear one to the window.

    Args:
        bands, frames: of a clip.
        config: the settings.

    Example:
        >>> import torch
        >>> model = DenseAutoencoder(64, 30, DenseAutoencoderConfig())
        >>> model.residuals(model.windows_of(torch.zeros(2, 64, 30))).shape
        torch.Size([2, 26, 320])
    """

    def __init__(self, bands: int, frames: int, config: DenseAutoencoderConfig) -> None:
        super().__init__()
        self.frames, self.count = min(config.frames, frames), config.windows
        self.size = bands * self.frames
        self.level = Levelling(bands)
        widths = [self.size, *[config.hidden] * DEPTH, config.latent, *[config.hidden] * DEPTH]
        inner = [_dense(before, after) for before, after in pairwise(widths)]
        self.layers = nn.Sequential(*inner, nn.Linear(config.hidden, self.size))

    def fit_level(self, features: FeatureSet, levelled: bool) -> None:
        """Fit the levelling on `log_mel`, or leave the input as it is."""
        if levelled:
            self.level.fit(features, "log_mel")

    def windows_of(self, clips: Tensor) -> Tensor:
        """All levelled windows (n, windows, frames x bands) of clips (n, bands, T)."""
        return all_windows(self.level(clips), self.frames).flatten(2)

    def drawn_from(self, clips: Tensor) -> Tensor:
        """Levelled windows (n x count, frames x bands), drawn from clips (n, bands, T)."""
        return drawn_windows(self.level(clips), self.frames, self.count).flatten(2).flatten(0, 1)

    def residuals(self, windows: Tensor) -> Tensor:
        """Windows (..., frames x bands) less what the network makes of them."""
        flat = windows.reshape(-1, self.size)
        away: Tensor = flat - self.layers(flat)
        return away.view(windows.shape)

    def by_frame(self, values: Tensor) -> Tensor:
        """Values (n, windows, frames x bands) of all windows as (n, windows, frames, bands)."""
        return values.view(*values.shape[:2], self.frames, -1)


def _dense(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU())
