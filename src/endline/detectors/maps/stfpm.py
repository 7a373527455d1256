"""STFPM: a student learns a frozen teacher's feature pyramid on normal images, and fails on others."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from endline.backbones.architectures import STRIDES
from endline.backbones.networks import Backbone, Trunk
from endline.backbones.pyramids import fit_size
from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.trunks import backbone_of, parameters_below
from endline.detectors.scored import Scored
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch

Features = dict[int, Tensor]


@dataclass(frozen=True)
class STFPMConfig(TrainingSettings):
    """Settings of `STFPM`, and those of its training (`TrainingSettings`).

    Attributes:
        strides: whose maps are compared, of 8, 16 and 32; published: 4, 8 and 16 of ResNet18.
        size: images are made smaller until their shorter side has this many pixels.

    Example:
        >>> STFPMConfig().strides
        (8, 16)
    """

    strides: tuple[int, ...] = (8, 16)
    size: int = 128
    epochs: int = 10
    batch_size: int = 8
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.strides or not set(self.strides) <= set(STRIDES):
            raise EndlineError(f"stfpm has no strides {self.strides}: choose one or more of 8, 16, 32.")


class STFPM(Detector[STFPMConfig]):
    """Distance of a student's feature maps to its teacher's (Wang et al., "Student-Teacher Feature Pyramid Matching
    for Anomaly Detection", BMVC 2021).

    Both are the same network, the backbone that the preparation states. The teacher is frozen, loaded by its name and
    no part of the saved model; the student starts from random weights, and its last epoch counts (published: the
    epoch that is best on a validation set).

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> images = np.random.default_rng(0).random((2, 3, 32, 32)).astype("f4")
        >>> features, detector = FeatureSet({"image": images}), STFPM(STFPMConfig(strides=(8,), epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read()).map.shape
        torch.Size([2, 32, 32])
    """

    Config = STFPMConfig
    default_modality = "rgb"  # it reads the photograph itself
    required = ("image",)
    model: Trunk
    teacher: Backbone

    def _build(self, shapes: Shapes, samples: int) -> Trunk:
        """The untrained student; layers beyond the coarsest stride stay as they are."""
        self.teacher = backbone_of(self)
        student = Trunk(self.teacher.name, "random")
        used = parameters_below(student, max(self.config.strides))
        for parameter in student.parameters():
            parameter.requires_grad_(parameter in used)
        return student

    def loss(self, batch: Batch) -> Tensor:
        """Mean distance of a position, summed over the strides."""
        return torch.stack([distance.mean() for distance in self._distances(self._images(batch))]).sum()

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Train the student."""
        losses = train(self.model, self.loss, training, self.config)
        # The running averages of the batch norms lag behind the weights, the more so in a fit of few steps.
        update_bn((self._images(batch) for batch in training.features.batches(self.config.batch_size)), self.model)
        return losses

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,): the largest value of the map (batch, height, width), which has the size of the images that
        the networks see.
        """
        images = self._images(batch)
        anomaly_map = torch.ones_like(images[:, :1])
        for distance in self._distances(images):
            anomaly_map *= functional.interpolate(distance[:, None], size=images.shape[-2:], mode="bilinear")
        return Scored(anomaly_map.flatten(1).amax(1), anomaly_map[:, 0])

    def _images(self, batch: Batch) -> Tensor:
        return fit_size(batch["image"], self.config.size)

    def _distances(self, images: Tensor) -> list[Tensor]:
        """Half the squared distance of the features of unit length, in [0, 2], (n, height, width) a stride."""
        theirs, ours = self.teacher(images), self.model(images)
        # Cloned, because a tensor of inference mode cannot take part in a gradient.
        return [unit_distance(theirs[stride].clone(), ours[stride]) for stride in self.config.strides]


def unit_distance(first: Tensor, second: Tensor) -> Tensor:
    """Half the squared distance of maps (n, C, H, W) whose vectors are brought to length 1, (n, H, W)."""
    return 0.5 * (functional.normalize(first, dim=1) - functional.normalize(second, dim=1)).square().sum(1)
