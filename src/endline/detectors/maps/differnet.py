"""DifferNet: a normalizing flow on the pooled features of rotated views."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from endline.backbones.networks import Backbone
from endline.backbones.pyramids import pooled_pyramid
from endline.backbones.views import rotate, rotated_views
from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.input_gradient import gradient_map, input_gradient
from endline.detectors.maps.trunks import backbone_of, pyramid_of
from endline.detectors.scored import Scored
from endline.detectors.statistics import full_digits
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch
from endline.flows.base import Maps
from endline.flows.coupling import CouplingBlock, CouplingFlow
from endline.flows.whitening import ShrunkWhitening

BATCH = 64
WHITENED = 2048  # vectors that a whitening is fitted on at most: its time grows with their cube
SCORES = ("latent", "likelihood", "mahalanobis")


@dataclass(frozen=True)
class DifferNetConfig(TrainingSettings):
    """Settings of `DifferNet`, and those of its training (`TrainingSettings`).

    Attributes:
        whiten: False feeds the features to the flow as they are, as published.
        components: directions of the whitening that have a variance of their own; 0 = all.
        blocks: coupling blocks.
        hidden: width of the three hidden layers of a subnet.
        alpha: bound of the log-scale.
        gamma: let the flow start as the identity, as CS-Flow does.
        views_per_step: views of a sample in a step, drawn afresh each time.
        score_views: views that are scored, evenly spaced, the first of them the image as it is; 0 = all.
        score: `latent` (mean of z^2, over the views too), `likelihood` (negative log-likelihood a dimension), or
            `mahalanobis`: how far the mean latent of a sample's views lies from those of the training samples.
        map_views: rotated views of the image whose gradients make the anomaly map, each as expensive as a training
            step of the backbone; 0 = no map, and no images are read.
        blur: standard deviation of the map's Gaussian in pixels of the image.
        input_type: pyramid that the views are pooled from where the station's is `auto`.

    Example:
        >>> DifferNetConfig().map_views
        4
    """

    min_epochs: ClassVar[int] = 0  # its start is a detector already
    whiten: bool = True
    components: int = 128
    blocks: int = 8
    hidden: int = 256
    alpha: float = 3.0
    gamma: bool = False
    views_per_step: int = 4
    score_views: int = 0
    score: str = "latent"
    map_views: int = 4
    blur: float = 3.0
    input_type: str = "cross_scale"
    epochs: int = 16
    batch_size: int = 24
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.8, 0.8)
    eps: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score not in SCORES:
            raise EndlineError(f"differnet has no score '{self.score}': choose one of {', '.join(SCORES)}.")
        if self.score_views < 0:
            raise EndlineError(f"differnet has score_views={self.score_views}: give a number of views, or 0 for all.")


class DenseSubnet(nn.Module):
    """Three hidden layers with ReLU, for the one scale of a vector.

    Args:
        inputs, outputs: length of the vectors that come in and go out, as lists of one.
        hidden: width of the layers.

    Example:
        >>> (out,) = DenseSubnet([6], [4], hidden=8)((torch.zeros(2, 6),))
        >>> out.shape
        torch.Size([2, 4])
    """

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int], hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (inputs[0], hidden, hidden):
            layers += [nn.Linear(width, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, outputs[0]))

    def forward(self, x: Maps) -> Maps:
        """One tensor (batch, outputs) of one tensor (batch, inputs)."""
        return (self.layers(x[0]),)


class VectorFlow(nn.Module):
    """Whitening, then a flow of coupling blocks on vectors.

    Args:
        length: of a vector.
        samples: number of training samples.
        views: vectors of a sample.
        config: the settings.

    Example:
        >>> flow = VectorFlow(6, samples=8, views=2, config=DifferNetConfig(hidden=4, blocks=1, components=3))
        >>> z, log_det = flow(torch.zeros(2, 6))
        >>> z.shape, log_det.shape
        (torch.Size([2, 6]), torch.Size([2]))
    """

    def __init__(self, length: int, samples: int, views: int, config: DifferNetConfig) -> None:
        super().__init__()
        self.whitening: nn.Module = nn.Identity()
        if config.whiten:
            self.whitening = ShrunkWhitening(length, min(samples * views, WHITENED), config.components)

        def subnet(inputs: Sequence[int], outputs: Sequence[int]) -> DenseSubnet:
            return DenseSubnet(inputs, outputs, config.hidden)

        block = partial(CouplingBlock, [length], subnet, alpha=config.alpha, gamma=config.gamma)
        self.flow = CouplingFlow([block() for _ in range(config.blocks)])
        self.mean_latent: ShrunkWhitening | None = None
        if config.score == "mahalanobis":
            self.mean_latent = ShrunkWhitening(length, min(samples, WHITENED))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (n, length) and log-determinants (n,) of vectors (n, length)."""
        with full_digits(vectors):
            whitened = self.whitening(vectors)
        (z,), log_det = self.flow((whitened,))
        return z, log_det


class DifferNet(Detector[DifferNetConfig]):
    """Likelihood of pooled features under a flow, averaged over rotations (Rudolph 2024, chapter 4; WACV 2021).

    The published program turns every image by new random angles in each step. Here an image has as many views as the
    feature set holds, at fixed angles i * 360 / views, so that the backbone runs once instead of in every epoch: the
    price of training on two processor cores. A step draws `views_per_step` of them.

    In front of the flow stands a whitening with a shrunk covariance, which makes few epochs enough. It keeps every
    direction: principal components alone would miss what deviates where normal samples do not vary.

    The published score is the mean of z^2 over latents and views. `mahalanobis` is ours: what the views have in common
    is kept apart from what differs by the turn, and latents that the training left correlated are taken as they are.

    The anomaly map is the gradient of the negative log-likelihood to the image. It runs through the backbone that the
    views were made with, which is loaded by its name and is no part of the saved model.

    Example:
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> views = np.random.default_rng(0).standard_normal((8, 4, 6)).astype("f4")
        >>> features = FeatureSet({"views": views})
        >>> detector = DifferNet(DifferNetConfig(hidden=4, blocks=1, components=3, epochs=1, map_views=0))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).score.shape
        torch.Size([2])
    """

    Config = DifferNetConfig
    default_modality = "rgb"  # it turns the photograph
    model: VectorFlow
    backbone: Backbone | None

    @property
    def required(self) -> tuple[str, ...]:
        """The views, and the images where a map is drawn."""
        return ("views", "image") if self.config.map_views else ("views",)

    def _build(self, shapes: Shapes, samples: int) -> VectorFlow:
        """The flow, and the backbone of the map.

        Raises:
            EndlineError: when a map is wanted and the backbone has no weights or makes other features.
        """
        c, (views, length) = self.config, shapes["views"]
        model = VectorFlow(length, samples, views, c)  # before the backbone, which draws at random too
        pyramid = pyramid_of(self)
        self.backbone = backbone_of(self) if c.map_views else None
        if self.backbone is not None:
            image = torch.zeros(1, *shapes["image"], device=self.backbone.device)
            made = pooled_pyramid(image, self.backbone, pyramid.input_type).shape[1]
            if made != length:
                raise EndlineError(
                    f"The views have {length} features, and {pyramid.backbone} with input_type={pyramid.input_type} "
                    f"makes {made}: fit with the pyramid that the views were made with, or set map_views to 0."
                )
        return model

    def loss(self, batch: Batch) -> Tensor:
        """Mean negative log-likelihood a dimension of some views of each sample, drawn anew (equation 4.11)."""
        count, views = batch["views"].shape[:2]
        drawn = torch.rand(count, views, device=batch["views"].device).argsort(1)[:, : self.config.views_per_step]
        chosen = batch["views"].gather(1, drawn[:, :, None].expand(-1, -1, batch["views"].shape[2]))
        return self._negative_log_likelihood(chosen.flatten(0, 1)).mean()

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Fit the whitening in closed form, on all views or those of some samples drawn, then train the flow."""
        views = training.features.only(("views",))
        if isinstance(self.model.whitening, ShrunkWhitening):
            drawn = np.random.default_rng(training.seed).permutation(len(views))[
                : -(-WHITENED // views.shapes["views"][0])
            ]
            vectors = torch.cat([batch["views"].flatten(0, 1) for batch in views.batches(BATCH, drawn)])
            self.model.whitening.fit(vectors[:WHITENED])
        losses = train(self.model, self.loss, replace(training, features=views), self.config, static=True)
        if self.model.mean_latent is not None:
            some = np.random.default_rng(training.seed).permutation(len(views))[:WHITENED]
            with torch.no_grad():
                means = [self._mean_latents(self._scored(batch["views"])) for batch in views.batches(BATCH, some)]
            self.model.mean_latent.fit(torch.cat(means))
        return losses

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,), and map (batch, H, W) of the image's size."""
        score, backbone = self._scores(self._scored(batch["views"])), self.backbone
        return Scored(score, None if backbone is None else lambda: self._map(batch["image"], backbone))

    def _scored(self, views: Tensor) -> Tensor:
        """Those of the views (batch, views, length) that are scored; all of them where there are fewer."""
        count = views.shape[1]
        wanted = min(self.config.score_views or count, count)
        if wanted == count:  # no copy
            return views
        return views[:, [index * count // wanted for index in range(wanted)]]

    def _scores(self, views: Tensor) -> Tensor:
        """(batch,) of views (batch, views, length)."""
        if self.model.mean_latent is not None:
            away: Tensor = self.model.mean_latent(self._mean_latents(views))
            return away.square().mean(1)
        vectors = views.flatten(0, 1)
        if self.config.score == "likelihood":
            values = self._negative_log_likelihood(vectors)
        else:
            values = self.model(vectors)[0].square().mean(1)
        return values.view(views.shape[:2]).mean(1)

    def _mean_latents(self, views: Tensor) -> Tensor:
        """Mean latent (batch, length) of the views (batch, views, length)."""
        latents: Tensor = self.model(views.flatten(0, 1))[0].unflatten(0, views.shape[:2]).mean(1)
        return latents

    def _map(self, images: Tensor, backbone: Backbone) -> Tensor:
        """Mean of the views' gradient maps turned back, over the views that show the pixel, (batch, H, W)."""
        input_type = pyramid_of(self).input_type

        def nll(view: Tensor) -> Tensor:
            features = pooled_pyramid(view, backbone, input_type, differentiable=True)
            return self._negative_log_likelihood(features)

        count = self.config.map_views
        total, seen = torch.zeros_like(images[:, :1]), torch.zeros_like(images[:1, :1])
        for index, view in enumerate(rotated_views(images, count)):
            drawn = gradient_map(input_gradient(nll, view)[1], self.config.blur)
            total += rotate(drawn[:, None], -index * 360 / count)
            seen += rotate(torch.ones_like(seen), -index * 360 / count)
        return (total / seen)[:, 0]

    def _negative_log_likelihood(self, vectors: Tensor) -> Tensor:
        """Of vectors (n, length), a dimension, without its constant, (n,) (equation 4.11)."""
        z, log_det = self.model(vectors)
        value: Tensor = (0.5 * z.square().sum(1) - log_det) / z.shape[1]
        return value
