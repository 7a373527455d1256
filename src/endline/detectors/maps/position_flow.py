"""Position Gaussians and a cross-scale flow on the same maps, joined by scores that held-out parts standardise."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.kept_back import without_kept_back
from endline.detectors.maps.cs_flow import CSFlow, CSFlowConfig
from endline.detectors.maps.map_statistics import LEAST
from endline.detectors.maps.neighbourhoods import brought_to
from endline.detectors.maps.position_gaussian import PositionGaussian, PositionGaussianConfig
from endline.detectors.scored import Scored
from endline.detectors.training import TrainingSettings
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet

BATCH = 16


@dataclass(frozen=True)
class PositionFlowConfig(TrainingSettings):
    """Settings of `PositionFlow`: of the flow and its training (`CSFlowConfig`), of the Gaussians, and of their sum.

    Attributes:
        scales: number of scales that the flow reads, the coarsest ones.
        components, hidden, blocks: of the flow.
        positions: components of the position Gaussians.
        share: of the training parts that the flow does not learn from, so that they standardise its scores.
        flow_weight: weight of the flow's standardised score beside the Gaussians' 1; from 0.

    Example:
        >>> PositionFlowConfig().share
        0.2
    """

    scales: int = 2
    components: int = 128
    hidden: int = 64
    blocks: int = 4
    positions: int = 100
    share: float = 0.2
    flow_weight: float = 1.0
    epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share < 1 or self.flow_weight < 0:
            raise EndlineError(
                f"position_flow has share={self.share} and flow_weight={self.flow_weight}: choose a share between 0 "
                "and 1, and a weight from 0."
            )

    @property
    def flow(self) -> CSFlowConfig:
        """Settings of the flow."""
        training = {each.name: getattr(self, each.name) for each in fields(TrainingSettings)}
        return CSFlowConfig(
            scales=self.scales, components=self.components, hidden=self.hidden, blocks=self.blocks, **training
        )


class PositionFlow(Detector[PositionFlowConfig]):
    """The sum of what two detectors that fail on different faults say of the same maps.

    A flow sees how positions and scales go together, and so structures that are new, cracks and uneven surfaces; the
    Gaussian at each position sees small spots that differ from what lies there in normal parts. Each score is
    standardised by normal parts that it has not learned from: the Gaussians' by two halves that judge each other, the
    logarithm of the flow's by a share of the parts. The map is the sum of both maps, the flow's standardised likewise.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"scale_0": (8, 3, 8, 8), "scale_1": (8, 4, 4, 4), "scale_2": (8, 4, 2, 2)}
        >>> features = FeatureSet({name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()})
        >>> detector = PositionFlow(PositionFlowConfig(components=3, positions=3, hidden=4, blocks=1, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 4, 4])
    """

    Config = PositionFlowConfig
    default_light = "standardised"
    default_modality = "rgb"  # it takes several scales

    def _build(self, shapes: Shapes, samples: int) -> nn.Module:
        """Both models, and level and spread of the flow: of the logarithm of its score, and of its map."""
        self.gaussians = PositionGaussian(PositionGaussianConfig(components=self.config.positions), self.compute)
        self.flow = CSFlow(self.config.flow, self.compute)
        model = self._assembled({"gaussians": self.gaussians, "flow": self.flow}, shapes, samples)
        model.register_buffer("level", torch.zeros(2))
        model.register_buffer("spread", torch.ones(2))
        return model

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Fit the Gaussians to all parts, and the flow to all but those that standardise its scores."""
        self.gaussians._learn(training)
        rest, held_out = without_kept_back(training, self.config.share)
        losses = self.flow._learn(rest)
        self._standardise(held_out if len(held_out) else rest.features)
        return losses

    @torch.no_grad()
    def _standardise(self, held_out: FeatureSet) -> None:
        self.flow.model.eval()
        scored = [self.flow._score(batch) for batch in held_out.batches(BATCH)]
        scores = torch.cat([each.score for each in scored]).clamp(min=LEAST).log()
        maps = torch.cat([_drawn(each).flatten() for each in scored])
        level, spread = (self.model.get_buffer(name) for name in ("level", "spread"))
        for number, values in enumerate((scores, maps)):
            level[number], spread[number] = values.mean(), values.std(correction=0).clamp(min=LEAST)

    def _score(self, batch: Batch) -> Scored:
        """Sum of both standardised scores (batch,), and of both maps (batch, H, W)."""
        gaussians, flow, weight = self.gaussians._score(batch), self.flow._score(batch), self.config.flow_weight
        level, spread = (self.model.get_buffer(name) for name in ("level", "spread"))
        score = gaussians.score + weight * (flow.score.clamp(min=LEAST).log() - level[0]) / spread[0]

        def joined() -> Tensor:
            own = _drawn(gaussians)
            other = (_drawn(flow) - level[1]) / spread[1]
            return own + weight * brought_to(other[:, None], (own.shape[1], own.shape[2]))[:, 0]

        return Scored(score, joined)


def _drawn(scored: Scored) -> Tensor:
    """The map of a detector that has one."""
    drawn = scored.map
    assert drawn is not None
    return drawn
