"""The hierarchical flow for mirror motors: a cross-scale flow on pooled feature maps, made fit for few units."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
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
from endline.detectors.maps.scales import mean_map
from endline.detectors.scored import Scored
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet
from endline.flows.base import Maps
from endline.flows.cross_scale import cross_scale_flow
from endline.flows.whitening import ShrunkWhitening

BATCH = 64
FOLDS = 5
POOLS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean(-1, keepdim=True),
    "std": lambda x: (x.var(-1, correction=0, keepdim=True) + 1e-8).sqrt(),  # the root has no slope at 0
    "max": lambda x: x.amax(-1, keepdim=True),
}


@dataclass(frozen=True)
class HybridFlowConfig(TrainingSettings):
    """Settings of `HybridFlow`, and those of its training (`TrainingSettings`).

    Attributes:
        pool: how the maps are pooled over their last axis (time) before anything is learned, of `mean`, `std` and
            `max`, joined over the channels.
        components: whitened principal components of the whole sample that have a variance of their own; 0 = all.
        whiten: False feeds the pooled maps to the flow as they are.
        blocks: coupling blocks.
        kernel, last_kernel: kernel size of all blocks but the last, and of the last.
        hidden: hidden channels of the subnets.
        alpha: bound of the log-scale.
        noise: standard deviation of the Gaussian noise that whitened training maps receive, afresh each step.
        score: `latent` (mean of z^2 / 2) or `likelihood` (negative log-likelihood a dimension).

    Example:
        >>> HybridFlowConfig().pool
        ('mean', 'std', 'max')
    """

    min_epochs: ClassVar[int] = 0  # its start is a detector already: a Mahalanobis distance
    pool: tuple[str, ...] = ("mean", "std", "max")
    components: int = 0
    whiten: bool = True
    blocks: int = 4
    kernel: int = 3
    last_kernel: int = 5
    hidden: int = 16
    alpha: float = 3.0
    noise: float = 0.0
    score: str = "latent"
    epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.pool:
            raise EndlineError(
                f"hybrid_flow needs a pool, any of {', '.join(POOLS)}: "
                "for the published flow, on maps that are not pooled, choose the detector cs_flow."
            )
        if not set(self.pool) <= set(POOLS) or self.score not in SCORES:
            raise EndlineError(
                f"hybrid_flow has no pool {self.pool} or score '{self.score}': pool takes any of "
                f"{', '.join(POOLS)}, score one of {', '.join(SCORES)}."
            )


class PooledFlow(nn.Module):
    """Pooling over time, whitening, then the cross-scale flow.

    Args:
        shapes: shape (channels, height, width) of each scale's maps, the names' order being finest first.
        samples: number of training samples.
        config: the settings.

    Example:
        >>> shapes = {"scale_0": (3, 8, 12), "scale_1": (4, 4, 6)}
        >>> model = PooledFlow(shapes, samples=8, config=HybridFlowConfig(hidden=4, blocks=1))
        >>> [tuple(x.shape) for x in model.split(torch.zeros(2, 120))]
        [(2, 9, 8, 1), (2, 12, 4, 1)]
    """

    def __init__(self, shapes: Shapes, samples: int, config: HybridFlowConfig) -> None:
        super().__init__()
        self.names = sorted(shapes)
        self.config = config
        sizes = [shapes[name] for name in self.names]
        check_halving([size[1:2] for size in sizes])
        self.sizes = [(len(config.pool) * count, height, 1) for count, height, _ in sizes]
        length = sum(count * height for count, height, _ in self.sizes)
        self.whitening = ShrunkWhitening(length, samples, config.components) if config.whiten else nn.Identity()
        # Pooled maps are one column wide.
        kernels = [(size, 1) for size in kernel_sizes(config.blocks, config.kernel, config.last_kernel)]
        channels = [size[0] for size in self.sizes]
        flow = cross_scale_flow(channels, kernels=kernels, hidden=config.hidden, alpha=config.alpha)
        self.flow = flow.to(memory_format=torch.channels_last)

    def vectors(self, batch: Batch) -> Tensor:
        """Pooled maps of a batch, all scales joined to one vector a sample, (batch, length)."""
        scales = [torch.cat([POOLS[pool](batch[name]) for pool in self.config.pool], 1) for name in self.names]
        return torch.cat([scale.flatten(1) for scale in scales], 1)

    def split(self, vectors: Tensor) -> Maps:
        """The maps of vectors (batch, length), finest first."""
        parts = torch.split(vectors, [count * height for count, height, _ in self.sizes], 1)
        maps = (part.reshape(len(part), *size) for part, size in zip(parts, self.sizes, strict=True))
        return tuple(x.contiguous(memory_format=torch.channels_last) for x in maps)

    def normal_rows(self) -> Maps:
        """What a channel shows at a height on average over time and normal samples, (channels, height, 1) a scale."""
        if not isinstance(self.whitening, ShrunkWhitening) or "mean" not in self.config.pool:
            device = next(self.flow.parameters()).device
            return tuple(torch.zeros(1, device=device) for _ in self.sizes)
        which = self.config.pool.index("mean")
        pooled = self.split(self.whitening.mean[None])
        return tuple(x[0].chunk(len(self.config.pool))[which] for x in pooled)

    def whitened(self, batch: Batch) -> Maps:
        """What the flow sees of a batch: its maps pooled and whitened, finest first."""
        return self.split(self.whitening(self.vectors(batch)))


class HybridFlow(Detector[HybridFlowConfig]):
    """Cross-scale flow on the chosen input type, pooled over time (after Lee et al. 2023, section 3).

    Published is the flow on whole maps: `CSFlow` on the hybrid input. What sets units apart is what stays constant
    over a motion, and units are few. So the maps are pooled over time and whitened with a shrunk covariance; the flow
    starts as the identity, where its score is the Mahalanobis distance, and learns what that misses. The anomaly map is
    the gradient of the score times the deviation from the normal, where it raises the score.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"scale_0": (8, 3, 8, 8), "scale_1": (8, 4, 4, 4)}
        >>> features = FeatureSet({name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()})
        >>> detector = HybridFlow(HybridFlowConfig(hidden=4, blocks=1, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 8, 8])
    """

    Config = HybridFlowConfig
    default_modality = "rgb"  # it takes several scales
    default_input_type = "hybrid"
    parts = "joint"
    model: PooledFlow

    def _build(self, shapes: Shapes, samples: int) -> PooledFlow:
        """The flow at its start: the identity up to permutations."""
        return PooledFlow(shapes, samples, self.config)

    def loss(self, batch: Batch) -> Tensor:
        """Mean negative log-likelihood a dimension of the whitened maps."""
        return self._noisy_loss(self.model.whitened(batch))

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Fit the whitening in closed form, then train the flow."""
        loss, features = self.loss, training.features
        if isinstance(self.model.whitening, ShrunkWhitening):
            # Pooled samples are small: they are made once, and the epochs start from them.
            pooled = torch.cat([self.model.vectors(batch) for batch in features.batches(BATCH)])
            self.model.whitening.fit(pooled)
            whitened = cross_whitened(pooled, self.config.components, training.seed) if self.config.epochs else pooled
            vectors = FeatureSet({"vectors": whitened.cpu().numpy()}, key=features.fingerprint, device=features.device)
            training = replace(training, features=vectors)

            def loss(batch: Batch) -> Tensor:
                return self._noisy_loss(self.model.split(batch["vectors"]))

        return train(self.model, loss, training, self.config, static=True)

    def _noisy_loss(self, maps: Maps) -> Tensor:
        return negative_log_likelihood(self.model.flow, with_noise(maps, self.config.noise)).mean()

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,), and map (batch, H, W) at the size of the finest scale."""
        with torch.enable_grad():
            leaves = {name: batch[name].detach().requires_grad_() for name in self.model.names}
            z, log_det = self.model.flow(self.model.whitened(leaves))
            score = flow_score(z, log_det, self.config.score)
            gradients = torch.autograd.grad(score.sum(), list(leaves.values()))
        # Gradient times deviation from the normal: how much of the score each position answers for.
        pairs = zip(gradients, leaves.values(), self.model.normal_rows(), strict=True)
        shares = tuple((slope * (leaf.detach() - row)).sum(1).clamp(min=0) for slope, leaf, row in pairs)
        return Scored(score.detach(), mean_map(shares))


def cross_whitened(vectors: Tensor, components: int, seed: int) -> Tensor:
    """Vectors (samples, length), each whitened without knowing it.

    With fewer samples than dimensions the samples that fitted a whitening deviate in no direction but their own; new
    ones deviate in all. A flow that learned from the former would take every new sample for an anomaly.
    """
    order = np.random.default_rng(seed).permutation(len(vectors))
    whitened = torch.empty_like(vectors)
    for fold in np.array_split(order, min(FOLDS, len(vectors))):
        others = vectors[np.setdiff1d(order, fold)]
        whitening = ShrunkWhitening(vectors.shape[1], len(others), components).to(vectors.device)
        whitening.fit(others)
        whitened[fold] = whitening(vectors[fold])
    return whitened
