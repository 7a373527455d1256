"""The hierarchical flow for mirror motors: a cross-scale flow on the feature pyramid, whitened for few units."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Detector, Scored, Shapes
from endline.detectors.progress import Progress
from endline.detectors.training import TrainingSettings, train
from endline.feature_set import Batch, FeatureSet
from endline.flows.base import Maps, standard_normal_log_prob
from endline.flows.cross_scale import cross_scale_flow
from endline.flows.whitening import Whitening

BATCH = 64


@dataclass(frozen=True)
class HybridFlowConfig:
    """Settings of `HybridFlow`.

    Attributes:
        kernels: kernel size of each coupling block; their number is the number of blocks.
        hidden: hidden channels of the subnets.
        alpha: bound of the log-scale.
        components: whitened principal components that stay, a scale; 0 = the channels as they are.
        score: `latent` (mean of z^2 / 2) or `likelihood` (the full negative log-likelihood a dimension).
        epochs, batch_size, learning_rate, weight_decay, schedule: see `TrainingSettings`.
    """

    kernels: tuple[int, ...] = (3, 3, 3, 5)
    hidden: int = 64
    alpha: float = 3.0
    components: int = 64
    score: str = "latent"
    epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    schedule: str = "one_cycle"


class WhitenedFlow(nn.Module):
    """Whitening a scale, then the cross-scale flow."""

    def __init__(self, shapes: Shapes, config: HybridFlowConfig) -> None:
        super().__init__()
        self.names = sorted(shapes)
        channels = [shapes[name][0] for name in self.names]
        kept = [min(config.components or count, count) for count in channels]
        self.whitenings = nn.ModuleList(
            Whitening(count, keep) if config.components else nn.Identity()
            for count, keep in zip(channels, kept, strict=True)
        )
        self.flow = cross_scale_flow(kept, kernels=config.kernels, hidden=config.hidden, alpha=config.alpha)

    def maps(self, batch: Batch) -> Maps:
        """Whitened maps of a batch, finest first."""
        pairs = zip(self.whitenings, self.names, strict=True)
        return tuple(whiten(batch[name]).to(memory_format=torch.channels_last) for whiten, name in pairs)

    def forward(self, batch: Batch) -> tuple[Maps, Tensor]:
        """Latents and log-determinant of a batch."""
        z, log_det = self.flow(self.maps(batch))
        return z, log_det


class HybridFlow(Detector[HybridFlowConfig]):
    """Cross-scale flow on the chosen input type (Lee et al. 2023, section 3; CS-Flow, Rudolph 2024, chapter 5).

    In front of the flow the channels of each scale are whitened, which is what makes it fit for few units.
    """

    Config = HybridFlowConfig
    model: WhitenedFlow

    def build(self, shapes: Shapes, samples: int) -> WhitenedFlow:
        """The flow at its start: the identity up to permutations."""
        return WhitenedFlow(shapes, self.config)

    def loss(self, batch: Batch) -> Tensor:
        """Mean negative log-likelihood a dimension, without its constant."""
        z, log_det = self.model(batch)
        return _negative_log_likelihood(z, log_det).mean()

    def learn(self, train_set: FeatureSet, *, seed: int, progress: Progress) -> tuple[float, ...]:
        """Fit the whitening in closed form, then train the flow."""
        for name, whitening in zip(self.model.names, self.model.whitenings, strict=True):
            if isinstance(whitening, Whitening):
                whitening.fit(batch[name] for batch in train_set.batches(BATCH))
        c = self.config
        settings = TrainingSettings(c.epochs, c.batch_size, c.learning_rate, c.weight_decay, schedule=c.schedule)
        return train(self.model, self.loss, train_set, settings, seed=seed, progress=progress)

    @torch.no_grad()
    def score(self, batch: Batch) -> Scored:
        """Score (batch,) and map (batch, H, W) of the finest scale: half the squared norm of z a position."""
        z, log_det = self.model(batch)
        squares = [scale.square().flatten(1).sum(1) for scale in z]
        size = sum(scale[0].numel() for scale in z)
        score = torch.stack(squares).sum(0) / (2 * size)
        if self.config.score == "likelihood":
            score = score - log_det / size
        finest = z[0].shape[-2:]
        heat = [0.5 * scale.square().mean(1, keepdim=True) for scale in z]
        raised = [functional.interpolate(part, size=finest, mode="bilinear") for part in heat]
        return Scored(score, torch.cat(raised, 1).mean(1))


def _negative_log_likelihood(z: Maps, log_det: Tensor) -> Tensor:
    dimensions = sum(scale[0].numel() for scale in z)
    return -(standard_normal_log_prob(z) + log_det) / dimensions
