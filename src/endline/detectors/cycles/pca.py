"""Principal components of whole cycles: what the training cycles do not span is anomalous."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Shapes
from endline.detectors.cycles.signals import ElementDetector, Standardisation, cycle_shape, measured, measured_batches
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet

RANK = 1e-10  # of the largest eigenvalue: what lies below is rounding


@dataclass(frozen=True)
class PCAConfig:
    """Settings of `PCA`.

    Attributes:
        components: principal components that are normal; one less than the training cycles where they are fewer.
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

    def fit(self, train_set: FeatureSet) -> None:
        """Eigenvectors of the covariance through those of the Gram matrix, n x n for n training cycles.

        A cycle may have more values than memory holds vectors of that length, so that the matrix is made from pairs
        of batches: the cycles are read again for every batch of rows.
        """
        self.standardise.fit(measured_batches(train_set))
        none = torch.zeros(1).double()
        self.mean.zero_()
        self.mean = (sum((x.sum(0) for _, x in self._parts(train_set)), none) / len(train_set)).float()
        gram = torch.zeros(len(train_set), len(train_set)).double()
        for rows, x in self._parts(train_set):
            for columns, y in self._parts(train_set):
                if columns.start > rows.start:
                    break
                products = x @ y.T
                gram[rows, columns], gram[columns, rows] = products, products.T
        values, vectors = (part.flip(-1)[..., : len(self.components)] for part in torch.linalg.eigh(gram))
        spanned = values > max(RANK * float(values[0]), 1e-12)
        weights = torch.where(spanned, vectors / values.clamp(min=1e-12).sqrt(), 0.0)
        self.components = sum((weights[rows].T @ x for rows, x in self._parts(train_set)), none).float()

    def _parts(self, train_set: FeatureSet) -> Iterator[tuple[slice, Tensor]]:
        """Rows of the training cycles, and these, centred, in float64."""
        start = 0
        for pair in measured_batches(train_set):
            x = self.centred(*pair).double()
            yield slice(start, start + len(x)), x
            start += len(x)


class PCA(ElementDetector[PCAConfig]):
    """Mean squared residual of a cycle's standardised signals, outside the principal components of good ones.

    Hornung et al., "Model-free robot anomaly detection", IROS 2014, on whole cycles as by Rudolph 2024, section 8.2.1
    (90 components). Padding is projected as measured zeros, as published; the residual counts at valid elements
    alone, and its square is the map.
    """

    Config = PCAConfig
    model: Subspace

    def build(self, shapes: Shapes, samples: int) -> Subspace:
        """A subspace of nothing."""
        return Subspace(*cycle_shape(shapes), min(self.config.components, samples - 1))

    def learn(self, train: FeatureSet, *, seed: int, progress: Progress) -> tuple[float, ...]:
        """Closed form; no losses."""
        self.model.fit(train)
        return ()

    def elements(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Squared residuals (batch, signals, steps), 0 where padded, and the mask (batch, 1, steps)."""
        values, valid = measured(batch)
        return self.model.residual(values, valid).square() * valid, valid
