"""A network of images that learns to tell one machine's spectrograms from another's."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.backbones.networks import Trunk
from endline.backbones.pyramids import fit_size
from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.input_gradient import gradient_map, input_gradient
from endline.detectors.maps.trunks import parameters_below, pyramid_of
from endline.detectors.scored import Scored
from endline.detectors.sound.outlier_exposure import drawn_samples, required_outliers
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet

BATCH = 16


@dataclass(frozen=True)
class MobilenetOutlierExposureConfig(TrainingSettings):
    """Settings of `MobilenetOutlierExposure`, and those of its training (`TrainingSettings`).

    Attributes:
        size: pictures are made smaller until their shorter side has this many pixels.
        frozen_stride: layers up to the map of this stride stay as they were pretrained; 0 = none.
        alpha: of the published threshold, from 0 to 1; published 0.04.
        blur: standard deviation of the map's Gaussian in pixels of the smaller picture.
        batch_size: target clips a step, beside as many outliers.

    Example:
        >>> MobilenetOutlierExposureConfig().alpha
        0.04
    """

    size: int = 160
    frozen_stride: int = 8
    alpha: float = 0.04
    blur: float = 3.0
    epochs: int = 5
    min_steps: int = 100
    batch_size: int = 8
    learning_rate: float = 3e-4
    weight_decay: float = 3e-5
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frozen_stride not in (0, 8, 16) or not 0 <= self.alpha <= 1:
            raise EndlineError(
                f"mobilenet_outlier_exposure has frozen_stride={self.frozen_stride} and alpha={self.alpha}: "
                "choose a stride of 0, 8, 16, and an alpha from 0 to 1."
            )


class TargetNetwork(nn.Module):
    """Trunk, and the log-odds that a picture shows the target machine.

    The batch norms keep the statistics of pretraining, in training too: those of a few machines' pictures would be
    other ones with every batch, and none of a tested clip's.

    Args:
        backbone: name of the network.
        frozen_stride: layers up to the map of this stride are not trained; 0 = none.

    Example:
        >>> TargetNetwork("efficientnet_lite0", frozen_stride=8)(torch.zeros(2, 1, 64, 64)).shape
        torch.Size([2])
    """

    threshold: Tensor

    def __init__(self, backbone: str, frozen_stride: int) -> None:
        super().__init__()
        self.trunk = Trunk(backbone, "random")
        self.stride = max(self.trunk.strides)
        self.head = nn.Linear(self.trunk.strides[self.stride], 1)
        self.register_buffer("threshold", torch.zeros(()))
        if frozen_stride:
            for parameter in parameters_below(self.trunk, frozen_stride):
                parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """As torch's, but for the trunk's batch norms."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        """Log-odds of the target (n,) of pictures (n, 1, H, W)."""
        odds: Tensor = self.head(self.trunk(pictures)[self.stride].mean((2, 3)))
        return odds[:, 0]


class MobilenetOutlierExposure(Detector[MobilenetOutlierExposureConfig]):
    """Minus the log-odds that a clip's spectrogram shows the target machine rather than another one.

    Kazakova et al., "Anomalous Sound Detection with Autoencoder and Image MobileNet Using Outlier Exposure Approach",
    DCASE 2022, sections 2.1 and 2.2: a network pretrained on photographs is fine-tuned to tell pictures of the STFT
    of the target's normal clips, and of their pitch-shifted and time-stretched copies, from pictures of another
    machine's. The network is the backbone that the preparation states: EfficientNet-Lite0, whose weights are
    packaged; published is MobileNetV2. In each pass one picture of a clip, itself or one of its copies, is drawn, and
    as many outliers are.

    Published is the probability p of the target; the score here is log((1 - p) / p), which gives clips the same order
    and tells the surest apart, where p is 1 in float32. The published threshold, (1 - alpha) x mean p of the training
    pictures (equation 2), is kept in `model.threshold`: a clip is published as anomalous where
    `sigmoid(-score) < threshold`. The station's verdict is the conformal one. The map is the gradient of the score to
    the picture, at the size that the network sees.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> pictures = np.random.default_rng(0).random((2, 4, 1, 32, 32)).astype("f4")
        >>> target, other = (FeatureSet({"stft": each}) for each in pictures)
        >>> detector = MobilenetOutlierExposure(MobilenetOutlierExposureConfig(epochs=1, min_steps=0))
        >>> history = detector.fit(target, seed=0, progress=Progress(), outliers=other)
        >>> scored = detector.score(target.read([0, 1]))
        >>> (torch.sigmoid(-scored.score) < detector.model.threshold).shape, scored.map.shape
        (torch.Size([2]), torch.Size([2, 32, 32]))
    """

    Config = MobilenetOutlierExposureConfig
    required = ("stft",)
    optional = ("stft_shifted",)
    uses_outliers = True
    model: TargetNetwork

    def _build(self, shapes: Shapes, samples: int) -> TargetNetwork:
        """The network with random weights; pretrained ones come in with `_learn`, so that a saved model needs none."""
        return TargetNetwork(pyramid_of(self).backbone, self.config.frozen_stride)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Fine-tune on pictures of both machines, then take the published threshold from the target's."""
        outliers = required_outliers(training, "mobilenet_outlier_exposure").only(("stft",))
        pyramid = pyramid_of(self)
        self.model.trunk.load_state_dict(Trunk(pyramid.backbone, pyramid.weights).state_dict())

        def loss(batch: Batch) -> Tensor:
            return self.loss(batch, drawn_samples(outliers, len(batch["stft"])))

        losses = train(self.model, loss, training, self.config)
        self.model.threshold.copy_((1 - self.config.alpha) * self._mean_probability(training.features))
        return losses

    def loss(self, batch: Batch, outliers: Batch | None = None) -> Tensor:
        """Cross entropy of target and outlier, over one drawn picture of each target clip and those of the outliers."""
        target = drawn_picture(batch)
        pictures = target if outliers is None else torch.cat([target, outliers["stft"]])
        odds = self.model(fit_size(pictures, self.config.size))
        odds[len(target) :] *= -1
        return functional.softplus(-odds).mean()

    @torch.no_grad()
    def _mean_probability(self, features: FeatureSet) -> Tensor:
        """Mean probability of the target, over the clips themselves."""
        batches = features.only(("stft",)).batches(BATCH)
        odds = torch.cat([self.model(fit_size(batch["stft"], self.config.size)) for batch in batches])
        return odds.sigmoid().mean()

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,), and map (batch, height, width) of the size of the pictures that the network sees."""
        pictures = fit_size(batch["stft"], self.config.size)

        def drawn() -> Tensor:
            return gradient_map(input_gradient(self._anomaly, pictures)[1], self.config.blur)

        return Scored(torch.cat([self._anomaly(some) for some in torch.split(pictures, BATCH)]), drawn)

    def _anomaly(self, pictures: Tensor) -> Tensor:
        odds: Tensor = self.model(pictures)
        return -odds


def drawn_picture(batch: Batch) -> Tensor:
    """One picture (n, 1, H, W) of each clip: itself or, where there are any, one of its copies, each as likely.

    Example:
        >>> drawn_picture({"stft": torch.zeros(2, 1, 8, 8), "stft_shifted": torch.zeros(2, 3, 8, 8)}).shape
        torch.Size([2, 1, 8, 8])
    """
    if "stft_shifted" not in batch:
        return batch["stft"]
    pictures = torch.cat([batch["stft"], batch["stft_shifted"]], 1)
    chosen = torch.randint(pictures.shape[1], (len(pictures),), device=pictures.device)
    picture = chosen[:, None, None, None].expand(-1, 1, *pictures.shape[2:])
    return pictures.gather(1, picture)
