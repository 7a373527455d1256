"""PatchCore: distance of every patch to a memory bank of normal patches."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.neighbourhoods import brought_to, locally_averaged, taken_scales
from endline.detectors.scored import Scored
from endline.detectors.statistics import distances_between
from endline.errors import EndlineError
from endline.feature_set import Batch

BATCH = 16
PROJECTED = 128  # dimensions in which the bank is chosen (Johnson and Lindenstrauss)
CHUNK = 2**24  # distances that are held at once, 64 MB
FARTHEST = 64  # points among which the next centres are looked for


@dataclass(frozen=True)
class PatchcoreConfig:
    """Settings of `Patchcore`.

    Attributes:
        scales: the scales whose maps are taken, finest first; 0 is the finest that there is.
        dimensions: features of a patch at most; each scale has an equal share, to which its channels are averaged
            in groups where they are more.
        pool: training patches at most, drawn evenly from all, from which the bank is chosen.
        coreset: share in (0, 1] of the pool that the bank keeps.
        neighbours: patches of the bank by which the score of an image is weighted; 1 = not weighted.
        blur: standard deviation of the Gaussian that smooths the map, in positions of the map; 0 = none.
        zero_padding: whether positions are averaged with zeros beyond the border, as in the authors' program, which
            makes the border count less; else over those that there are.

    Example:
        >>> PatchcoreConfig().scales
        (0, 1)
    """

    scales: tuple[int, ...] = (0, 1)
    dimensions: int = 1024
    pool: int = 40_000
    coreset: float = 0.1
    neighbours: int = 9
    blur: float = 0.5
    zero_padding: bool = False  # as in models that were saved before there was a choice

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) < 0 or self.dimensions < len(self.scales):
            raise EndlineError(
                f"patchcore has scales={list(self.scales)} and dimensions={self.dimensions}: choose at least one "
                "scale, counted from 0, and a dimension for each."
            )
        if min(self.pool, self.neighbours) < 1 or not 0 < self.coreset <= 1 or self.blur < 0:
            raise EndlineError(
                f"patchcore has pool={self.pool}, coreset={self.coreset}, neighbours={self.neighbours} and "
                f"blur={self.blur}: choose pool and neighbours from 1, coreset above 0 and at most 1, blur from 0."
            )


class MemoryBank(nn.Module):
    """Normal patches, kept as deviations from their mean.

    Args:
        shapes: shape (channels, height, width) of each scale's maps, the names' order being finest first.
        samples: number of training samples.
        config: the settings.
        channels: of the maps, those that are taken.

    Raises:
        EndlineError: when a scale is not there.

    Example:
        >>> bank = MemoryBank({"scale_0": (6, 4, 4)}, 8, PatchcoreConfig(scales=(0,), coreset=0.25))
        >>> bank.bank.shape
        torch.Size([32, 6])
    """

    mean: Tensor
    bank: Tensor

    def __init__(self, shapes: Shapes, samples: int, config: PatchcoreConfig, channels: slice = slice(None)) -> None:
        super().__init__()
        self.names, self.channels = taken_scales("patchcore", config.scales, shapes), channels
        self.zero_padding = config.zero_padding
        self.height, self.width = shapes[self.names[0]][1:]
        share = config.dimensions // len(self.names)
        self.counts = [min(len(range(shapes[name][0])[channels]), share) for name in self.names]
        self.patches_in_all = samples * self.height * self.width
        self.pool = min(config.pool, self.patches_in_all)
        self.register_buffer("mean", torch.zeros(sum(self.counts)))
        self.register_buffer("bank", torch.zeros(max(1, round(config.coreset * self.pool)), sum(self.counts)))

    def patches(self, batch: Batch) -> Tensor:
        """Locally aware patch features of a batch, (batch * height * width, dimensions)."""
        raised = []
        for name, count in zip(self.names, self.counts, strict=True):
            maps = locally_averaged(batch[name][:, self.channels], zero_padding=self.zero_padding)
            if count < maps.shape[1]:  # groups of channels are averaged before the maps grow: the order is the same
                grouped = functional.adaptive_avg_pool1d(maps.flatten(2).mT, count).mT
                maps = grouped.reshape(len(maps), count, *maps.shape[2:])
            raised.append(brought_to(maps, (self.height, self.width)))
        return torch.cat(raised, 1).permute(0, 2, 3, 1).flatten(0, 2)

    def nearest(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Distance (n,) of patches (n, dimensions), taken from the mean, to the nearest of the bank, and its row."""
        distances, rows = [], []
        for part in torch.split(patches, max(1, CHUNK // len(self.bank))):
            row = self.comparison(part).argmin(1)
            # The products find the nearest; their rounding would be felt in small distances, which are taken anew.
            distances.append(torch.linalg.vector_norm(part - self.bank[row], dim=1))
            rows.append(row)
        return torch.cat(distances), torch.cat(rows)

    def comparison(self, patches: Tensor) -> Tensor:
        """Values (n, bank) in the order of the distances of the bank to each of the patches (n, dimensions)."""
        return torch.addmm(self.bank.square().sum(1) / 2, patches, self.bank.T, alpha=-1)


class Patchcore(Detector[PatchcoreConfig]):
    """Largest distance of a patch to the nearest normal patch of a memory bank.

    Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022 (arXiv 2106.08265). Patches are
    averaged over 3 x 3 positions, the bank is a greedy k-centre coreset, the score is weighted by the bank's density
    (equation 7). Published are layers 2 and 3 of WideResNet50 (strides 8 and 16), 1024 dimensions and coresets of
    25, 10 and 1 %. The published coreset is chosen from all patches; ours from a pool of at most `pool` of them, drawn
    evenly, so that memory stays bounded. The authors' program pads the border with zeros (`zero_padding`), and does not
    weight the score (`neighbours` 1). The published map is blurred by 4 pixels of the image, half a position at stride
    8; ours is blurred before it grows to the image.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"scale_0": (8, 3, 8, 8), "scale_1": (8, 4, 4, 4)}
        >>> features = FeatureSet({name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()})
        >>> detector = Patchcore(PatchcoreConfig())
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 8, 8])
    """

    Config = PatchcoreConfig
    default_modality = "rgb"  # it takes several scales
    model: MemoryBank

    def _build(self, shapes: Shapes, samples: int) -> MemoryBank:
        """The bank, empty."""
        return MemoryBank(shapes, samples, self.config)

    @torch.no_grad()
    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses. One pass over the samples, then the choice of the bank."""
        model, rng = self.model, np.random.default_rng(training.seed)
        chosen = torch.from_numpy(np.sort(rng.choice(model.patches_in_all, model.pool, replace=False)))
        pool, start, filled = model.bank.new_empty(model.pool, model.bank.shape[1]), 0, 0
        for batch in training.features.batches(BATCH):
            patches = model.patches(batch)
            inside = chosen[(chosen >= start) & (chosen < start + len(patches))] - start
            pool[filled : filled + len(inside)] = patches[inside.to(patches.device)]
            start, filled = start + len(patches), filled + len(inside)
        model.mean.copy_(pool.mean(0))
        pool -= model.mean
        model.bank.copy_(pool[k_centre(_projected(pool, rng), len(model.bank), int(rng.integers(len(pool))))])
        return ()

    def _score(self, batch: Batch) -> Scored:
        """Weighted largest distance (batch,), and the distances (batch, H, W) at the finest chosen scale, blurred."""
        model = self.model
        patches = model.patches(batch) - model.mean
        distances, rows = model.nearest(patches)
        samples = len(next(iter(batch.values())))
        anomaly_map = distances.reshape(samples, -1)
        largest, position = anomaly_map.max(1)
        worst = position + torch.arange(samples, device=position.device) * anomaly_map.shape[1]
        score = largest * self._weight(patches[worst], rows[worst])
        return Scored(score, _blurred(anomaly_map.reshape(samples, model.height, model.width), self.config.blur))

    def _weight(self, patches: Tensor, rows: Tensor) -> Tensor:
        """Weight (n,) of the distances of patches (n, dimensions) to their nearest rows of the bank (equation 7).

        One minus the share of exp(distance) that the nearest row has among its own nearest neighbours in the bank,
        itself included: the closer the neighbours are to the patch, the smaller.
        """
        bank = self.model.bank
        count = min(self.config.neighbours, len(bank))
        if count < 2:
            return torch.ones_like(patches[:, 0])
        order = self.model.comparison(bank[rows])
        order[
            torch.arange(len(rows), device=rows.device), rows
        ] = -torch.inf  # first comes the row itself, also among equal ones
        around = bank[order.topk(count, largest=False).indices]
        distances: Tensor = torch.linalg.vector_norm(patches[:, None] - around, dim=2)
        return 1 - distances.softmax(1)[:, 0]


def k_centre(points: Tensor, count: int, first: int) -> Tensor:
    """Rows (count,) of points (n, d), each the farthest from all before it, beginning with the row `first`.

    The greedy answer to the k-centre problem: the largest distance of a point to its nearest centre is at most twice
    the smallest possible. It costs count * n * d multiplications.

    Example:
        >>> k_centre(torch.tensor([[0.0], [1.0], [9.0], [5.0]]), 3, first=0).tolist()
        [0, 2, 3]
    """
    squares = points.square().sum(1)
    nearest = torch.full_like(squares, torch.inf)
    rows, new = [first], torch.tensor([first], device=points.device)
    while True:
        distances = torch.addmm(squares[:, None], points, points[new].T, alpha=-2) + squares[new]
        nearest = torch.minimum(nearest, distances.amin(1))
        nearest[new] = -torch.inf  # none is taken twice, however equal the points are
        if len(rows) == count:
            return torch.tensor(rows, device=points.device)
        # Distances to the nearest centre only shrink. So as long as one of the farthest points still has the bound
        # or more, the next centre is among these few, and all other points may learn of the new ones later, at once.
        far, candidates = nearest.topk(min(FARTHEST, len(points) - len(rows)))
        bound, picked = far[-1], []
        between = distances_between(points[candidates], points[candidates]).square()
        while len(rows) < count and far.max() >= bound > -torch.inf:
            pick = int(far.argmax())
            picked.append(pick)
            rows.append(int(candidates[pick]))
            far = torch.minimum(far, between[pick])
            far[pick] = -torch.inf
        new = candidates[torch.tensor(picked, device=candidates.device)]


def _projected(points: Tensor, rng: np.random.Generator) -> Tensor:
    """Points (n, d) in at most PROJECTED dimensions by a random projection that nearly keeps their distances."""
    if points.shape[1] <= PROJECTED:
        return points
    directions = rng.standard_normal((points.shape[1], PROJECTED)) / np.sqrt(PROJECTED)
    return points @ torch.from_numpy(directions).float().to(points.device)


def _blurred(maps: Tensor, deviation: float) -> Tensor:
    """Maps (n, H, W) smoothed by a Gaussian; beyond the border they go on as at the border."""
    if deviation == 0:
        return maps
    radius = int(np.ceil(4 * deviation))
    steps = torch.arange(-radius, radius + 1, device=maps.device)
    weights = torch.exp(-steps.square() / (2 * deviation**2)).to(maps.dtype)
    weights = weights / weights.sum()
    padded = functional.pad(maps[:, None], (radius,) * 4, mode="replicate")
    rows = functional.conv2d(padded, weights.view(1, 1, 1, -1))
    columns: Tensor = functional.conv2d(rows, weights.view(1, 1, -1, 1))
    return columns[:, 0]
