"""CS-Flow: one flow on feature maps of several scales, which exchange what they see."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.flow_scores import (
    SCORES,
    check_halving,
    flow_score,
    kernel_sizes,
    negative_log_likelihood,
    with_noise,
)
from endline.detectors.maps.scales import Scales, scale_names
from endline.detectors.scored import Scored
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch
from endline.flows.cross_scale import cross_scale_flow


@dataclass(frozen=True)
class CSFlowConfig(TrainingSettings):
    """Settings of `CSFlow`, and those of its training (`TrainingSettings`).

    Attributes:
        input_type: pyramid that the maps are made of where the station's is `auto`.
        scales: number of scales that are read at most, the coarsest ones; 0 = all.
        components: whitened principal components of the channels that stay, a scale; 0 = all.
        whiten: False feeds the maps to the flow as they are, as published.
        blocks: coupling blocks.
        kernel, last_kernel: kernel size of all blocks but the last, and of the last.
        hidden: hidden channels of the subnets.
        alpha: bound of the log-scale.
        noise: standard deviation of the Gaussian noise that training maps receive, afresh each step.
        score: `latent` (mean of z^2 / 2) or `likelihood` (negative log-likelihood a dimension).

    Example:
        >>> CSFlowConfig().score
        'latent'
    """

    min_epochs: ClassVar[int] = 0  # its start is a detector already
    input_type: str = "cross_scale"
    scales: int = 0
    components: int = 128
    whiten: bool = True
    blocks: int = 4
    kernel: int = 3
    last_kernel: int = 5
    hidden: int = 64
    alpha: float = 3.0
    noise: float = 0.0
    score: str = "latent"
    epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score not in SCORES:
            raise EndlineError(f"cs_flow has no score '{self.score}': choose one of {', '.join(SCORES)}.")
        if self.scales < 0:
            raise EndlineError(f"cs_flow cannot read {self.scales} scales: choose 0 for all, or a number of them.")


class WhitenedCrossScaleFlow(nn.Module):
    """Whitening of each scale, then the cross-scale flow.

    Args:
        shapes: shape (channels, height, width) of each scale's maps, the names' order being finest first.
        config: the settings.

    Example:
        >>> shapes = {"scale_0": (6, 8, 8), "scale_1": (8, 4, 4)}
        >>> model = WhitenedCrossScaleFlow(shapes, CSFlowConfig(components=4, hidden=4, blocks=1))
        >>> model.scales.sizes
        [(4, 8, 8), (4, 4, 4)]
    """

    def __init__(self, shapes: Shapes, config: CSFlowConfig) -> None:
        super().__init__()
        read = {name: shapes[name] for name in scale_names(shapes)[-config.scales :]}
        self.scales = Scales(read, config.components, config.whiten)
        check_halving([size[1:] for size in self.scales.sizes])
        kernels = [(size, size) for size in kernel_sizes(config.blocks, config.kernel, config.last_kernel)]
        flow = cross_scale_flow(self.scales.channels, kernels=kernels, hidden=config.hidden, alpha=config.alpha)
        self.flow = flow.to(memory_format=torch.channels_last)


class CSFlow(Detector[CSFlowConfig]):
    """Latents of a cross-scale flow (Rudolph 2024, chapter 5; WACV 2022).

    Whitening in front, few hidden channels and a short schedule stand for the published 275 million parameters and
    240 epochs; the paper's settings give the published form. Text and authors' program differ in Adam's betas and eps:
    the paper's settings follow the program. The anomaly map is the squared norm of z at the finest scale, halved.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"scale_0": (8, 3, 8, 8), "scale_1": (8, 4, 4, 4)}
        >>> features = FeatureSet({name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()})
        >>> detector = CSFlow(CSFlowConfig(components=3, hidden=4, blocks=1, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 8, 8])
    """

    Config = CSFlowConfig
    default_modality = "rgb"  # it takes several scales
    model: WhitenedCrossScaleFlow

    def _build(self, shapes: Shapes, samples: int) -> WhitenedCrossScaleFlow:
        """The flow at its start: the identity up to permutations.

        Raises:
            EndlineError: when the sizes of the maps do not halve from scale to scale.
        """
        return WhitenedCrossScaleFlow(shapes, self.config)

    def loss(self, batch: Batch) -> Tensor:
        """Mean negative log-likelihood a dimension of the whitened maps (equation 5.5)."""
        maps = with_noise(self.model.scales(batch), self.config.noise)
        return negative_log_likelihood(self.model.flow, maps).mean()

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Fit the whitening in closed form, then train the flow."""
        self.model.scales.fit(training.features)
        return train(self.model, self.loss, training, self.config, static=True)

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,), and map (batch, H, W) at the size of the finest scale."""
        maps = self.model.scales(batch)
        z, log_det = self.model.flow(maps)
        return Scored(flow_score(z, log_det, self.config.score), z[0].square().sum(1) / 2)
