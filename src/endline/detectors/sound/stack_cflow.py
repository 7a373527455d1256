"""CFLOW on the stack of audio features: the likelihood of what stands at its positions, given their rows."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.backbones.networks import Trunk
from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.cflow import CFlowConfig, Decoders
from endline.detectors.maps.scales import likelihood_map
from endline.detectors.maps.trunks import pyramid_of
from endline.detectors.scored import Scored
from endline.detectors.sound.stack_encoders import NetworkMaps, Patches, StackEncoder
from endline.detectors.sound.stack_rows import GROUPS, ROWS, row_names, row_numbers
from endline.detectors.training import train
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet
from endline.flows.base import Maps

BATCH = 16
CHUNK = 4  # clips whose gradients are in memory at once
ENCODERS = ("patches", "network")
LEVELS = ("peak", "rows")
LEAST_SPREAD = 1e-3  # of the likelihoods of a row of patches: constant rows are no reason to divide by zero


@dataclass(frozen=True)
class StackCFlowConfig(CFlowConfig):
    """Settings of `StackCFlow`, and those of the decoders and their training (`CFlowConfig`).

    Attributes:
        rows: groups of rows that are read, see `sound.stack_rows`.
        encoder: what makes the vectors: `patches` of the stack itself, or `network`, the backbone of the preparation,
            frozen, which sees the stack as a picture, as published. It runs in each step: for a GPU, or a few clips.
        side: rows and frames of a patch.
        scales: of the patches; each has half the resolution of the one before, so that its patches see twice as far.
        level: what the log-likelihoods of a scale are measured against: `peak`, its largest in training (as `CFlow`),
            or `rows`, mean and deviation in training at the same rows.

    Example:
        >>> StackCFlowConfig(rows=("log_mel", "rms")).side
        8
    """

    rows: tuple[str, ...] = tuple(GROUPS)
    encoder: str = "patches"
    side: int = 8
    scales: int = 3
    level: str = "rows"
    mean_of: str = "log_likelihood"

    def __post_init__(self) -> None:
        super().__post_init__()
        row_numbers(self.rows)
        for name, allowed in {"encoder": ENCODERS, "level": LEVELS}.items():
            if getattr(self, name) not in allowed:
                value = getattr(self, name)
                raise EndlineError(f"stack_cflow has no {name} '{value}': choose one of {', '.join(allowed)}.")
        if self.side < 2 or self.scales < 1:
            raise EndlineError(
                f"stack_cflow has side={self.side} and scales={self.scales}: choose a side of at least 2 rows and "
                "frames, and at least 1 scale."
            )


class StackModel(nn.Module):
    """The encoder of the stack, the decoders of its scales, and the levels of the likelihoods.

    Args:
        encoder: of the stack.
        config: the settings.

    Example:
        >>> config = StackCFlowConfig(components=4, code=4, blocks=1)
        >>> model = StackModel(Patches(range(158), frames=20, side=8, scales=3), config)
        >>> [tuple(each.shape) for each in model.log_likelihoods(torch.zeros(2, 158, 20))]
        [(2, 20, 3), (2, 10, 2), (2, 5, 1)]
    """

    def __init__(self, encoder: StackEncoder, config: StackCFlowConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoders = Decoders(encoder.shapes, config)
        for scale, (_, height, _) in enumerate(encoder.shapes.values()):
            self.register_buffer(f"centre_{scale}", torch.zeros(height, 1))
            self.register_buffer(f"spread_{scale}", torch.ones(height, 1))

    def log_likelihoods(self, stack: Tensor) -> Maps:
        """Log-likelihood a dimension of every vector, (batch, H_i, W_i) a scale."""
        return self.decoders.log_likelihoods(self.encoder(stack))

    def above(self, log_likelihoods: Maps) -> Maps:
        """Log-likelihoods as measured against their levels, about 0 for what is normal."""
        levels = map(self.level, range(len(log_likelihoods)))
        return tuple((each - centre) / spread for each, (centre, spread) in zip(log_likelihoods, levels, strict=True))

    def level(self, scale: int) -> tuple[Tensor, Tensor]:
        """Centre and spread (H, 1) of the log-likelihoods of a scale, a row of patches each."""
        return self.get_buffer(f"centre_{scale}"), self.get_buffer(f"spread_{scale}")


class StackCFlow(Detector[StackCFlowConfig]):
    """Likelihoods of patches of the stack under flows that know their position, on several scales.

    García-de-la-Puente et al., "Anomalous Sound Detection in Industrial Machinery Using Normalizing Flow-Based Deep
    Learning", technical report, DCASE 2024 task 2: the stack of 158 rows goes as a picture through WideResNet50 and its
    feature vectors through CFLOW's decoders (Gudovskiy et al. 2022). Not given there: the step of the frames, how the
    rows are scaled and made three channels, the layers, decoders' size, training, how a clip's score comes of the
    vectors, the adaptive threshold. Their couplings have softplus, ours ReLU.

    By default patches stand for its feature vectors: 8 x 8 numbers of the stack, of the stack at half and at a quarter
    of its resolution, at the strides 8, 16 and 32 of the published encoder. With whitened principal components that is
    an encoder in closed form, for which a thousand clips need no GPU. With `encoder="network"` the vectors are those of
    the preparation's backbone, WideResNet50 where it is chosen. The map is the likelihoods' in rows and frames of the
    stack, 0 in rows that are not read; the score is its maximum.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> stacks = np.random.default_rng(0).standard_normal((8, 158, 20)).astype("f4")
        >>> detector = StackCFlow(StackCFlowConfig(components=4, code=4, blocks=1, epochs=1))
        >>> history = detector.fit(FeatureSet({"stack": stacks}), seed=0, progress=Progress())
        >>> detector.score({"stack": torch.zeros(2, 158, 20)}).map.shape
        torch.Size([2, 158, 20])
    """

    Config = StackCFlowConfig
    model: StackModel
    required = ("stack",)
    inputs = tuple(row_names())

    def _build(self, shapes: Shapes, samples: int) -> StackModel:
        """Decoders at their start: the identity up to permutations."""
        rows, frames = shapes["stack"]
        if rows != ROWS:
            raise EndlineError(f"A stack has {ROWS} rows, and these have {rows}: extract the clips again.")
        config, numbers = self.config, row_numbers(self.config.rows)
        if config.encoder == "patches":
            return StackModel(Patches(numbers, frames, config.side, config.scales), config)
        return StackModel(NetworkMaps(numbers, frames, pyramid_of(self).backbone), config)

    def loss(self, batch: Batch) -> Tensor:
        """Mean of -log sigmoid(log p / C) over vectors that are drawn, summed over the scales."""
        maps = self.model.encoder(batch["stack"])
        likelihoods = self.model.decoders.log_likelihoods(maps, self.config.vectors)
        return torch.stack([-functional.logsigmoid(each).mean() for each in likelihoods]).sum()

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Standardise and whiten in closed form, train all decoders, and take the levels from normal clips."""
        encoder, features = self.model.encoder, training.features
        if isinstance(encoder, NetworkMaps):  # pretrained only here, so that a saved model needs no other weights
            pyramid = pyramid_of(self)
            encoder.trunk.load_state_dict(Trunk(pyramid.backbone, pyramid.weights).state_dict())
        encoder.fit(features)
        with torch.no_grad():
            self.model.decoders.scales.fit_on(lambda: (encoder(batch["stack"]) for batch in features.batches(BATCH)))
        losses = train(self.model, self.loss, training, self.config, static=True)
        self._take_levels(features)
        return losses

    def _score(self, batch: Batch) -> Scored:
        """Maximum of the map, (batch,), and the map (batch, 158, frames)."""
        above = self.model.above(self.model.log_likelihoods(batch["stack"]))
        by_patch = likelihood_map(above, self.config.mean_of)
        return Scored(by_patch.flatten(1).amax(1), lambda: self._in_rows(by_patch, batch["stack"]))

    def importances(self, batch: Batch) -> Tensor:
        """What each of the 158 rows adds to how unlikely a clip is, (batch, 158), on the CPU.

        The gradient of the mean negative log-likelihood of all vectors to the standardised rows, times these, summed
        over the frames. Over the rows it sums to how fast the clip becomes less likely as all rows move away from their
        means. It is below 0 where a row makes the clip likelier, and 0 in a row that is not read.

        Args:
            batch: `stack` (batch, 158, frames).

        Raises:
            EndlineError: when the detector is not fitted, or a value is not finite.
        """
        with self._exact():
            stacks = torch.split(self._given(batch, None)["stack"], CHUNK)
            own = torch.cat([self._row_gradients(stack) for stack in stacks])
        importance = own.new_zeros(len(own), ROWS)
        importance[:, self.model.encoder.chosen] = own
        return importance.cpu()

    def _row_gradients(self, stack: Tensor) -> Tensor:
        """`importances` of the rows that are read, (batch, rows)."""
        with torch.enable_grad():
            x = self.model.encoder.standardised(stack).requires_grad_()
            likelihoods = self.model.decoders.log_likelihoods(self.model.encoder.cut(x))
            mean = torch.stack([-each.flatten(1).mean(1) for each in likelihoods]).mean(0)
            (slope,) = torch.autograd.grad(mean.sum(), x)
        return (slope * x).sum(2).detach()

    def _in_rows(self, by_patch: Tensor, stack: Tensor) -> Tensor:
        """A map (batch, H, W) of the finest scale, in rows and frames (batch, 158, frames)."""
        side, rows = self.model.encoder.side, self.model.encoder.chosen
        enlarged = by_patch.repeat_interleave(side, 1).repeat_interleave(side, 2)
        whole = torch.zeros_like(stack)
        whole[:, rows] = enlarged[:, : len(rows), : stack.shape[2]]
        return whole

    @torch.no_grad()
    def _take_levels(self, features: FeatureSet) -> None:
        """Mean and deviation of each row of a scale, or the largest of all, over the training clips."""
        # A clip has a few hundred likelihoods: those of all clips are far less than one batch of stacks.
        each = [self.model.log_likelihoods(batch["stack"]) for batch in features.batches(BATCH)]
        for scale, likelihoods in enumerate(map(torch.cat, zip(*each, strict=True))):
            centre, spread = self.model.level(scale)
            if self.config.level == "peak":
                centre.fill_(likelihoods.amax())
            else:
                deviation, mean = torch.std_mean(likelihoods.double(), (0, 2), correction=0)
                centre.copy_(mean[:, None])
                spread.copy_(deviation[:, None].clamp(min=LEAST_SPREAD))
