"""What kinds of detectors there are on cycles: of elements, of steps, of whole cycles."""

from abc import abstractmethod
from typing import Protocol, TypeVar, final

import torch
from torch import Tensor

from endline.detectors.base import ConfigT, Detector
from endline.detectors.cycles.signals import masked_mean, measured, signal_gradient
from endline.detectors.cycles.usual_course import UsualCourse
from endline.detectors.scored import Scored
from endline.detectors.standardisation import Standardisation
from endline.detectors.statistics import BEYOND
from endline.feature_set import Batch


class CycleDetector(Detector[ConfigT]):
    """A detector that reads the arrays `cycle` (signals, steps) and `valid` (steps,).

    Example:
        >>> from endline.detectors.cycles.pca import PCA, PCAConfig
        >>> PCA(PCAConfig()).required
        ('cycle', 'valid')
    """

    required = ("cycle", "valid")

    def _beyond(self, batch: Batch) -> Tensor:
        """What signals do that never changed in training, which says nothing of their scale."""
        values, valid = measured(batch)
        standardise = self._standardise
        departure = torch.zeros_like(values[:, 0]) if standardise is None else standardise.departure(values)
        return BEYOND * masked_mean(departure, valid[:, 0])

    @property
    def _standardise(self) -> Standardisation | None:
        """That of the signals, the first; others standardise what is made of them."""
        return next((one for one in self.model.modules() if isinstance(one, Standardisation)), None)


class WholeCycleDetector(CycleDetector[ConfigT]):
    """A detector that judges a cycle as a whole; its map is the gradient of the score times the departure from usual.

    Example:
        >>> from endline.detectors.cycles.segment_gaussian import SegmentGaussian
        >>> issubclass(SegmentGaussian, WholeCycleDetector)
        True
    """

    @abstractmethod
    def _scores(self, batch: Batch) -> Tensor:
        """Differentiable scores (batch,)."""

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,); the map (batch, signals, steps) is drawn when it is read."""
        standardise = self._standardise
        usual = next(one for one in self.model.modules() if isinstance(one, UsualCourse))
        assert standardise is not None  # by it a signal departs where no training cycle lasts so long
        return Scored(self._scores(batch), lambda: signal_gradient(self._scores, batch, standardise, usual))


class ElementDetector(CycleDetector[ConfigT]):
    """A detector whose score is the mean of what it says of every valid element, and whose map are the elements.

    Example:
        >>> from endline.detectors.cycles.pca import PCA, PCAConfig
        >>> PCA(PCAConfig()).downsampling
        1
    """

    downsampling = 1  # steps of the cycle in one of the elements

    @abstractmethod
    def elements(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores (batch, signals, its steps) and mask (batch, 1, its steps)."""

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,) and map (batch, signals, steps)."""
        each, valid = self.elements(batch)
        shown = (each * valid).repeat_interleave(self.downsampling, -1)[..., : batch["cycle"].shape[-1]]
        return Scored(masked_mean(each.mean(1), valid[:, 0]), shown)


class StepwiseDetector(CycleDetector[ConfigT]):
    """A detector that judges every step by itself too, as a running cycle wants.

    Example:
        >>> from endline.detectors.cycles.hmm import HMM
        >>> from endline.detectors.cycles.pca import PCA
        >>> issubclass(HMM, StepwiseDetector), issubclass(PCA, StepwiseDetector)
        (True, False)
    """

    @final
    @torch.no_grad()
    def step_scores(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Score of every step, and the mask of those that count, on the CPU.

        Args:
            batch: `cycle` (batch, signals, steps) and `valid` (batch, steps), of any number of steps.

        Returns:
            (batch, the detector's steps) each; a step of the detector may be several of the cycle.

        Raises:
            EndlineError: when it is not fitted, or a value is not finite.
        """
        with self._exact():
            scores, counts = self._step_scores(self._given(batch, None))
        return scores.cpu(), counts.cpu()

    @abstractmethod
    def _step_scores(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """`step_scores`, on the detector's device."""


class DownsamplingConfig(Protocol):
    """Settings of a detector that makes one step of several.

    Example:
        >>> from endline.detectors.cycles.hmm import HMMConfig
        >>> HMMConfig().downsampling
        5
    """

    @property
    def downsampling(self) -> int:
        """Steps that become one."""
        ...


DownsamplingT = TypeVar("DownsamplingT", bound=DownsamplingConfig)


class StepDetector(ElementDetector[DownsamplingT], StepwiseDetector[DownsamplingT]):
    """An `ElementDetector` on downsampled cycles that is stepwise.

    Example:
        >>> from endline.detectors.cycles.ganf import GANF, GANFConfig
        >>> GANF(GANFConfig(downsampling=4)).downsampling
        4
    """

    @property
    def downsampling(self) -> int:  # type: ignore[override]
        """Steps of the cycle in one of the elements."""
        return self.config.downsampling

    def _step_scores(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Score of every downsampled step, a signal, and the steps' mask: (batch, fewer steps) each."""
        each, valid = self.elements(batch)
        return each.mean(1), valid[:, 0]
