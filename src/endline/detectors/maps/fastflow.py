"""FastFlow: a two-dimensional flow on the feature maps of each scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.scales import MEANS, Scales, likelihood_map
from endline.detectors.scored import Scored
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch
from endline.flows.coupling import CouplingBlock, CouplingFlow
from endline.flows.subnets import ConvSubnet


@dataclass(frozen=True)
class FastFlowConfig(TrainingSettings):
    """Settings of `FastFlow`, and those of its training (`TrainingSettings`).

    Attributes:
        components: whitened principal components of the channels that stay, a scale; 0 = all.
        whiten: False feeds the maps to the flow as they are, as published.
        blocks: coupling blocks a scale, whose kernels are 3 and 1 by turns; published are 8 for ResNet18 and
            WideResNet50-2, 20 for transformers.
        hidden_ratio: hidden channels of a subnet as a share of those that come in.
        alpha: bound of the log-scale.
        mean_of: `likelihood` (published) or `log_likelihood`: how the scales are joined, see `likelihood_map`.

    Example:
        >>> FastFlowConfig().blocks
        4
    """

    min_epochs: ClassVar[int] = 0  # its start is a detector already
    components: int = 32
    whiten: bool = True
    blocks: int = 4
    hidden_ratio: float = 1.0
    alpha: float = 1.9
    mean_of: str = "likelihood"
    epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean_of not in MEANS:
            raise EndlineError(f"fastflow has no mean_of '{self.mean_of}': choose one of {', '.join(MEANS)}.")


class ScaleFlows(nn.Module):
    """Whitening of each scale, then a flow for each by itself.

    Args:
        shapes: shape (channels, height, width) of each scale's maps, the names' order being finest first.
        config: the settings.

    Example:
        >>> model = ScaleFlows({"scale_0": (6, 4, 4)}, FastFlowConfig(components=4, blocks=1))
        >>> ((z, log_det),) = model({"scale_0": torch.ones(2, 6, 4, 4)})
        >>> z.shape
        torch.Size([2, 4, 4, 4])
    """

    def __init__(self, shapes: Shapes, config: FastFlowConfig) -> None:
        super().__init__()
        self.scales = Scales(shapes, config.components, config.whiten)
        flows = nn.ModuleList(_flow(count, config) for count in self.scales.channels)
        self.flows = flows.to(memory_format=torch.channels_last)

    def forward(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """Latents (batch, channels, H, W) and log-determinants (batch,) of each scale."""
        outputs = [flow((x,)) for flow, x in zip(self.flows, self.scales(batch), strict=True)]
        return [(z, log_det) for (z,), log_det in outputs]


class FastFlow(Detector[FastFlowConfig]):
    """Likelihood of the latents at every position, averaged over the scales.

    Yu et al., "FastFlow: Unsupervised Anomaly Detection and Localization via 2D Normalizing Flows", 2021
    (arXiv 2111.07677). A published step transforms one half of the channels, a block here both; the blocks start as the
    identity. The anomaly map is the negative logarithm of the mean likelihood exp(-mean of z^2 / 2), the score
    its maximum.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"scale_0": (8, 3, 8, 8), "scale_1": (8, 4, 4, 4)}
        >>> features = FeatureSet({name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()})
        >>> detector = FastFlow(FastFlowConfig(components=3, blocks=1, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 8, 8])
    """

    Config = FastFlowConfig
    model: ScaleFlows

    def _build(self, shapes: Shapes, samples: int) -> ScaleFlows:
        """A flow for each scale at its start: the identity up to permutations."""
        return ScaleFlows(shapes, self.config)

    def loss(self, batch: Batch) -> Tensor:
        """Mean over the scales of the negative log-likelihood a dimension, without its constant."""
        losses = [(0.5 * z.square().flatten(1).sum(1) - log_det) / z[0].numel() for z, log_det in self.model(batch)]
        return torch.stack(losses).mean()

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Fit the whitening in closed form, then train all flows together."""
        self.model.scales.fit(training.features)
        return train(self.model, self.loss, training, self.config, static=True)

    def _score(self, batch: Batch) -> Scored:
        """Maximum of the map, (batch,), and the map (batch, H, W) at the size of the finest scale."""
        likelihoods = tuple(-z.square().mean(1) / 2 for z, _ in self.model(batch))
        anomaly_map = likelihood_map(likelihoods, self.config.mean_of)
        return Scored(anomaly_map.flatten(1).amax(1), anomaly_map)


def _flow(channels: int, config: FastFlowConfig) -> CouplingFlow:
    def block(kernel: int) -> CouplingBlock:
        def subnet(inputs: Sequence[int], outputs: Sequence[int]) -> ConvSubnet:
            hidden = [max(1, round(config.hidden_ratio * count)) for count in inputs]
            return ConvSubnet(inputs, outputs, hidden, kernel)

        return CouplingBlock([channels], subnet, alpha=config.alpha)

    return CouplingFlow([block((3, 1)[number % 2]) for number in range(config.blocks)])
