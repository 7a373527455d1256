"""What detectors on standardised pooled features share."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from endline.detectors.base import ConfigT, Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.statistics import BEYOND, CONSTANT, departure, pooled
from endline.feature_set import Batch

BATCH = 64


class PooledDetector(Detector[ConfigT]):
    """A closed form on the globally pooled features, each standardised by its training mean and deviation.

    A feature that is constant over the training samples becomes 0, since it has no deviation to be measured by; where
    it departs from what it was, the score of every method rises (`statistics.departure`). A method says which tensors
    it keeps (`empty`), how they are learned (`learned`) and what the score is (`anomaly`). All three are in float64,
    as scikit-learn computes, so that the scores are its own.

    Example:
        >>> class Norm(PooledDetector[None]):
        ...     def empty(self, features, samples):
        ...         return {}
        ...     def learned(self, vectors, seed):
        ...         return {}
        ...     def anomaly(self, vectors):
        ...         return vectors.norm(dim=1)
        >>> Norm(None).required
        ('scale',)
    """

    default_input_type = "hybrid"

    @abstractmethod
    def empty(self, features: int, samples: int) -> dict[str, Tensor]:
        """Tensors that the method keeps, in their shapes, for these numbers of features and training samples."""

    @abstractmethod
    def learned(self, vectors: Tensor, seed: int) -> dict[str, Tensor]:
        """The tensors of `empty`, learned from standardised vectors (samples, features), float64."""

    @abstractmethod
    def anomaly(self, vectors: Tensor) -> Tensor:
        """Score (batch,) of standardised vectors (batch, features), float64."""

    def _build(self, shapes: Shapes, samples: int) -> nn.Module:
        """Mean and gain (features,) of the standardisation, and the method's tensors."""
        features = sum(shape[0] for shape in shapes.values())
        model = nn.Module()
        for name in ("mean", "gain"):
            model.register_buffer(name, torch.zeros(features, dtype=torch.float64))
        for name, tensor in self.empty(features, samples).items():
            model.register_buffer(name, tensor)
        return model

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses."""
        vectors = torch.cat([pooled(batch) for batch in training.features.batches(BATCH)]).double()
        mean, deviation = vectors.mean(0), vectors.std(0, correction=0)
        gain = torch.where(deviation > CONSTANT * mean.abs(), 1 / deviation, 0.0)
        standardised = (vectors - mean) * gain
        self.model.load_state_dict({"mean": mean, "gain": gain, **self.learned(standardised, training.seed)})
        return ()

    def _score(self, batch: Batch) -> Scored:
        """The method's score, (batch,)."""
        mean, gain = self.model.get_buffer("mean"), self.model.get_buffer("gain")
        return Scored(self.anomaly((pooled(batch).double() - mean) * gain).float())

    def _beyond(self, batch: Batch) -> Tensor:
        """What features do that never changed in training, (batch,)."""
        mean, gain = self.model.get_buffer("mean"), self.model.get_buffer("gain")
        return BEYOND * departure(pooled(batch).double(), mean, (gain == 0).double())
