"""PaDiM: a Gaussian of the features at every position."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.positions import SUMS, moments, parts, whitening
from endline.detectors.scored import Scored
from endline.errors import EndlineError
from endline.feature_set import Batch

JOINS = ("max", "mean")
CHUNK = 2**24  # float32 values of the features that are scored at once, 64 MB


@dataclass(frozen=True)
class PadimConfig:
    """Settings of `Padim`.

    Attributes:
        components: channels that are taken, drawn at random from those of all scales; all where there are fewer.
        regularisation: variance that is added to that of every channel.
        join: score of an image from its map, `max` or `mean`.

    Example:
        >>> PadimConfig().components
        64
    """

    components: int = 64
    regularisation: float = 0.01
    join: str = "max"

    def __post_init__(self) -> None:
        if self.join not in JOINS:
            raise EndlineError(f"padim has no join '{self.join}': choose one of {', '.join(JOINS)}.")
        if self.components < 1 or self.regularisation <= 0:
            raise EndlineError(
                f"padim has components={self.components} and regularisation={self.regularisation}: "
                "choose at least 1 component and a regularisation above 0."
            )


class PositionGaussians(nn.Module):
    """Mean and covariance of the drawn channels at each of the P positions of the finest scale.

    Coarser maps are brought to the finest scale by the nearest position, as published.

    Args:
        shapes: shape (channels, height, width) of each scale's maps, the names' order being finest first.
        components: channels that are drawn.

    Example:
        >>> model = PositionGaussians({"scale_0": (6, 4, 4)}, components=3)
        >>> model.whitening.shape
        torch.Size([16, 3, 3])
    """

    drawn: Tensor
    mean: Tensor
    whitening: Tensor

    def __init__(self, shapes: Shapes, components: int) -> None:
        super().__init__()
        self.sizes = {name: shapes[name] for name in sorted(shapes)}
        _, self.height, self.width = next(iter(self.sizes.values()))
        self.positions = self.height * self.width
        channels = sum(size[0] for size in self.sizes.values())
        count = min(components, channels)
        self.register_buffer("drawn", torch.zeros(channels, dtype=torch.bool))
        self.register_buffer("mean", torch.zeros(self.positions, count))
        self.register_buffer("whitening", torch.zeros(self.positions, count, count))

    def vectors(self, batch: Batch, positions: slice) -> Tensor:
        """Drawn channels of a batch at some positions p, (p, batch, components)."""
        position = torch.arange(positions.start, positions.stop, device=self.drawn.device)
        row, column = position // self.width, position % self.width
        channels = torch.split(self.drawn, [size[0] for size in self.sizes.values()])
        drawn = []
        for (name, (_, height, width)), own in zip(self.sizes.items(), channels, strict=True):
            here = row * height // self.height * width + column * width // self.width
            drawn.append(batch[name].flatten(2)[:, own][:, :, here])
        return torch.cat(drawn, 1).permute(2, 0, 1)


class Padim(Detector[PadimConfig]):
    """Mahalanobis distance of the features of all scales to the normal ones at the same position.

    Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization", 2021
    (arXiv 2011.08785). Published with 550 channels of WideResNet50 and 100 of ResNet18, at strides 4, 8 and 16; our
    backbones give 8, 16 and 32. The map is not blurred.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"scale_0": (8, 3, 8, 8), "scale_1": (8, 4, 4, 4)}
        >>> features = FeatureSet({name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()})
        >>> detector = Padim(PadimConfig(components=3))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 8, 8])
    """

    Config = PadimConfig
    model: PositionGaussians

    def _build(self, shapes: Shapes, samples: int) -> PositionGaussians:
        """Mean and whitening of every position, empty."""
        return PositionGaussians(shapes, self.config.components)

    @torch.no_grad()
    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses. One pass over the samples, or several where the sums would be too large."""
        model = self.model
        count = model.mean.shape[1]
        chosen = np.random.default_rng(training.seed).choice(len(model.drawn), count, replace=False)
        model.drawn.zero_()[torch.from_numpy(chosen).to(model.drawn.device)] = True
        for positions in parts(model.positions, count * count, SUMS):
            _, mean, covariance = moments(training.features, partial(model.vectors, positions=positions))
            model.mean[positions] = mean.float()
            model.whitening[positions] = whitening(covariance, self.config.regularisation)
        return ()

    def _score(self, batch: Batch) -> Scored:
        """Maximum (or mean) of the map, (batch,), and the map of distances (batch, H, W) at the finest scale."""
        model, samples = self.model, len(next(iter(batch.values())))
        distances = []
        for positions in parts(model.positions, samples * model.mean.shape[1], CHUNK):
            away = model.vectors(batch, positions) - model.mean[positions, None]
            white = model.whitening[positions] @ away.mT
            distances.append(torch.linalg.vector_norm(white, dim=1))
        anomaly_map = torch.cat(distances).T
        score = anomaly_map.amax(1) if self.config.join == "max" else anomaly_map.mean(1)
        return Scored(score, anomaly_map.reshape(samples, model.height, model.width))
