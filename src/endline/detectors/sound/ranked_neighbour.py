"""Nearest training clip in pooled spectra, whatever moment tells: several views of a clip, and no training."""

import math
from collections import Counter
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.neighbour_score import NeighbourScore, check_neighbours
from endline.detectors.scored import Scored
from endline.detectors.sound.clip_statistics import STATISTICS
from endline.errors import EndlineError
from endline.feature_set import Batch

BATCH = 32


@dataclass(frozen=True)
class RankedNeighbourConfig:
    """Settings of `RankedNeighbour`.

    Attributes:
        ranks: weights r in [0, 1] of the poolings: each band's frames are sorted, the loudest first, and frame k counts
            r^k; 1 is the mean over time, 0 the maximum. Each is a view of the clip.
        statistics: further views, names of `clip_statistics.STATISTICS`.
        groups: views, by their rank or name, whose scores are averaged: of those that see the same, chance in one does
            not count as much as a fault that all see. Empty: each view by itself.
        telling: groups that count: a clip's score is the mean of that many largest ones. 1 takes the largest alone;
            the mean of all waters down what one alone hears.
        ridge: above 0, bands that vary together in training are taken apart (whitened), the less the larger it is, in
            units of the mean variance; 0: they are not.
        floor, neighbours, density_neighbours, normalisation: see `NeighbourSettings`.

    Example:
        >>> RankedNeighbourConfig().telling
        3
    """

    ranks: tuple[float, ...] = (1.0, 0.0)
    statistics: tuple[str, ...] = ("deviation", "change", "shape", "correlation")
    groups: tuple[tuple[float | str, ...], ...] = ()
    telling: int = 3
    ridge: float = 0.0
    floor: float = 0.3
    neighbours: int = 2
    density_neighbours: int = 4
    normalisation: str = "ratio"


class RankedNeighbour(Detector[RankedNeighbourConfig]):
    """Distance to the nearest training clip in several views of its log-mel spectrum, each over all of its time.

    What tells a fault may be the mean over time (a bearing's hiss), the loudest moment (a valve's click), or which
    bands sound together, and which of them is not known without faults. So a clip is compared in every view: pooled
    by global weighted ranking (Guan et al. 2023, time-weighted frequency domain representation), and by statistics
    that neither level nor drift moves; each in units of every number's spread. Distances are normalised by local
    density (Wilkinghoff et al. 2025), so that a few clips of another working condition weigh as much as many, and
    standardised by the training clips' own distances to each other. Views that see the same are averaged, and the
    largest of these counts, or the mean of the few largest: a fault may be heard in one alone.

    The map tells which bands at which moment: each band's squared difference to the nearest training clip, in the
    pooling by rank that counts most, laid on the frames by their weights in it.

    Raises:
        EndlineError: for ranks outside [0, 1], an unknown statistic or normalisation, or groups that do not hold every
            view once.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> clips = np.random.default_rng(0).standard_normal((9, 4, 20)).astype("f4")
        >>> detector = RankedNeighbour(RankedNeighbourConfig())
        >>> _ = detector.fit(FeatureSet({"log_mel": clips}), seed=0, progress=Progress())
        >>> click = torch.from_numpy(clips[:2].copy())
        >>> click[1, 2, 7] += 20
        >>> scored = detector.score({"log_mel": click})
        >>> bool(scored.score[1] > scored.score[0]), divmod(int(scored.map[1].argmax()), 20)
        (True, (2, 7))
    """

    Config = RankedNeighbourConfig
    model: nn.ModuleList

    @property
    def required(self) -> tuple[str, ...]:
        """The log-mel spectra of the clips."""
        return ("log_mel",)

    def _build(self, shapes: Shapes, samples: int) -> nn.Module:
        """The training clips in each view."""
        s = self.config
        if not s.ranks or not all(0 <= rank <= 1 for rank in s.ranks):
            raise EndlineError(f"ranks={s.ranks} must be numbers from 0 (the maximum) to 1 (the mean): correct them.")
        for name in s.statistics:
            if name not in STATISTICS:
                known = ", ".join(STATISTICS)
                raise EndlineError(f"RankedNeighbour has no statistic '{name}': choose of {known}.")
        check_neighbours("RankedNeighbour", s)
        if not s.floor > 0:
            raise EndlineError(f"floor={s.floor} must be above 0: a band may be the same in all training clips.")
        if not s.telling >= 1:
            raise EndlineError(f"telling={s.telling} must be 1 or more: that many groups of views count.")
        if not 0 <= s.ridge < math.inf:
            raise EndlineError(f"ridge={s.ridge} must be 0 (bands are not whitened) or more: correct it.")
        self._groups()
        sizes = [view.shape[1] for view in self._views(torch.zeros(1, *shapes["log_mel"]))]
        return nn.ModuleList(NeighbourScore(samples, size, whitened=s.ridge > 0) for size in sizes)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses."""
        batches = [self._views(batch["log_mel"]) for batch in training.features.batches(BATCH)]
        for known, parts in zip(self._known, zip(*batches, strict=True), strict=True):
            known.learn(torch.cat(parts), self.config, ridge=self.config.ridge)
        return ()

    def _score(self, batch: Batch) -> Scored:
        s, views = self.config, self._views(batch["log_mel"])
        each = torch.stack([known(view, s) for known, view in zip(self._known, views, strict=True)])
        grouped = torch.stack([torch.stack([each[row] for row in group]).mean(0) for group in self._groups()])
        score = grouped.topk(min(s.telling, len(grouped)), 0).values.mean(0)
        telling = each[: len(s.ranks)].argmax(0)
        return Scored(score, lambda: self._map(batch["log_mel"], views, telling))

    @property
    def _known(self) -> list[NeighbourScore]:
        """The training clips, view by view."""
        return [known for known in self.model if isinstance(known, NeighbourScore)]

    def _groups(self) -> list[list[int]]:
        """Numbers of the views of each group."""
        s = self.config
        views: list[float | str] = [*s.ranks, *s.statistics]
        if not s.groups:
            return [[number] for number in range(len(views))]
        if Counter(chain(*s.groups)) != Counter(views) or not all(s.groups):
            raise EndlineError(
                f"groups={s.groups} must hold every view once: the ranks {s.ranks} and the statistics {s.statistics}."
            )
        return [[views.index(view) for view in group] for group in s.groups]

    def _views(self, clips: Tensor) -> list[Tensor]:
        """Clips (batch, bands, frames) in each view, (batch, numbers)."""
        by_rank = pooled_by_rank(clips, self.config.ranks)
        return [*by_rank, *(STATISTICS[name](clips) for name in self.config.statistics)]

    def _map(self, clips: Tensor, views: list[Tensor], telling: Tensor) -> Tensor:
        """Map (batch, bands, frames) of clips whose pooling `telling` (batch,) counts most."""
        s, maps = self.config, []
        for row, (clip, number) in enumerate(zip(clips, telling.cpu().tolist(), strict=True)):
            away = self._known[number].difference(views[number][row], s).square()
            maps.append(away[:, None] * rank_weights(clip[None], s.ranks[number])[0])
        return torch.stack(maps)


def rank_weights(clips: Tensor, rank: float) -> Tensor:
    """Weight (batch, bands, frames) of each frame in the pooling by one rank; those of a band add up to 1.

    Example:
        >>> rank_weights(torch.tensor([[[1.0, 3.0, 2.0]]]), 0.0).tolist()
        [[[0.0, 1.0, 0.0]]]
    """
    weights = _weights(clips, rank).expand_as(clips)
    return torch.zeros_like(clips).scatter(2, clips.argsort(2, descending=True), weights)


def pooled_by_rank(clips: Tensor, ranks: tuple[float, ...]) -> Tensor:
    """Clips (batch, bands, frames) pooled over time by each rank, (ranks, batch, bands).

    Example:
        >>> pooled_by_rank(torch.tensor([[[1.0, 3.0, 2.0]]]), (1.0, 0.0)).flatten().tolist()
        [2.0, 3.0]
    """
    ordered = clips.sort(2, descending=True).values
    return torch.stack([(ordered * _weights(clips, rank)).sum(2) for rank in ranks])


def _weights(clips: Tensor, rank: float) -> Tensor:
    """Weights (frames,) by rank, the loudest first, adding up to 1."""
    frames = torch.arange(clips.shape[2], device=clips.device, dtype=clips.dtype)
    weights = torch.as_tensor(rank, device=clips.device, dtype=clips.dtype) ** frames  # 0 ** 0 is 1
    return weights / weights.sum()
