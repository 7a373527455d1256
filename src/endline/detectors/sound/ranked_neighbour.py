"""Nearest training clip in pooled spectra, whatever moment tells: several poolings over time, and no training."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.local_density import (
    check_names,
    density,
    distances,
    normalised,
    normalised_distance,
    normalised_nearest,
)
from endline.detectors.scored import Scored
from endline.errors import EndlineError
from endline.feature_set import Batch

BATCH = 32
JOINS = ("largest", "mean")


@dataclass(frozen=True)
class RankedNeighbourConfig:
    """Settings of `RankedNeighbour`.

    Attributes:
        ranks: weights r in [0, 1] of the poolings: each band's frames are sorted, the loudest first, and frame k counts
            r^k; 1 is the mean over time, 0 the maximum.
        deviation: whether the standard deviation over time is one more pooling.
        floor: least deviation by which a band is divided, as a share of the mean one: bands that hardly vary among the
            training clips must not outweigh all others.
        neighbours: nearest training clips whose normalised distances are averaged.
        density_neighbours: neighbours of a training clip that tell how dense it lies.
        normalisation: of distances by the density: `ratio`, `difference`, `none`.
        join: of the poolings' scores, each standardised on the training clips: the `largest`, or the `mean`.

    Example:
        >>> RankedNeighbourConfig().join
        'mean'
    """

    ranks: tuple[float, ...] = (1.0, 0.9, 0.0)
    deviation: bool = True
    floor: float = 0.3
    neighbours: int = 2
    density_neighbours: int = 4
    normalisation: str = "ratio"
    join: str = "mean"


class PooledClips(nn.Module):
    """The training clips in each pooling, in units of each band's spread, how dense they lie, and their own scores.

    Args:
        poolings, clips, bands: their numbers.

    Example:
        >>> PooledClips(poolings=5, clips=9, bands=128).known.shape
        torch.Size([5, 9, 128])
    """

    known: Tensor
    spread: Tensor
    density: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, poolings: int, clips: int, bands: int) -> None:
        super().__init__()
        self.register_buffer("known", torch.zeros(poolings, clips, bands))
        self.register_buffer("spread", torch.ones(poolings, 1, bands))
        self.register_buffer("density", torch.ones(poolings, clips))
        self.register_buffer("mean", torch.zeros(poolings))
        self.register_buffer("deviation", torch.ones(poolings))


class RankedNeighbour(Detector[RankedNeighbourConfig]):
    """Distance to the nearest training clip in log-mel spectra that are pooled over time by global weighted ranking.

    What tells a fault may be the mean over time (a bearing's hiss) or the loudest moment (a valve's click), and which
    of them is not known without faults: so a clip is compared in every pooling (Guan et al. 2023, time-weighted
    frequency domain representation), in units of each band's spread. Each distance is normalised by local density
    (Wilkinghoff et al. 2025), so that a few clips of another working condition weigh as much as many, and standardised
    by the training clips' own distances to each other; their mean counts, or the largest.

    The map tells which bands at which moment: each band's squared difference to the nearest training clip, in the
    pooling by rank that counts most, laid on the frames by their weights in it.

    Raises:
        EndlineError: for ranks outside [0, 1], or an unknown join or normalisation.

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
    model: PooledClips

    @property
    def required(self) -> tuple[str, ...]:
        """The log-mel spectra of the clips."""
        return ("log_mel",)

    def _build(self, shapes: Shapes, samples: int) -> nn.Module:
        """The pooled training clips."""
        s, bands = self.config, shapes["log_mel"][0]
        if not s.ranks or not all(0 <= rank <= 1 for rank in s.ranks):
            raise EndlineError(f"ranks={s.ranks} must be numbers from 0 (the maximum) to 1 (the mean): correct them.")
        if s.join not in JOINS:
            raise EndlineError(f"RankedNeighbour has no join '{s.join}': choose one of {', '.join(JOINS)}.")
        check_names("RankedNeighbour", "squared_euclidean", s.normalisation)
        if not s.floor > 0:
            raise EndlineError(f"floor={s.floor} must be above 0: a band may be the same in all training clips.")
        return PooledClips(len(s.ranks) + s.deviation, samples, bands)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses."""
        s, model = self.config, self.model
        known = torch.cat([self._pooled(batch["log_mel"]) for batch in training.features.batches(BATCH)], 1)
        spread = known.std(1, correction=0, keepdim=True)
        level = spread.mean(2, keepdim=True).clamp(min=1e-6)
        model.spread = (spread.square() + (s.floor * level).square()).sqrt()
        model.known = known / model.spread
        for number, known in enumerate(model.known):
            model.density[number] = density(known, s.density_neighbours)
            own = self._compared(_others_of(known, model.density[number], s))
            model.mean[number] = own.mean()
            model.deviation[number] = own.std(correction=0).clamp(min=1e-3)
        return ()

    def _score(self, batch: Batch) -> Scored:
        s, model = self.config, self.model
        pools = self._pooled(batch["log_mel"]) / model.spread
        each = torch.stack(
            [
                normalised_distance(new, known, dense, s.neighbours, normalisation=s.normalisation)
                for new, known, dense in zip(pools, model.known, model.density, strict=True)
            ]
        )
        standardised = (self._compared(each) - model.mean[:, None]) / model.deviation[:, None]  # (poolings, batch)
        score = standardised.amax(0) if s.join == "largest" else standardised.mean(0)
        by_rank = standardised[: len(s.ranks)]
        return Scored(score, lambda: self._map(batch["log_mel"], pools, by_rank.argmax(0)))

    def _pooled(self, clips: Tensor) -> Tensor:
        """Clips (batch, bands, frames) in every pooling, (poolings, batch, bands)."""
        by_rank = pooled_by_rank(clips, self.config.ranks)
        return torch.cat([by_rank, clips.std(2, correction=0)[None]]) if self.config.deviation else by_rank

    def _compared(self, distance: Tensor) -> Tensor:
        """Distances as they are standardised: ratios by their logarithm, for they are skew."""
        return distance.clamp(min=1e-6).log() if self.config.normalisation == "ratio" else distance

    def _map(self, clips: Tensor, pools: Tensor, telling: Tensor) -> Tensor:
        """Map (batch, bands, frames) of clips whose pooling `telling` (batch,) counts most."""
        s, model, maps = self.config, self.model, []
        for clip, number, new in zip(clips, telling.cpu().tolist(), pools.unbind(1), strict=True):
            known, dense = model.known[number], model.density[number]
            _, rows = normalised_nearest(new[number][None], known, dense, 1, normalisation=s.normalisation)
            away = (new[number] - known[rows[0, 0]]).square()
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


def _others_of(known: Tensor, dense: Tensor, settings: RankedNeighbourConfig) -> Tensor:
    """Normalised distance (n,) of each training clip to its nearest other ones."""
    away = normalised(distances(known, known), dense, settings.normalisation)
    away.fill_diagonal_(torch.inf)
    return away.topk(min(settings.neighbours, len(known) - 1), largest=False).values.mean(1)
