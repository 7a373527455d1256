"""CutPaste: a network learns to see pasted defects, a Gaussian then says what is normal in what it sees."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.backbones.networks import Trunk
from endline.backbones.pyramids import fit_size
from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.cutpaste_images import cut_paste, cut_paste_scar
from endline.detectors.maps.input_gradient import gradient_map, input_gradient
from endline.detectors.maps.trunks import parameters_below, pyramid_of
from endline.detectors.scored import Scored
from endline.detectors.statistics import shrunk_gaussian, squared_mahalanobis
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch

BATCH = 32
CLASSES = 3  # normal, CutPaste, CutPaste-Scar


@dataclass(frozen=True)
class CutPasteConfig(TrainingSettings):
    """Settings of `CutPaste`, and those of its training (`TrainingSettings`).

    Attributes:
        pretrained: whether the network, the backbone that the preparation states, starts from that one's weights; False
            starts from random ones, as published for the main figures.
        size: images are made smaller until their shorter side has this many pixels.
        frozen: number of the epochs that train the head alone.
        frozen_stride: layers up to the map of this stride stay as they are throughout; 0 = none.
        hidden: width of the projection head.
        shrinkage: of the Gaussian's covariance, see `shrunk_gaussian`.
        blur: standard deviation of the map's Gaussian in pixels of the smaller image.
        batch_size: samples a step, each of which gives three images.

    Example:
        >>> CutPasteConfig().pretrained
        True
    """

    pretrained: bool = True
    size: int = 128
    frozen: int = 1
    frozen_stride: int = 8
    hidden: int = 128
    shrinkage: float = 0.05
    blur: float = 3.0
    epochs: int = 5
    batch_size: int = 16
    learning_rate: float = 3e-4
    weight_decay: float = 3e-5
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frozen_stride not in (0, 8, 16):
            raise EndlineError(f"cutpaste has no frozen_stride={self.frozen_stride}: choose one of 0, 8, 16.")


class CutPasteNetwork(nn.Module):
    """Trunk, projection head, and the Gaussian of the embedding.

    Args:
        backbone: name of the network.
        hidden: width of the projection head.

    Example:
        >>> network = CutPasteNetwork("efficientnet_lite0", hidden=8)
        >>> network.embedding(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 320])
    """

    mean: Tensor
    precision: Tensor

    def __init__(self, backbone: str, hidden: int) -> None:
        super().__init__()
        self.trunk = Trunk(backbone, "random")
        self.stride = max(self.trunk.strides)
        size = self.trunk.strides[self.stride]
        self.head = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("precision", torch.zeros(size, size))

    def embedding(self, images: Tensor) -> Tensor:
        """Globally pooled coarsest map (n, features) of images (n, 3, H, W)."""
        embedding: Tensor = self.trunk(images)[self.stride].mean((2, 3))
        return embedding

    def distance(self, images: Tensor) -> Tensor:
        """Squared Mahalanobis distance of the embedding to that of normal images, (n,)."""
        return squared_mahalanobis(self.embedding(images) - self.mean, self.precision).sum(1)


class CutPaste(Detector[CutPasteConfig]):
    """Self-supervised features and a Gaussian (Li et al., "CutPaste: Self-Supervised Learning for Anomaly Detection
    and Localization", CVPR 2021), three-way: normal, CutPaste and CutPaste-Scar.

    A short fit leaves the batch norms close to the statistics of pretraining, which is wanted: statistics of one
    product's normal images level what shows its defects.

    The published maps come from a second network on patches. Ours is the gradient of the score to the image, as in
    DifferNet, at the size of the images that the network sees.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> images = np.random.default_rng(0).random((2, 3, 32, 32)).astype("f4")
        >>> features, detector = FeatureSet({"image": images}), CutPaste(CutPasteConfig(epochs=1, hidden=8))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read()).map.shape
        torch.Size([2, 32, 32])
    """

    Config = CutPasteConfig
    default_modality = "rgb"  # it reads the photograph itself
    required = ("image",)
    model: CutPasteNetwork

    def _build(self, shapes: Shapes, samples: int) -> CutPasteNetwork:
        """The network with random weights; pretrained ones come in with `_learn`, so that a saved model needs none."""
        model = CutPasteNetwork(pyramid_of(self).backbone, self.config.hidden)
        if self.config.frozen_stride:
            for parameter in parameters_below(model.trunk, self.config.frozen_stride):
                parameter.requires_grad_(False)
        return model

    def loss(self, batch: Batch) -> Tensor:
        """Cross entropy of the three classes; where the defects lie is drawn anew."""
        images = self._images(batch)
        return self._entropy(self.model.embedding(with_defects(images)))

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Train the head, then the network, then fit the Gaussian in closed form."""
        c, model = self.config, self.model
        if c.pretrained:
            pyramid = pyramid_of(self)
            model.trunk.load_state_dict(Trunk(pyramid.backbone, pyramid.weights).state_dict())
        frozen = min(c.frozen, c.epochs)
        losses: tuple[float, ...] = ()
        if frozen:
            model.eval()
            losses = train(model.head, self._head_loss, training.stage("head"), replace(c, epochs=frozen))
        if frozen < c.epochs:
            losses += train(model, self.loss, training, replace(c, epochs=c.epochs - frozen))
        model.eval()
        with torch.no_grad():
            vectors = torch.cat([model.embedding(self._images(batch)) for batch in training.features.batches(BATCH)])
        mean, precision = shrunk_gaussian(vectors.double(), c.shrinkage)
        model.mean.copy_(mean)
        model.precision.copy_(precision)
        return losses

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,), and map (batch, height, width) of the size of the images that the network sees."""
        scores, slopes = input_gradient(self.model.distance, self._images(batch))
        return Scored(scores, gradient_map(slopes, self.config.blur))

    def _images(self, batch: Batch) -> Tensor:
        return fit_size(batch["image"], self.config.size)

    def _head_loss(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            embedding = self.model.embedding(with_defects(self._images(batch)))
        return self._entropy(embedding)

    def _entropy(self, embedding: Tensor) -> Tensor:
        classes = torch.arange(CLASSES, device=embedding.device).repeat_interleave(len(embedding) // CLASSES)
        return functional.cross_entropy(self.model.head(embedding), classes)


def with_defects(images: Tensor) -> Tensor:
    """Images (n, 3, H, W), then the same with a pasted patch, then the same with a scar, (3 n, 3, H, W)."""
    return torch.cat([images, cut_paste(images), cut_paste_scar(images)])
