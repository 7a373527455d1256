"""The better of the two detectors with outlier exposure, chosen without a test label."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.kept_back import kept_back
from endline.detectors.scored import Scored
from endline.detectors.sound.autoencoder_outlier_exposure import AutoencoderOutlierExposure
from endline.detectors.sound.dense_autoencoder import DenseAutoencoderConfig
from endline.detectors.sound.mobilenet_outlier_exposure import MobilenetOutlierExposure, MobilenetOutlierExposureConfig
from endline.detectors.sound.outlier_exposure import required_outliers
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet

BATCH = 16
DIGITS = 2  # of the AUROC: smaller differences are chance


@dataclass(frozen=True)
class BestOfConfig:
    """Settings of `BestOf`; what it does not name is as in the two detectors' own settings.

    Attributes:
        share: of the target's clips (of each domain) and of the outliers that is kept back to choose by.
        hidden, windows: of the autoencoder.
        autoencoder_epochs, autoencoder_min_steps, autoencoder_batch_size, autoencoder_learning_rate,
        autoencoder_schedule, autoencoder_clip_norm: of its training.
        size, frozen_stride: of the network of pictures.
        mobilenet_epochs, mobilenet_min_steps, mobilenet_batch_size, mobilenet_learning_rate: of its training.

    Example:
        >>> BestOfConfig(mobilenet_epochs=3).members["mobilenet"].epochs
        3
    """

    share: float = 0.2
    hidden: int = 128
    windows: int = 32
    autoencoder_epochs: int = 80
    autoencoder_min_steps: int = 2000
    autoencoder_batch_size: int = 16
    autoencoder_learning_rate: float = 1e-3
    autoencoder_schedule: str = "one_cycle"
    autoencoder_clip_norm: float = 1.0
    size: int = 160
    frozen_stride: int = 8
    mobilenet_epochs: int = 5
    mobilenet_min_steps: int = 100
    mobilenet_batch_size: int = 8
    mobilenet_learning_rate: float = 3e-4

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise EndlineError(f"best_of has share={self.share}: choose one between 0 and 1.")

    @property
    def members(self) -> Mapping[str, Any]:
        """Settings of the two detectors by name."""
        autoencoder = DenseAutoencoderConfig(
            hidden=self.hidden,
            windows=self.windows,
            epochs=self.autoencoder_epochs,
            min_steps=self.autoencoder_min_steps,
            batch_size=self.autoencoder_batch_size,
            learning_rate=self.autoencoder_learning_rate,
            schedule=self.autoencoder_schedule,
            clip_norm=self.autoencoder_clip_norm,
        )
        mobilenet = MobilenetOutlierExposureConfig(
            size=self.size,
            frozen_stride=self.frozen_stride,
            epochs=self.mobilenet_epochs,
            min_steps=self.mobilenet_min_steps,
            batch_size=self.mobilenet_batch_size,
            learning_rate=self.mobilenet_learning_rate,
        )
        return {"autoencoder": autoencoder, "mobilenet": mobilenet}


class BestOf(Detector[BestOfConfig]):
    """The autoencoder or the network of pictures, whichever tells kept-back outliers from kept-back normals better.

    Kazakova et al. 2022 (DCASE Task 2), section 2: the third submission takes the better of its two systems for each
    machine; the report chose by the development set's labels. Here a share of the target's normal clips and of the
    outliers is kept back from both fits. The rule: the higher AUROC of those outliers against those normals, rounded
    to two digits; where they tie, as they do wherever another machine is easily told, the one whose normals are
    narrower: their scores' standard deviation over the distance of the two means. What was chosen is used as it was
    fitted, without the share. `model.auroc` and `model.width` hold the figures, autoencoder first, and `model.chosen`
    the number of the one that scores and draws the map.

    Example:
        >>> from endline.detectors.progress import Progress
        >>> rng = np.random.default_rng(0)
        >>> def clips(shift):
        ...     arrays = {"log_mel": rng.random((5, 16, 20)) + shift, "stft": rng.random((5, 1, 32, 32)) + shift}
        ...     return FeatureSet({name: array.astype("f4") for name, array in arrays.items()})
        >>> epochs = {"autoencoder_epochs": 1, "mobilenet_epochs": 1}
        >>> steps = {"autoencoder_min_steps": 0, "mobilenet_min_steps": 0}
        >>> detector = BestOf(BestOfConfig(hidden=8, **epochs, **steps))
        >>> target = clips(0.0)
        >>> history = detector.fit(target, seed=0, progress=Progress(), outliers=clips(1.0))
        >>> detector.score(target.read([0, 1])).score.shape
        torch.Size([2])
    """

    Config = BestOfConfig
    required = ("log_mel", "stft")
    optional = ("stft_shifted",)
    uses_outliers = True

    def _build(self, shapes: Shapes, samples: int) -> nn.Module:
        """Both networks, and the figures of the choice."""
        config = self.config.members
        self.members: dict[str, Detector[Any]] = {
            "autoencoder": AutoencoderOutlierExposure(config["autoencoder"], self.compute),
            "mobilenet": MobilenetOutlierExposure(config["mobilenet"], self.compute),
        }
        model = self._assembled(self.members, shapes, samples)
        model.register_buffer("chosen", torch.tensor(0))
        for figure in ("auroc", "width"):
            model.register_buffer(figure, torch.zeros(len(self.members)))
        return model

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Fit both without what is kept back, and choose by that."""
        outliers = required_outliers(training, "best_of")
        back = kept_back(training.rows, self.config.share, training.seed)
        others = kept_back(pd.DataFrame({"sample_id": range(len(outliers))}), self.config.share, training.seed)
        rest, rest_of_outliers = np.flatnonzero(~back), np.flatnonzero(~others)
        losses: tuple[float, ...] = ()
        figures: list[tuple[float, float]] = []
        for name, member in self.members.items():
            features, known = (each.only(member.required, member.optional) for each in (training.features, outliers))
            given = replace(
                training,
                features=features.take(rest),
                rows=training.rows.iloc[rest].reset_index(drop=True),
                outliers=known.take(rest_of_outliers),
            )
            losses += member._learn(given.stage(name))
            normal = _scores(member, features.take(np.flatnonzero(back)))
            anomalous = _scores(member, known.take(np.flatnonzero(others)))
            figures.append((auroc(normal, anomalous), width(normal, anomalous)))
        for name, values in zip(("auroc", "width"), zip(*figures, strict=True), strict=True):
            self.model.get_buffer(name).copy_(torch.tensor(values))
        self.model.get_buffer("chosen").fill_(better(figures))
        return losses

    def _score(self, batch: Batch) -> Scored:
        """Score and map of the one that was chosen."""
        return list(self.members.values())[int(self.model.get_buffer("chosen"))]._score(batch)


@torch.no_grad()
def _scores(detector: Detector[Any], features: FeatureSet) -> Tensor:
    detector.model.eval()
    return torch.cat([detector._score(batch).score for batch in features.batches(BATCH)]).double().cpu()


def better(figures: list[tuple[float, float]]) -> int:
    """Number of the best of several pairs (AUROC, width): the higher AUROC, of equal ones the narrower.

    Example:
        >>> better([(0.9991, 0.5), (1.0, 0.2)]), better([(0.95, 0.5), (0.90, 0.2)])
        (1, 0)
    """
    return min(range(len(figures)), key=lambda each: (-round(figures[each][0], DIGITS), figures[each][1]))


def auroc(normal: Tensor, anomalous: Tensor) -> float:
    """Share of the pairs of scores (n,) and (m,) in which the anomalous one is larger; equal ones count half.

    Example:
        >>> auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
        0.875
    """
    difference = anomalous[:, None] - normal
    return float(((difference > 0).double() + (difference == 0).double() / 2).mean())


def width(normal: Tensor, anomalous: Tensor) -> float:
    """Standard deviation of scores (n,) of normals over the distance of their mean to that of others (m,).

    Example:
        >>> width(torch.tensor([0.0, 2.0]), torch.tensor([4.0, 6.0]))
        0.25
    """
    gap = (anomalous.mean() - normal.mean()).abs().clamp(min=1e-12)
    return float(normal.std(correction=0) / gap)
