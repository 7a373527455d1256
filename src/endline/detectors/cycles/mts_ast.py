"""A convolutional student of the MTS-Flow teacher: asymmetric student and teacher, on cycles."""

from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import StepwiseDetector
from endline.detectors.cycles.mts_flow import MTSFlowConfig, TimeSeriesFlow, mean_likelihood
from endline.detectors.cycles.signals import cycle_shape, masked_mean, signal_gradient
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.training import train
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class MTSASTConfig(MTSFlowConfig):
    """Settings of `MTSAST`: those of its teacher (`MTSFlowConfig`, without `score` and `summed`), and these.

    Attributes:
        teacher_epochs: passes of the teacher's training; `epochs` are those of the student, all else is the same.
        student_hidden: channels of the student; 0 = twice the signals, at least 32.
        student_blocks: its residual blocks, of which each looks twice as far along time as the one before.
        student_kernel: odd length of its kernels.
        slope: of its LeakyReLU below 0.

    Example:
        >>> MTSASTConfig().student_blocks
        4
    """

    teacher_epochs: int = 20
    student_hidden: int = 0
    student_blocks: int = 4
    student_kernel: int = 5
    slope: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.student_blocks < 1 or self.student_kernel % 2 == 0 or self.teacher_epochs < 1:
            raise EndlineError(
                f"mts_ast has student_blocks={self.student_blocks}, student_kernel={self.student_kernel}, "
                f"teacher_epochs={self.teacher_epochs}: all are at least 1, and the kernel is odd."
            )


class TimeStudent(nn.Module):
    """Convolution, residual blocks of growing dilation, convolution, all along time.

    Args:
        signals: signals that come in and go out.
        config: the settings.

    Example:
        >>> import torch
        >>> TimeStudent(3, MTSASTConfig(student_hidden=4))(torch.zeros(2, 3, 20)).shape
        torch.Size([2, 3, 20])
    """

    def __init__(self, signals: int, config: MTSASTConfig) -> None:
        super().__init__()
        hidden, kernel = config.student_hidden or max(32, 2 * signals), config.student_kernel
        self.slope = config.slope

        def half(dilation: int) -> list[nn.Module]:
            # Batch norm takes away what a bias would add.
            conv = nn.Conv1d(hidden, hidden, kernel, padding="same", dilation=dilation, bias=False)
            return [conv, nn.BatchNorm1d(hidden), nn.LeakyReLU(config.slope)]

        self.enter = nn.Conv1d(signals, hidden, kernel, padding="same")
        self.blocks = nn.ModuleList(
            nn.Sequential(*half(2**number), *half(2**number)) for number in range(config.student_blocks)
        )
        self.leave = nn.Conv1d(hidden, signals, kernel, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        """Signals (batch, signals, steps) of signals of this shape."""
        y = functional.leaky_relu(self.enter(x), self.slope)
        for block in self.blocks:
            y = y + block(y)
        out: Tensor = self.leave(y)
        return out


class TeacherAndTimeStudent(nn.Module):
    """The flow, and the student that learns to give its latents.

    Args:
        signals, steps: of a cycle.
        config: the settings.

    Example:
        >>> import torch
        >>> model = TeacherAndTimeStudent(3, 20, MTSASTConfig(student_hidden=4, min_hidden=4, blocks=1))
        >>> steps, valid = model.distance({"cycle": torch.zeros(2, 3, 20), "valid": torch.ones(2, 20)})
        >>> steps.shape
        torch.Size([2, 20])
    """

    def __init__(self, signals: int, steps: int, config: MTSASTConfig) -> None:
        super().__init__()
        self.teacher = TimeSeriesFlow(signals, steps, config)
        self.student = TimeStudent(self.teacher.flow_signals, config)

    def distance(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Squared distance of student and teacher at every step, a signal, and the steps' mask: (batch, steps) each."""
        x, valid = self.teacher.prepared(batch)
        (target,), _ = self.teacher.flow.by_position((x,))
        return (self.student(x) - target).square().mean(1), valid[:, 0]


class MTSAST(StepwiseDetector[MTSASTConfig]):
    """Distance of a convolutional student to the latents of MTS-Flow.

    The outlook of Rudolph 2024, section 8.3: MTS-Flow (chapter 8) as the teacher of AST (chapter 6). Nobody has
    published it; the student is ours. The score is the mean squared distance over the valid steps, the map its input
    gradient.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = MTSAST(MTSASTConfig(student_hidden=4, min_hidden=4, blocks=1, epochs=1, teacher_epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 2, 20])
    """

    Config = MTSASTConfig
    model: TeacherAndTimeStudent

    def _build(self, shapes: Shapes, samples: int) -> TeacherAndTimeStudent:
        """Teacher and student at their start."""
        return TeacherAndTimeStudent(*cycle_shape(shapes), self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Standardise, train the teacher, then the student to the frozen teacher's latents."""
        c, model = self.config, self.model
        model.teacher.fit_standards(training.features)
        teacher = replace(c, epochs=c.teacher_epochs)
        losses = train(model.teacher, self.teacher_loss, training.stage("teacher"), teacher, static=True)
        model.teacher.requires_grad_(False)
        return losses + train(model.student, self.loss, training, c, static=True)

    def teacher_loss(self, batch: Batch) -> Tensor:
        """Mean negative log-likelihood of an element under the teacher."""
        return mean_likelihood(self.model.teacher, batch)

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared distance over the valid steps of all cycles."""
        steps, valid = self.model.distance(batch)
        return (steps * valid).sum() / valid.sum()

    def _step_scores(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Score of every step, and the steps' mask: (batch, steps) each."""
        return self.model.distance(batch)

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,); the map (batch, signals, steps) is drawn when it is read."""
        return Scored(self._scores(batch), lambda: signal_gradient(self._scores, batch, self.model.teacher.standardise))

    def _scores(self, batch: Batch) -> Tensor:
        return masked_mean(*self.model.distance(batch))
