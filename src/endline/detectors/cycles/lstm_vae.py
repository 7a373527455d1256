"""A variational autoencoder of two LSTMs: what it does not expect is anomalous."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import StepDetector
from endline.detectors.cycles.signals import DEVIATION_FLOOR, cycle_shape, measured_batches, prepared
from endline.detectors.fitting import Training
from endline.detectors.standardisation import Standardisation
from endline.detectors.statistics import bounded_normal_nll
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class LSTMVAEConfig(TrainingSettings):
    """Settings of `LSTMVAE`, and those of its training (`TrainingSettings`).

    Attributes:
        hidden: of the LSTMs.
        latent: dimensions of a step's latent variable.
        downsampling: steps that become one by their mean: LSTMs have trouble with long cycles (published: 10 Hz).

    Example:
        >>> LSTMVAEConfig().hidden
        128
    """

    hidden: int = 128
    latent: int = 32
    downsampling: int = 5
    epochs: int = 90
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "constant"

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.latent, self.downsampling) < 1:
            raise EndlineError(
                f"lstm_vae has hidden={self.hidden}, latent={self.latent}, downsampling={self.downsampling}: "
                "choose at least 1 of each."
            )


class RecurrentAutoencoder(nn.Module):
    """Standardisation, the LSTM that infers the latent variables, and the LSTM that expects the signals from them.

    Args:
        signals: their number.
        config: the settings.

    Example:
        >>> model = RecurrentAutoencoder(3, LSTMVAEConfig(hidden=4, latent=2))
        >>> mean, log_variance = model.inferred(torch.zeros(2, 3, 10))
        >>> mean.shape
        torch.Size([2, 10, 2])
    """

    def __init__(self, signals: int, config: LSTMVAEConfig) -> None:
        super().__init__()
        self.standardise = Standardisation(signals)
        self.encoder = nn.LSTM(signals, config.hidden, batch_first=True)
        self.posterior = nn.Linear(config.hidden, 2 * config.latent)
        self.decoder = nn.LSTM(config.latent, config.hidden, batch_first=True)
        self.expected = nn.Linear(config.hidden, 2 * signals)

    def inferred(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (batch, steps, latent) of the latent variables of signals (batch, signals, steps)."""
        mean, log_variance = self.posterior(self.encoder(x.transpose(1, 2))[0]).chunk(2, -1)
        return mean, log_variance

    def nll(self, x: Tensor, latent: Tensor) -> Tensor:
        """`bounded_normal_nll` (batch, signals, steps) of signals, given latent variables (batch, steps, latent)."""
        mean, width = self.expected(self.decoder(latent)[0]).transpose(1, 2).chunk(2, 1)
        return bounded_normal_nll(x, mean, width, DEVIATION_FLOOR)


class LSTMVAE(StepDetector[LSTMVAEConfig]):
    """Negative log-likelihood of the signals, as an LSTM expects them from the posterior mean of its latent variables.

    Park, Hoshi and Kemp, "A Multimodal Anomaly Detector for Robot-Assisted Feeding Using an LSTM-Based Variational
    Autoencoder", RA-L 2018, with the lower bound of 0.05 on the standard deviations by Rudolph 2024, section 8.2.1.
    There the prior of a latent variable follows the progress of the task, and noise is added to the inputs; here the
    prior is a standard normal and the inputs are clean. Nothing is drawn when cycles are scored. The map is the
    negative log-likelihood of every signal at every step.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = LSTMVAE(LSTMVAEConfig(hidden=4, latent=2, downsampling=3, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 2, 20])
    """

    Config = LSTMVAEConfig
    model: RecurrentAutoencoder

    def _build(self, shapes: Shapes, samples: int) -> RecurrentAutoencoder:
        """The autoencoder at its start."""
        return RecurrentAutoencoder(cycle_shape(shapes)[0], self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Standardise in closed form, then train the autoencoder."""
        self.model.standardise.fit(measured_batches(training.features))
        return train(self.model, self.loss, training, self.config)

    def loss(self, batch: Batch) -> Tensor:
        """Negative evidence lower bound of a valid element, from one draw of the latent variables."""
        x, valid = prepared(batch, self.model.standardise, self.config.downsampling)
        mean, log_variance = self.model.inferred(x)
        latent = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1) / 2
        each = self.model.nll(x, latent).sum(1) + divergence
        return (each * valid[:, 0]).sum() / (valid.sum() * x.shape[1]).clamp(min=1)

    def elements(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood (batch, signals, fewer steps) and mask (batch, 1, fewer steps)."""
        x, valid = prepared(batch, self.model.standardise, self.config.downsampling)
        return self.model.nll(x, self.model.inferred(x)[0]), valid
