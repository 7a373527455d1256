"""The autoencoder baseline of DCASE: what it cannot rebuild is anomalous."""

from torch import Tensor

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.sound.dense_autoencoder import DenseAutoencoder, DenseAutoencoderConfig
from endline.detectors.sound.frame_windows import frame_map
from endline.detectors.training import train
from endline.feature_set import Batch


class Autoencoder(Detector[DenseAutoencoderConfig]):
    """Mean squared error of a dense autoencoder on windows of five log-mel frames.

    The baseline of DCASE Task 2 (Dohi et al., "Description and discussion on DCASE 2022 challenge task 2", 2022), the
    plain autoencoder of Kazakova et al. 2022, section 3.1: 640-128-128-128-128-8-128-128-128-128-640. A clip's score
    is the mean over its windows, in units of the training clips' variance (in dB² where they are not levelled). The
    map is the squared error by band and frame, the mean over the windows that hold the frame.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> clips = np.random.default_rng(0).standard_normal((8, 16, 20)).astype("f4")
        >>> features = FeatureSet({"log_mel": clips})
        >>> detector = Autoencoder(DenseAutoencoderConfig(hidden=8, latent=2, epochs=1, min_steps=0))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 16, 20])
    """

    Config = DenseAutoencoderConfig
    required = ("log_mel",)
    model: DenseAutoencoder

    def _build(self, shapes: Shapes, samples: int) -> DenseAutoencoder:
        """The autoencoder at its start."""
        bands, frames = shapes["log_mel"]
        return DenseAutoencoder(bands, frames, self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Level in closed form, then train."""
        self.model.fit_level(training.features, self.config.levelled)
        return train(self.model, self.loss, training, self.config)

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error of windows drawn from the clips."""
        return self.model.residuals(self.model.drawn_from(batch["log_mel"])).square().mean()

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,) and map (batch, bands, frames)."""
        squares = self.model.residuals(self.model.windows_of(batch["log_mel"])).square()
        return Scored(squares.mean((1, 2)), lambda: frame_map(self.model.by_frame(squares)))
