"""AST: the distance between a flow as teacher and a convolutional student."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.kept_back import without_kept_back
from endline.detectors.maps.ast_students import ConvStudent, FlowStudent
from endline.detectors.maps.flow_scores import kernel_sizes
from endline.detectors.maps.position_levels import PositionLevels
from endline.detectors.maps.scales import BATCH, Scales, scale_names
from endline.detectors.scored import Scored
from endline.detectors.statistics import top_mean
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet
from endline.flows.coupling import CouplingBlock, CouplingFlow
from endline.flows.position import position_code
from endline.flows.subnets import ConvSubnet

STUDENTS = ("conv", "deep_flow", "flow")
SCORES = ("distance", "teacher")
SMALLEST = 1e-12  # of a distance whose logarithm is taken
JOINS = ("auto", "max", "mean", "top")


@dataclass(frozen=True)
class ASTConfig(TrainingSettings):
    """Settings of `AST`, and those of its training (`TrainingSettings`).

    Attributes:
        scale: which of the feature maps is read, counted from the finest; -1 = the coarsest. Where there is one alone,
            as of a photograph joined with a scan, it is that one.
        input_type: pyramid that the maps are made of where the station's is `auto`.
        components: whitened principal components of the channels that stay; 0 = all.
        depth_channels: of maps of photograph and scan, the last channels, which are the scan's: they are whitened by
            themselves, for what bends a surface is small beside what all channels share. 0, or as many as there are:
            all are whitened together.
        masked: whether background counts nowhere, where a foreground mask is known.
        whiten: False feeds the maps to teacher and student as they are, as published.
        code: channels of the position code, a multiple of 4; 0 = none.
        blocks: coupling blocks of the teacher.
        kernel, last_kernel: kernel size of all its blocks but the last, and of the last.
        hidden: hidden channels of its subnets.
        alpha: bound of its log-scale.
        student: `conv` (published), `flow` (one like the teacher) or `deep_flow` (with twice its blocks).
        student_blocks: residual blocks of the convolutional student.
        student_factor: its hidden channels, as a multiple of `hidden`.
        slope: of its LeakyReLU below 0.
        score_by: `distance` of student and teacher, or the negative log-likelihood of the `teacher` alone.
        share: of the training samples, kept back from teacher and student: their maps say what is usual at each
            position, and the logarithm of a distance, or a likelihood, is taken in deviations from it
            (`PositionLevels`). 0 = none, as published.
        join: score of a sample from its map: `mean`, `max`, `top`, the mean of the largest `top_share` of all
            positions, or `auto`, the maximum where there is a foreground mask, else the mean.
        top_share: in (0, 1].
        teacher_epochs, epochs: passes of the teacher's and of the student's training, which share all other settings.

    Example:
        >>> ASTConfig().student
        'conv'
    """

    scale: int = -1
    input_type: str = "single"
    components: int = 128
    depth_channels: int = 0
    masked: bool = True
    whiten: bool = True
    code: int = 32
    blocks: int = 4
    kernel: int = 3
    last_kernel: int = 3
    hidden: int = 64
    alpha: float = 3.0
    student: str = "conv"
    student_blocks: int = 4
    student_factor: int = 2
    slope: float = 0.2
    score_by: str = "distance"
    share: float = 0.0
    join: str = "auto"
    top_share: float = 0.02
    teacher_epochs: int = 8
    epochs: int = 6
    batch_size: int = 16
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = {"student": STUDENTS, "score_by": SCORES, "join": JOINS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise EndlineError(f"ast has no {name} '{getattr(self, name)}': choose one of {', '.join(allowed)}.")
        if self.depth_channels < 0:
            raise EndlineError(f"ast has depth_channels={self.depth_channels}: choose 0 or more.")
        if not 0 <= self.share < 1 or not 0 < self.top_share <= 1:
            raise EndlineError(
                f"ast has share={self.share} and top_share={self.top_share}: choose a share from 0 to below 1, and a "
                "top_share above 0 and at most 1."
            )


class TeacherAndStudent(nn.Module):
    """Whitening of one scale, the teacher, and the student where the score needs one.

    Args:
        shape: (channels, height, width) of the scale's maps, under its name.
        config: the settings.

    Example:
        >>> model = TeacherAndStudent({"scale_0": (6, 4, 4)}, ASTConfig(components=4, hidden=4, blocks=1))
        >>> model.distance({"scale_0": torch.ones(2, 6, 4, 4)}).shape
        torch.Size([2, 4, 4])
    """

    code: Tensor

    def __init__(self, shape: Shapes, config: ASTConfig) -> None:
        super().__init__()
        ((self.name, (channels, height, width)),) = shape.items()
        split = self.depth_channels = config.depth_channels if config.depth_channels < channels else 0
        parts = {"scale_0": (channels - split, height, width), "scale_1": (split, height, width)}
        self.scales = Scales({name: size for name, size in parts.items() if size[0]}, config.components, config.whiten)
        channels = sum(self.scales.channels)
        self.register_buffer("code", position_code(config.code, height, width)[None], persistent=False)
        self.teacher = _flow(channels, config, config.blocks)
        self.student: nn.Module = nn.Identity()
        if config.score_by == "distance" and config.student == "conv":
            hidden = config.hidden * config.student_factor
            self.student = ConvStudent(channels, config.code, hidden, config.student_blocks, config.slope)
        elif config.score_by == "distance":
            self.student = FlowStudent(_flow(channels, config, config.blocks * (1 + (config.student == "deep_flow"))))
        self.levels = PositionLevels(height, width) if config.share else None
        self.teacher.to(memory_format=torch.channels_last)
        self.student.to(memory_format=torch.channels_last)

    def fit(self, features: FeatureSet) -> None:
        """Fit the whitening on the foreground of normal samples in closed form."""

        def vectors() -> Iterator[Batch]:
            for batch in features.batches(BATCH):
                mask = batch.get("mask")
                inside = None if mask is None else foreground(mask, batch[self.name].shape[-2:])
                maps = self._parts(batch)
                yield maps if inside is None else {name: x.movedim(1, 3)[inside] for name, x in maps.items()}

        self.scales.fit_on(vectors)

    def maps(self, batch: Batch) -> Tensor:
        """What teacher and student see, (batch, channels, H, W)."""
        maps = self.scales(self._parts(batch))
        return torch.cat(maps, 1) if len(maps) > 1 else maps[0]

    def nll(self, batch: Batch) -> Tensor:
        """Negative log-likelihood of the teacher at every position, a channel, (batch, H, W) (equation 6.3)."""
        (z,), (log_det,) = self.teacher.by_position((self.maps(batch),), (self.code,))
        return (0.5 * z.square().sum(1) - log_det) / z.shape[1]

    def distance(self, batch: Batch) -> Tensor:
        """Squared distance of student and frozen teacher at every position, a channel, (batch, H, W) (equation 6.4)."""
        maps = self.maps(batch)
        with torch.no_grad():
            (target,), _ = self.teacher.by_position((maps,), (self.code,))
        latents: Tensor = self.student(maps, self.code)
        return (latents - target).square().mean(1)

    def _parts(self, batch: Batch) -> Batch:
        """The maps as they are whitened: the photograph's and the scan's channels, or all."""
        maps, split = batch[self.name], self.depth_channels
        return {"scale_0": maps[:, :-split], "scale_1": maps[:, -split:]} if split else {"scale_0": maps}


class AST(Detector[ASTConfig]):
    """Asymmetric student and teacher (Rudolph 2024, chapter 6; WACV 2023).

    The teacher, a flow, turns normal features into a normal distribution; the student, no flow, learns to give the
    same and fails on what it has not seen. Position by position their squared distance is the anomaly map. Published
    are distances and log-likelihoods summed over the channels, here is their mean. The text's slope of LeakyReLU is
    0.2, the authors' program's 0.01; the program pads the teacher's borders by repeating them, and so does this one.

    A batch may hold a `mask` (batch, h, w) or (batch, 1, h, w), above 0 in the foreground: then background counts
    neither in whitening and training nor in the score.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"scale_0": (8, 3, 8, 8), "scale_1": (8, 4, 4, 4)}
        >>> features = FeatureSet({name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()})
        >>> detector = AST(ASTConfig(components=3, hidden=4, blocks=1, epochs=1, teacher_epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 4, 4])
    """

    Config = ASTConfig
    model: TeacherAndStudent

    @property
    def optional(self) -> tuple[str, ...]:
        """The foreground, where it is asked for."""
        return ("mask",) if self.config.masked else ()

    def _build(self, shapes: Shapes, samples: int) -> TeacherAndStudent:
        """Teacher and student at their start.

        Raises:
            EndlineError: when there is no such scale.
        """
        names = scale_names(shapes)
        scale = self.config.scale if len(names) > 1 else 0
        if not -len(names) <= scale < len(names):
            raise EndlineError(
                f"ast has scale={self.config.scale} and the features have {len(names)} scale(s): "
                f"choose one of {-len(names)} to {len(names) - 1}."
            )
        name = names[scale]
        return TeacherAndStudent({name: shapes[name]}, self.config)

    def teacher_loss(self, batch: Batch) -> Tensor:
        """Mean over foreground positions of the teacher's negative log-likelihood."""
        return foreground_mean(self.model.nll(batch), batch.get("mask"))

    def loss(self, batch: Batch) -> Tensor:
        """Mean over foreground positions of what the score is made of."""
        if self.config.score_by == "teacher":
            return self.teacher_loss(batch)
        return foreground_mean(self.model.distance(batch), batch.get("mask"))

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Fit the whitening in closed form, train the teacher, then the student to the frozen teacher's output."""
        if self.model.levels is None:
            return self._train(training)
        rest, held_out = without_kept_back(training, self.config.share)
        losses = self._train(rest)
        if len(held_out):
            with torch.no_grad():
                maps, inside = zip(*(self._map(batch) for batch in held_out.batches(BATCH)), strict=True)
            self.model.levels.fit(torch.cat(maps), torch.cat(inside))
        return losses

    def _train(self, training: Training) -> tuple[float, ...]:
        c, model = self.config, self.model
        model.fit(training.features)
        teacher = replace(c, epochs=c.teacher_epochs)
        losses = train(model.teacher, self.teacher_loss, training.stage("teacher"), teacher, static=True)
        if c.score_by == "teacher":
            return losses
        model.teacher.requires_grad_(False)
        return losses + train(model.student, self.loss, training, self.config, static=True)

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,), and map (batch, H, W) at the size of the scale; the background of the map is 0, or below."""
        anomaly_map, inside = self._map(batch)
        if self.model.levels is not None:
            anomaly_map = self.model.levels(anomaly_map)
        lowest = anomaly_map.masked_fill(~inside, torch.inf).flatten(1).amin(1).clamp(max=0)
        anomaly_map = torch.where(inside, anomaly_map, lowest[:, None, None])
        join = self.config.join
        if join == "auto":
            join = "mean" if "mask" not in batch else "max"
        if join == "max":
            return Scored(anomaly_map.masked_fill(~inside, -torch.inf).flatten(1).amax(1), anomaly_map)
        if join == "top":
            return Scored(top_mean(anomaly_map, self.config.top_share), anomaly_map)
        total = anomaly_map.masked_fill(~inside, 0).flatten(1).sum(1)
        return Scored(total / inside.flatten(1).sum(1), anomaly_map)

    def _map(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is anomalous where (batch, H, W), before it is compared with other samples, and the foreground."""
        if self.config.score_by == "teacher":
            found = self.model.nll(batch)
        else:
            found = self.model.distance(batch)
            if self.model.levels is not None:  # a distance is skewed, and its logarithm is not
                found = found.clamp(min=SMALLEST).log()
        mask = batch.get("mask")
        return found, torch.ones_like(found) > 0 if mask is None else foreground(mask, found.shape[-2:])


def foreground(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Positions (batch, H, W) of a map of some size whose part of the mask (batch, ..., h, w) is not all background.

    A sample without any foreground counts as a whole.

    Example:
        >>> mask = torch.zeros(1, 4, 4)
        >>> mask[0, 0, 0] = 1
        >>> foreground(mask, (2, 2)).tolist()
        [[[True, False], [False, False]]]
    """
    pixels = mask.float().reshape(len(mask), 1, *mask.shape[-2:])
    inside = functional.adaptive_max_pool2d(pixels, tuple(size))[:, 0] > 0
    return inside | ~inside.flatten(1).any(1)[:, None, None]


def foreground_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of values (batch, H, W) over the foreground positions of all samples; over all without a mask."""
    if mask is None:
        return values.mean()
    inside = foreground(mask, values.shape[-2:])
    return torch.where(inside, values, 0).sum() / inside.sum()  # values[inside] would read its size from a GPU


def _flow(channels: int, config: ASTConfig, blocks: int) -> CouplingFlow:
    def block(kernel: int) -> CouplingBlock:
        def subnet(inputs: Sequence[int], outputs: Sequence[int]) -> ConvSubnet:
            return ConvSubnet(inputs, outputs, [config.hidden], kernel, condition=config.code, padding="replicate")

        return CouplingBlock([channels], subnet, alpha=config.alpha)

    return CouplingFlow([block(size) for size in kernel_sizes(blocks, config.kernel, config.last_kernel)])
