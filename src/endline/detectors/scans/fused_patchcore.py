"""PatchCore on photograph and depth, each with a memory bank of its own, fused by standardised scores."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.kept_back import without_kept_back
from endline.detectors.maps.neighbourhoods import taken_scales
from endline.detectors.maps.patchcore import MemoryBank, Patchcore, PatchcoreConfig
from endline.detectors.scored import Scored
from endline.errors import EndlineError
from endline.feature_set import Batch

BATCH = 16
FUSIONS = ("scores", "maps")
PARTS = ("photograph", "depth")


@dataclass(frozen=True)
class FusedPatchcoreConfig(PatchcoreConfig):
    """Settings of `FusedPatchcore`, and those of each bank (`PatchcoreConfig`).

    Attributes:
        depth_channels: of the joined maps, the last ones; those before are the photograph's.
        fusion: `scores`, the sum of both standardised scores, each from wherever it is largest; or `maps`, the largest
            sum of both standardised maps at one place.
        share: of the training parts, kept back from a first fit, whose scores give level and spread of each.

    Example:
        >>> FusedPatchcoreConfig().fusion
        'scores'
    """

    scales: tuple[int, ...] = (0,)
    depth_channels: int = 64
    fusion: str = "scores"
    share: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fusion not in FUSIONS:
            raise EndlineError(f"fused_patchcore has no fusion '{self.fusion}': choose one of {', '.join(FUSIONS)}.")
        if self.depth_channels < 1 or not 0 < self.share < 1:
            raise EndlineError(
                f"fused_patchcore has depth_channels={self.depth_channels} and share={self.share}: choose at least 1 "
                "channel, and a share between 0 and 1."
            )


class FusedPatchcore(Detector[FusedPatchcoreConfig]):
    """Sum of the distances to the memory banks of either modality, each in deviations of normal scores from their mean.

    One bank for both, as `patchcore` has it, weighs a modality by how many channels it has and how large its numbers
    are. Here each is judged by normals that its bank has not seen: a share of the parts is kept back from a first fit,
    and the banks that are kept know all.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> maps = np.random.default_rng(0).standard_normal((8, 6, 8, 8)).astype("f4")
        >>> detector = FusedPatchcore(FusedPatchcoreConfig(depth_channels=2))
        >>> history = detector.fit(FeatureSet({"scale_0": maps}), seed=0, progress=Progress())
        >>> detector.score({"scale_0": torch.from_numpy(maps[:3])}).map.shape
        torch.Size([3, 8, 8])
    """

    Config = FusedPatchcoreConfig

    def _build(self, shapes: Shapes, samples: int) -> nn.Module:
        """Two empty banks, and level and spread of their scores.

        Raises:
            EndlineError: when the maps are of one modality alone.
        """
        config, model = self.config, nn.Module()
        for name in taken_scales("fused_patchcore", config.scales, shapes):
            if shapes[name][0] <= config.depth_channels:
                raise EndlineError(
                    f"fused_patchcore takes the last {config.depth_channels} channels of the maps as depth and there "
                    f"are {shapes[name][0]}: it needs photographs and scans (modality both); or choose patchcore."
                )
        self._shapes = shapes
        self.members = {name: self._member(name, samples) for name in PARTS}
        for name, member in self.members.items():
            model.add_module(name, member.model)
        model.register_buffer("level", torch.zeros(len(PARTS)))
        model.register_buffer("spread", torch.ones(len(PARTS)))
        return model

    @torch.no_grad()
    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses. Each bank twice: without the parts that are kept back, and with them."""
        rest, held_out = without_kept_back(training, self.config.share)
        for number, name in enumerate(PARTS):
            self.members[name]._learn(training)
            if len(held_out):
                first = self._member(name, len(rest.features))
                first.model.to(training.features.device)
                first._learn(rest)
                scores = torch.cat([first._score(batch).score for batch in held_out.batches(BATCH)])
                self.model.get_buffer("level")[number] = scores.mean()
                self.model.get_buffer("spread")[number] = scores.std(correction=0).clamp(min=0.01 * scores.mean())
        self.model.get_buffer("spread").clamp_(min=1e-6)
        return ()

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,), and the sum of the standardised maps (batch, H, W)."""
        scores, maps = [], []
        level, spread = (self.model.get_buffer(name) for name in ("level", "spread"))
        for number, name in enumerate(PARTS):
            scored = self.members[name]._score(batch)
            assert scored.map is not None  # for the type checker: PatchCore draws one
            scores.append((scored.score - level[number]) / spread[number])
            maps.append((scored.map - level[number]) / spread[number])
        anomaly_map: Tensor = maps[0] + maps[1]
        score = scores[0] + scores[1] if self.config.fusion == "scores" else anomaly_map.flatten(1).amax(1)
        return Scored(score, anomaly_map)

    def _member(self, name: str, samples: int) -> Patchcore:
        """PatchCore with an empty bank on the channels of one modality."""
        depth = self.config.depth_channels
        channels = slice(-depth, None) if name == "depth" else slice(None, -depth)
        member = Patchcore(self.config, self.compute)
        member.model = MemoryBank(self._shapes, samples, self.config, channels)
        return member
