"""Principal components of whole cycles: what the training cycles do not span is anomalous."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import ElementDetector
from endline.detectors.cycles.signals import cycle_shape, measured, measured_batches
from endline.detectors.fitting import Training
from endline.detectors.standardisation import Standardisation
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet

RANK = 1e-10  # of the largest eigenvalue: what lies below is rounding


@dataclass(frozen=True)
class PCAConfig:
    """Settings of `PCA`.

    Attributes:
        components: principal components that are normal; one less than the training cycles where they are fewer.

    Example:
        >>> PCAConfig().components
        90
    """

    components: int = 90

    def __post_init__(self) -> None:
        if self.components < 1:
            raise EndlineError(f"pca has components={self.components}: choose at least 1.")


class Subspace(nn.Module):
    """Standardisation, the mean cycle and the principal components.

    Args:
        signals, steps: of a cycle.
        components: their number.

    Example:
        >>> model = Subspace(2, 10, components=3)
        >>> model.residual(torch.ones(1, 2, 10), torch.ones(1, 1, 10)).shape
        torch.Size([1, 2, 10])
    """

    def __init__(self, signals: int, steps: int, components: int) -> None:
        super().__init__()
        self.standardise = Standardisation(signals)
        self.mean: Tensor
        self.components: Tensor
        self.register_buffer("mean", torch.zeros(signals * steps))
        self.register_buffer("components", torch.zeros(components, signals * steps))

    def centred(self, values: Tensor, valid: Tensor) -> Tensor:
        """Standardised cycles, zero where padded, less the mean cycle: (batch, signals x steps)."""
        x: Tensor = self.standardise(values, valid)
        return x.flatten(1) - self.mean

    def residual(self, values: Tensor, valid: Tensor) -> Tensor:
        """What the components leave, (batch, signals, steps)."""
        x = self.centred(values, valid)
        return (x - (x @ self.components.T) @ self.components).view_as(values)

    def fit(self, features: FeatureSet) -> None:
        """Eigenvectors of the covariance through those of the Gram matrix, n x n for n training cycles.

        A cycle may have more values than memory holds vectors of that length, so that the matrix is made from pairs
        of batches: the cycles are read again for every batch of rows.
        """
        self.standardise.fit(measured_batches(features))
        none = torch.zeros(1, device=self.mean.device).double()
        self.mean.zero_()
        self.mean = (sum((x.sum(0) for _, x in self._parts(features)), none) / len(features)).float()
        gram = torch.zeros(len(features), len(features), device=self.mean.device).double()
        for rows, x in self._parts(features):
            for columns, y in self._parts(features):
                if columns.start > rows.start:
                    break
                products = x @ y.T
                gram[rows, columns], gram[columns, rows] = products, products.T
        values, vectors = (part.flip(-1)[..., : len(self.components)] for part in torch.linalg.eigh(gram))
        spanned = values > max(RANK * float(values[0]), 1e-12)
        weights = torch.where(spanned, vectors / values.clamp(min=1e-12).sqrt(), 0.0)
        self.components = sum((weights[rows].T @ x for rows, x in self._parts(features)), none).float()

    def _parts(self, features: FeatureSet) -> Iterator[tuple[slice, Tensor]]:
        """Rows of the training cycles, and these, centred, in float64."""
        start = 0
        for pair in measured_batches(features):
            x = self.centred(*pair).double()
            yield slice(start, start + len(x)), x
            start += len(x)


class PCA(ElementDetector[PCAConfig]):
    """Mean squared residual of a cycle's standardised signals, outside the principal components of good ones.

    Hornung et al., "Model-free robot anomaly detection", IROS 2014, on whole cycles as by Rudolph 2024, section 8.2.1
    (90 components). Padding is projected as measured zeros, as published; the residual counts at valid elements
    alone, and its square is the map.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = PCA(PCAConfig(components=3))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 2, 20])
    """

    Config = PCAConfig
    model: Subspace

    def _build(self, shapes: Shapes, samples: int) -> Subspace:
        """A subspace of nothing."""
        return Subspace(*cycle_shape(shapes), min(self.config.components, samples - 1))

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses."""
        self.model.fit(training.features)
        return ()

    def elements(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Squared residuals (batch, signals, steps), 0 where padded, and the mask (batch, 1, steps)."""
        values, valid = measured(batch)
        return self.model.residual(values, valid).square() * valid, valid
