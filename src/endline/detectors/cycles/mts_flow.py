"""MTS-Flow: the density of a cycle's signals, step by step, by a flow that couples the signals."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import StepwiseDetector
from endline.detectors.cycles.segment_statistics import StatisticsGaussian, segment_statistics
from endline.detectors.cycles.signals import (
    BATCH,
    cycle_shape,
    masked_mean,
    measured_batches,
    prepared,
    signal_gradient,
    window_spectra,
)
from endline.detectors.cycles.usual_course import UsualCourse
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.standardisation import Standardisation
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet
from endline.flows.coupling import soft_clamp, unscaled_clamp
from endline.flows.time_series import time_series_flow

CLAMPS = {"soft": soft_clamp, "unscaled": unscaled_clamp}
SCORES = ("likelihood", "latent", "statistics")


@dataclass(frozen=True)
class MTSFlowConfig(TrainingSettings):
    """Settings of `MTSFlow`, and those of its training (`TrainingSettings`).

    Attributes:
        blocks: coupling blocks.
        scale: hidden signals of the subnets, as a multiple of the signals, but no fewer than `min_hidden`.
        kernel, dilation: of the subnets' first convolution, in steps.
        layers: hidden layers of the subnets that see single steps.
        alpha: bound of the log-scale.
        clamp: `soft`, or `unscaled` as in the authors' program.
        gamma: whether the flow starts as the identity.
        masked: False lets padded steps count as if they were measured, as the authors do.
        half: False trains with |z|^2 in place of |z|^2 / 2, as the authors do.
        noise: standard deviation of the Gaussian noise that standardised training signals receive, afresh each step.
        window: steps of the windows whose spectra stand for the signals; 0 = the signals themselves.
        score: `likelihood` (negative log-likelihood), `latent` (z^2 / 2), or `statistics`: how unusual the means,
            deviations, minima and maxima are, in segments of the cycle, of the latents and of what the flow sees, see
            `segment_statistics`.
        segments: of equal length that a cycle is cut into, for `statistics`.
        summed: True sums likelihood or latents over the elements of a cycle, as published; False takes their mean,
            which does not grow with a cycle's length.

    Example:
        >>> MTSFlowConfig().score
        'likelihood'
    """

    min_epochs: ClassVar[int] = 0  # its start is a detector already
    blocks: int = 4
    scale: float = 2.0
    min_hidden: int = 64
    kernel: int = 13
    dilation: int = 2
    layers: int = 0
    alpha: float = 1.2
    clamp: str = "soft"
    gamma: bool = True
    masked: bool = True
    half: bool = True
    noise: float = 0.0
    window: int = 0
    score: str = "likelihood"
    segments: int = 1
    summed: bool = False
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 8e-4
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clamp not in CLAMPS:
            raise EndlineError(f"mts_flow has no clamp '{self.clamp}': choose one of {', '.join(CLAMPS)}.")
        if self.score not in SCORES:
            raise EndlineError(f"mts_flow has no score '{self.score}': choose one of {', '.join(SCORES)}.")
        if self.kernel % 2 == 0 or min(self.kernel, self.dilation, self.blocks, self.segments) < 1:
            raise EndlineError(
                f"mts_flow has kernel={self.kernel}, dilation={self.dilation}, blocks={self.blocks}, "
                f"segments={self.segments}: the kernel is odd, and all are at least 1."
            )
        if self.window < 0 or self.window % 2:
            raise EndlineError(f"mts_flow has window={self.window}: choose an even number of steps, or 0 for none.")


class TimeSeriesFlow(nn.Module):
    """Standardisation, the spectra if they are wanted, and the flow.

    A single signal cannot be halved: then the flow sees pairs of neighbouring steps as two signals.

    Args:
        signals, steps: of a cycle.
        config: the settings.

    Example:
        >>> model = TimeSeriesFlow(3, 20, MTSFlowConfig(blocks=1, min_hidden=4, window=8))
        >>> model.flow_signals  # 5 bins of each spectrum
        15
    """

    def __init__(self, signals: int, steps: int, config: MTSFlowConfig) -> None:
        super().__init__()
        self.config = config
        self.pairs = 2 if signals == 1 and config.window == 0 else 1
        self.standardise = Standardisation(signals)
        bins = config.window // 2 + 1 if config.window else 1
        self.flow_signals = count = signals * bins * self.pairs
        self.spectra = Standardisation(count) if config.window else None
        self.flow = time_series_flow(
            count,
            blocks=config.blocks,
            hidden=max(config.min_hidden, round(config.scale * count), 1),
            kernel=config.kernel,
            dilation=config.dilation,
            layers=config.layers,
            alpha=config.alpha,
            gamma=config.gamma,
            clamp=CLAMPS[config.clamp],
        )
        by_statistics = config.score == "statistics"
        self.statistics = StatisticsGaussian(2 * count, config.segments) if by_statistics else None
        self.usual = UsualCourse(signals, steps) if by_statistics else None

    def prepared(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the flow sees, (batch, its signals, its steps), and the mask (batch, 1, its steps)."""
        x, valid = prepared(batch, self.standardise)
        if self.spectra is not None:
            x, valid = window_spectra(x, valid, self.config.window)
            x = self.spectra(x, valid)
        if self.pairs > 1:
            missing = -x.shape[-1] % self.pairs
            x = functional.pad(x, (0, missing)).view(len(x), x.shape[1], -1, self.pairs).transpose(2, 3).flatten(1, 2)
            valid = functional.pad(valid, (0, missing))[..., :: self.pairs]
        return x, valid if self.config.masked else torch.ones_like(valid)

    def fit_standards(self, features: FeatureSet) -> None:
        """Standardise signals, and spectra, on the training steps."""
        batches = measured_batches(features)
        self.standardise.fit(batches if self.usual is None else self.usual.watching(batches))
        if self.spectra is not None:
            standardised = ((self.standardise(*pair), pair[1]) for pair in measured_batches(features))
            self.spectra.fit(window_spectra(*pair, self.config.window) for pair in standardised)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """|z|^2 / 2 and the log-determinant of every step, (batch, steps)."""
        (z,), (log_det,) = self.flow.by_position((x,))
        return z.square().sum(1) / 2, log_det


class MTSFlow(StepwiseDetector[MTSFlowConfig]):
    """Likelihood of the signals under a flow that couples them and looks along time (Rudolph 2024, chapter 8).

    As published the score is the negative log-likelihood; the map is the input gradient (section 8.1.3). Text and
    authors' program differ: the text has three convolutions a subnet, the program two, a clamp that is not divided by
    alpha, padded steps that count, and a loss without the 1/2. `conf/paper` follows the program; here padding is masked
    and the loss is the density's. `conf/base` scores by `statistics`, which is ours; there the map is the gradient
    times the departure from a usual cycle.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = MTSFlow(MTSFlowConfig(blocks=1, min_hidden=4, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 2, 20])
    """

    Config = MTSFlowConfig
    model: TimeSeriesFlow

    def _build(self, shapes: Shapes, samples: int) -> TimeSeriesFlow:
        """The flow at its start."""
        return TimeSeriesFlow(*cycle_shape(shapes), self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Standardise in closed form, then train the flow."""
        self.model.fit_standards(training.features)
        losses = train(self.model, self.loss, training, self.config, static=True)
        if self.model.statistics is not None:
            with torch.no_grad():
                statistics = [self._statistics(batch) for batch in training.features.batches(BATCH)]
            self.model.statistics.fit(torch.cat(statistics))
        return losses

    def loss(self, batch: Batch) -> Tensor:
        """Mean negative log-likelihood of an element (equation 8.5)."""
        return mean_likelihood(self.model, batch)

    def _step_scores(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Likelihood (or latent) score of every step of the flow, a signal, and the mask: (batch, its steps) each."""
        x, valid = self.model.prepared(batch)
        latent, log_det = self.model.parts(x)
        each = latent if self.config.score == "latent" else latent - log_det
        return each / x.shape[1], valid[:, 0]

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,); the map (batch, signals, steps) is drawn when it is read."""
        standardise, usual = self.model.standardise, self.model.usual
        return Scored(self._scores(batch), lambda: signal_gradient(self._scores, batch, standardise, usual))

    def _scores(self, batch: Batch) -> Tensor:
        if self.model.statistics is not None:
            distances: Tensor = self.model.statistics(self._statistics(batch))
            return distances
        steps, valid = self._step_scores(batch)
        if self.config.summed:
            return (steps * valid).sum(1) * self.model.flow_signals
        return masked_mean(steps, valid)

    def _statistics(self, batch: Batch) -> Tensor:
        x, valid = self.model.prepared(batch)
        (z,), _ = self.model.flow((x,))
        return segment_statistics(torch.cat([z, x], 1), valid, self.config.segments)


def mean_likelihood(model: TimeSeriesFlow, batch: Batch) -> Tensor:
    """Mean negative log-likelihood, without its constant, of an element of the batch; the loss of the flow."""
    x, valid = model.prepared(batch)
    if model.config.noise > 0:
        x = x + model.config.noise * torch.randn_like(x) * valid
    latent, log_det = model.parts(x)
    each = (latent if model.config.half else 2 * latent) - log_det
    return (each * valid[:, 0]).sum() / (valid.sum() * x.shape[1])
