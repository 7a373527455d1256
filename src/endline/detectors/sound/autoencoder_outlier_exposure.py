"""An autoencoder that learns to rebuild one machine's clips, and not to rebuild another's."""

import torch
from torch import Tensor

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.sound.dense_autoencoder import DenseAutoencoder, DenseAutoencoderConfig
from endline.detectors.sound.frame_windows import frame_map
from endline.detectors.sound.outlier_exposure import drawn_samples, required_outliers
from endline.detectors.training import train
from endline.feature_set import Batch


class AutoencoderOutlierExposure(Detector[DenseAutoencoderConfig]):
    """How far the reconstruction loss of a clip is from that of a normal one, after exposure to outliers.

    Kazakova et al., "Anomalous Sound Detection with Autoencoder and Image MobileNet Using Outlier Exposure Approach",
    DCASE 2022, sections 2.1 and 2.2: the true loss of a target window is 0, that of an outlier 1; the score is
    |true loss - predicted loss| with a true loss of 0 for every tested clip (equation 1). How a loss becomes at most 1
    is not published; here it is e / (1 + e) of a window's mean squared error e in units of the training clips'
    variance, whose slope falls to 0 slowly: neither can outliers drive the training away, nor are target windows lost
    that are still far off. A step sees as many outliers, drawn at random, as target clips. A clip's score is the mean
    over its windows, in [0, 1). The map is the squared error by band and frame.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> clips = np.random.default_rng(0).standard_normal((2, 8, 16, 20)).astype("f4")
        >>> target, other = (FeatureSet({"log_mel": each}) for each in clips)
        >>> config = DenseAutoencoderConfig(hidden=8, latent=2, epochs=1, min_steps=0)
        >>> detector = AutoencoderOutlierExposure(config)
        >>> history = detector.fit(target, seed=0, progress=Progress(), outliers=other)
        >>> detector.score(target.read([0, 1])).map.shape
        torch.Size([2, 16, 20])
    """

    Config = DenseAutoencoderConfig
    required = ("log_mel",)
    uses_outliers = True
    model: DenseAutoencoder

    def _build(self, shapes: Shapes, samples: int) -> DenseAutoencoder:
        """The autoencoder at its start."""
        bands, frames = shapes["log_mel"]
        return DenseAutoencoder(bands, frames, self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Level on the target's clips in closed form, then train on both."""
        outliers = required_outliers(training, "autoencoder_outlier_exposure")
        self.model.fit_level(training.features, self.config.levelled)

        def loss(batch: Batch) -> Tensor:
            return self.loss(batch, drawn_samples(outliers, len(batch["log_mel"])))

        return train(self.model, loss, training, self.config)

    def loss(self, batch: Batch, outliers: Batch | None = None) -> Tensor:
        """Mean |true loss - predicted loss| of windows drawn from target clips, and from as many outliers."""
        clips = batch["log_mel"] if outliers is None else torch.cat([batch["log_mel"], outliers["log_mel"]])
        squares = self.model.residuals(self.model.drawn_from(clips)).square()
        true = torch.zeros(len(clips), device=clips.device)
        true[len(batch["log_mel"]) :] = 1
        return (true.repeat_interleave(self.model.count) - bounded_loss(squares)).abs().mean()

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,) and map (batch, bands, frames)."""
        squares = self.model.residuals(self.model.windows_of(batch["log_mel"])).square()
        return Scored(bounded_loss(squares).mean(1), lambda: frame_map(self.model.by_frame(squares)))


def bounded_loss(squares: Tensor) -> Tensor:
    """Loss e / (1 + e) of the mean e of squared errors (..., dimensions): 0 for a perfect one, below 1.

    Example:
        >>> bounded_loss(torch.tensor([[0.0, 0.0], [0.0, 2.0]]))
        tensor([0.0000, 0.5000])
    """
    error = squares.mean(-1)
    return error / (1 + error)
