"""CS-Flow: one flow on feature maps of several scales, which exchange what they see."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Scored, Shapes
from endline.detectors.maps.scales import Scales, scale_names
from endline.detectors.progress import Progress
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet
from endline.flows.base import Maps, standard_normal_log_prob
from endline.flows.coupling import CouplingFlow
from endline.flows.cross_scale import cross_scale_flow

SCORES = ("latent", "likelihood")


@dataclass(frozen=True)
class CSFlowConfig(TrainingSettings):
    """Settings of `CSFlow`, and those of its training (`TrainingSettings`).

    Attributes:
        input_type: pyramid that the maps are made of where the station's is `auto`.
        scales: so many scales are read at most, the coarsest ones; 0 = all.
        components: whitened principal components of the channels that stay, a scale; 0 = all.
        whiten: False feeds the maps to the flow as they are, as published.
        blocks: coupling blocks.
        kernel, last_kernel: kernel size of all blocks but the last, and of the last.
        hidden: hidden channels of the subnets.
        alpha: bound of the log-scale.
        noise: standard deviation of the Gaussian noise that training maps receive, afresh each step.
        score: `latent` (mean of z^2 / 2) or `likelihood` (negative log-likelihood a dimension).
    """

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
    """

    Config = CSFlowConfig
    input_type = "cross_scale"
    model: WhitenedCrossScaleFlow

    def build(self, shapes: Shapes, samples: int) -> WhitenedCrossScaleFlow:
        """The flow at its start: the identity up to permutations.

        Raises:
            EndlineError: when the sizes of the maps do not halve from scale to scale.
        """
        return WhitenedCrossScaleFlow(shapes, self.config)

    def loss(self, batch: Batch) -> Tensor:
        """Mean negative log-likelihood a dimension of the whitened maps (equation 5.5)."""
        maps = with_noise(self.model.scales(batch), self.config.noise)
        return negative_log_likelihood(self.model.flow, maps).mean()

    def learn(self, train_set: FeatureSet, *, seed: int, progress: Progress) -> tuple[float, ...]:
        """Fit the whitening in closed form, then train the flow."""
        self.model.scales.fit(train_set)
        return train(self.model, self.loss, train_set, self.config, seed=seed, progress=progress)

    @torch.no_grad()
    def score(self, batch: Batch) -> Scored:
        """Score (batch,), and map (batch, H, W) at the size of the finest scale."""
        maps = self.model.scales(batch)
        z, log_det = self.model.flow(maps)
        heat = z[0].square().sum(1) / 2
        return Scored(flow_score(z, log_det, self.config.score), heat)


def kernel_sizes(blocks: int, kernel: int, last_kernel: int) -> list[int]:
    """Kernel size of each block."""
    return [kernel] * (blocks - 1) + [last_kernel]


def with_noise(maps: Maps, deviation: float) -> Maps:
    """Maps with Gaussian noise from torch's global generator."""
    return tuple(x + deviation * torch.randn_like(x) for x in maps) if deviation > 0 else maps


def flow_score(z: Maps, log_det: Tensor, kind: str) -> Tensor:
    """Mean of z^2 / 2 over all elements of all scales, or the negative log-likelihood a dimension, (batch,)."""
    if kind == "likelihood":
        dimensions = sum(x[0].numel() for x in z)
        return -(standard_normal_log_prob(z) + log_det) / dimensions
    return torch.cat([x.square().flatten(1) for x in z], 1).mean(1) / 2


def negative_log_likelihood(flow: CouplingFlow, maps: Maps) -> Tensor:
    """Of each sample, a dimension, (batch,)."""
    z, log_det = flow(maps)
    return flow_score(z, log_det, "likelihood")


def check_halving(sizes: Sequence[tuple[int, ...]]) -> None:
    """Refuse maps whose sides do not halve from scale to scale: a stride-2 convolution could not join them.

    Args:
        sizes: height and width of each scale, finest first; an odd side may be rounded up.

    Raises:
        EndlineError: when a side does not fit.
    """
    for finer, coarser in pairwise(sizes):
        if tuple(math.ceil(side / 2) for side in finer) != tuple(coarser):
            told = ", ".join(" x ".join(map(str, size)) for size in sizes)
            raise EndlineError(
                f"The maps of {told} do not halve from scale to scale: for a cross-scale flow choose an input_type and "
                "an image size, or parts='each', whose maps do."
            )
