"""CFLOW: the likelihood of single feature vectors, given their position."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.scales import MEANS, Scales, likelihood_map
from endline.detectors.scored import Scored
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet
from endline.flows.base import Maps
from endline.flows.coupling import CouplingBlock, CouplingFlow, tanh_clamp
from endline.flows.position import position_code
from endline.flows.subnets import ConvSubnet

BATCH = 16


@dataclass(frozen=True)
class CFlowConfig(TrainingSettings):
    """Settings of `CFlow`, and those of its training (`TrainingSettings`).

    Attributes:
        components: whitened principal components of the channels that stay, a scale; 0 = all.
        whiten: False feeds the vectors to the decoders as they are, as published.
        blocks: coupling blocks of a decoder.
        code: channels of the position code, a multiple of 4; 0 = none.
        alpha: bound of the log-scale.
        vectors: feature vectors of a scale in a step, drawn afresh among those of all positions of the batch;
            0 = all of them.
        mean_of: `likelihood` (published) or `log_likelihood`: how the scales are joined, see `likelihood_map`.

    Example:
        >>> CFlowConfig().code
        32
    """

    min_epochs: ClassVar[int] = 0  # its start is a detector already
    components: int = 64
    whiten: bool = True
    blocks: int = 4
    code: int = 32
    alpha: float = 1.9
    vectors: int = 2048
    mean_of: str = "likelihood"
    epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 1e-3
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean_of not in MEANS:
            raise EndlineError(f"cflow has no mean_of '{self.mean_of}': choose one of {', '.join(MEANS)}.")


class Decoders(nn.Module):
    """Whitening of each scale, and for each an independent conditional flow on single vectors.

    Args:
        shapes: shape (channels, height, width) of each scale's maps, the names' order being finest first.
        config: the settings.

    Example:
        >>> model = Decoders({"scale_0": (6, 4, 4)}, CFlowConfig(components=4, code=4, blocks=1))
        >>> model.log_likelihoods({"scale_0": torch.ones(2, 6, 4, 4)})[0].shape
        torch.Size([2, 4, 4])
    """

    peaks: Tensor

    def __init__(self, shapes: Shapes, config: CFlowConfig) -> None:
        super().__init__()
        self.scales = Scales(shapes, config.components, config.whiten)
        flows = nn.ModuleList(_decoder(count, config) for count in self.scales.channels)
        self.flows = flows.to(memory_format=torch.channels_last)
        for scale, (_, height, width) in enumerate(self.scales.sizes):
            self.register_buffer(f"code_{scale}", position_code(config.code, height, width)[None], persistent=False)
        # Largest log-likelihood a dimension of a scale's training vectors: the level that the scales share.
        self.register_buffer("peaks", torch.zeros(len(flows)))

    def log_likelihoods(self, batch: Batch, vectors: int = 0) -> Maps:
        """Log-likelihood a dimension with its constant at every position, (batch, H_i, W_i) a scale.

        Args:
            batch: the maps.
            vectors: number that is drawn of all samples and positions instead, and comes as (1, vectors, 1); 0 = all.
        """
        likelihoods: Maps = ()
        for scale, (flow, x) in enumerate(zip(self.flows, self.scales(batch), strict=True)):
            code = self.get_buffer(f"code_{scale}")
            if 0 < vectors < x[:, 0].numel():
                rows = torch.randperm(x[:, 0].numel(), device=x.device)[:vectors]
                x, code = _drawn(x, rows), _drawn(code, rows % code[0, 0].numel())
            assert isinstance(flow, CouplingFlow)  # for the type checker: a ModuleList forgets what it holds
            (z,), (log_det,) = flow.by_position((x,), (code,))
            likelihoods += ((log_det - 0.5 * z.square().sum(1)) / z.shape[1] - 0.5 * math.log(2 * math.pi),)
        return likelihoods


class CFlow(Detector[CFlowConfig]):
    """Likelihoods of single feature vectors under conditional flows, summed over the scales.

    Gudovskiy et al., "CFLOW-AD: Real-Time Unsupervised Anomaly Detection with Localization via Conditional Normalizing
    Flows", WACV 2022. The authors divide each scale's likelihood by its maximum over the test set, which one sample
    does not have; here it is the maximum over the normal training vectors. They take 256 vectors a step; here a step
    takes `vectors` of each scale from a batch of samples. A published block transforms one half of the channels, a
    block here both; the decoders start as the identity. The anomaly map is the negative logarithm of the scales' mean
    likelihood, the score its maximum.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"scale_0": (8, 3, 8, 8), "scale_1": (8, 4, 4, 4)}
        >>> features = FeatureSet({name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()})
        >>> detector = CFlow(CFlowConfig(components=3, code=4, blocks=1, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 8, 8])
    """

    Config = CFlowConfig
    model: Decoders

    def _build(self, shapes: Shapes, samples: int) -> Decoders:
        """A decoder for each scale at its start: the identity up to permutations."""
        return Decoders(shapes, self.config)

    def loss(self, batch: Batch) -> Tensor:
        """Mean of -log sigmoid(log p / C) over vectors, summed over the scales."""
        likelihoods = self.model.log_likelihoods(batch, self.config.vectors)
        return torch.stack([-functional.logsigmoid(each).mean() for each in likelihoods]).sum()

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Fit the whitening in closed form, train all decoders, and take the scales' constants from normal samples."""
        self.model.scales.fit(training.features)
        losses = train(self.model, self.loss, training, self.config, static=True)
        self._take_peaks(training.features)
        return losses

    def _score(self, batch: Batch) -> Scored:
        """Maximum of the map, (batch,), and the map (batch, H, W) at the size of the finest scale."""
        likelihoods = self.model.log_likelihoods(batch)
        above = tuple(each - peak for each, peak in zip(likelihoods, self.model.peaks, strict=True))
        anomaly_map = likelihood_map(above, self.config.mean_of)
        return Scored(anomaly_map.flatten(1).amax(1), anomaly_map)

    @torch.no_grad()
    def _take_peaks(self, features: FeatureSet) -> None:
        self.model.peaks.fill_(-torch.inf)
        for batch in features.batches(BATCH):
            highest = torch.stack([each.amax() for each in self.model.log_likelihoods(batch)])
            self.model.peaks.copy_(torch.maximum(self.model.peaks, highest))


def _decoder(channels: int, config: CFlowConfig) -> CouplingFlow:
    def subnet(inputs: Sequence[int], outputs: Sequence[int]) -> ConvSubnet:
        # Kernels of 1 are linear layers on vectors; published: twice as wide as what comes in, the code with it.
        hidden = [2 * (count + config.code) for count in inputs]
        return ConvSubnet(inputs, outputs, hidden, 1, condition=config.code)

    blocks = [CouplingBlock([channels], subnet, alpha=config.alpha, clamp=tanh_clamp) for _ in range(config.blocks)]
    return CouplingFlow(blocks)


def _drawn(x: Tensor, rows: Tensor) -> Tensor:
    """Vectors of maps (batch, C, H, W) as one map (1, C, rows, 1); rows count the positions sample after sample."""
    vectors = x.movedim(1, -1).reshape(-1, x.shape[1]).index_select(0, rows)
    return vectors.T[None, :, :, None]
