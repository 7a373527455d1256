"""AEGAN-AD: an autoencoder as the generator of a GAN, and what its discriminator sees in a clip."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from endline.detectors.adversarial import MATCHED, feature_matching, gradient_penalty
from endline.detectors.base import Shapes
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.sound.gan_scores import VARIANTS, EmbeddingScores, RankAverage, aggregated, window_errors
from endline.detectors.sound.spectrogram_windows import BATCH, by_window
from endline.detectors.sound.window_gan import ARRAY, Adversaries, WindowGAN, WindowGANConfig, trunk_of
from endline.detectors.strided_trunks import Autoencoder
from endline.errors import EndlineError
from endline.feature_set import Batch

SCORES = (*VARIANTS, "rank_average")


@dataclass(frozen=True)
class AEGANConfig(WindowGANConfig):
    """Settings of `AEGAN`, and those that adversarial detectors share (`WindowGANConfig`).

    Attributes:
        penalty: weight of the gradient penalty.
        matching: weight of the feature matching beside the mean squared error.
        matched: statistics of the embeddings that are matched: `mean`, or `mean_and_deviation`.
        score: one of the nineteen of `gan_scores.VARIANTS`, or `rank_average` of all. On simulated fans and valves
            (tone, rubbing, noise, missing events) the default had a mean AUC of 0.96, `embedding_knn` 0.87, the rank
            average 0.66, and the best error of a reconstruction 0.63.
        neighbours: training clips of `embedding_knn`.
        lof_neighbours: training clips of `embedding_lof`.
        shrinkage: of the covariance in `embedding_mahalanobis`.

    Example:
        >>> AEGANConfig().matched
        'mean'
    """

    penalty: float = 10.0
    matching: float = 0.1
    matched: str = "mean"
    score: str = "embedding_mahalanobis"
    neighbours: int = 2
    lof_neighbours: int = 4
    shrinkage: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, allowed in {"matched": MATCHED, "score": SCORES}.items():
            if getattr(self, name) not in allowed:
                raise EndlineError(f"aegan has no {name} '{getattr(self, name)}': choose one of {', '.join(allowed)}.")
        if min(self.neighbours, self.lof_neighbours) < 1:
            raise EndlineError(
                f"aegan has neighbours={self.neighbours} and lof_neighbours={self.lof_neighbours}: "
                "choose at least 1 of each."
            )


class AEGANModel(Adversaries):
    """The adversaries, and what the scores keep of the training clips.

    Args:
        shape: (bands, frames) of a clip.
        samples: training clips.
        config: the settings.

    Example:
        >>> model = AEGANModel((32, 50), 4, AEGANConfig(window=32, hop=8, hidden=2))
        >>> model.generator(torch.zeros(3, 1, 32, 32)).shape
        torch.Size([3, 1, 32, 32])
    """

    generator: Autoencoder
    mean_spectrogram: Tensor

    def __init__(self, shape: tuple[int, ...], samples: int, config: AEGANConfig) -> None:
        trunk = trunk_of(shape, config)
        super().__init__(trunk, Autoencoder(trunk))
        self.register_buffer("mean_spectrogram", torch.zeros(shape))
        self.embeddings = EmbeddingScores(
            samples, trunk.channels[-1], config.neighbours, config.lof_neighbours, config.shrinkage
        )
        self.ranks = RankAverage(samples)


class AEGAN(WindowGAN[AEGANConfig]):
    """Autoencoder as generator, with a discriminator whose embedding judges too (Jiang et al., ICASSP 2023).

    The discriminator learns by the Wasserstein distance with a gradient penalty to tell windows of normal clips from
    their reconstructions; the generator to rebuild them, with the same statistics of the discriminator's embedding. The
    text gives no weight of that second aim; the authors' program has 0.1, and an activation between the layer norm of
    the embedding and the last layer. A score is fixed in advance here, where the authors choose score and epoch of each
    machine by its test clips: what the best of `variants` reaches is an upper bound.

    The map is the distance of the reconstruction from the mean spectrogram of the training clips, in dB (section 3.4).

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> clips = np.random.default_rng(0).standard_normal((6, 32, 40)).astype("f4")
        >>> features = FeatureSet({"log_mel_long": clips})
        >>> detector = AEGAN(AEGANConfig(window=32, hop=8, hidden=2, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 32, 40])
        >>> len(detector.variants(features.read([0, 1])))
        19
    """

    Config = AEGANConfig
    embedded = "means and deviations in the layer norms of the discriminator"
    model: AEGANModel

    def _build(self, shapes: Shapes, samples: int) -> AEGANModel:
        """The adversaries at their start."""
        return AEGANModel(shapes[ARRAY], samples, self.config)

    def discriminator_loss(self, batch: Batch) -> Tensor:
        """Realness of reconstructions less that of real windows, and the weighted gradient penalty."""
        real, judge = self.model.windows(batch[ARRAY]), self.model.discriminator
        with torch.no_grad():
            rebuilt = self.model.generator(real)
        true, false = judge(torch.cat([real, rebuilt]))[0].chunk(2)
        penalty = gradient_penalty(lambda x: judge(x)[0], real, rebuilt)
        loss: Tensor = false.mean() - true.mean() + self.config.penalty * penalty
        return loss

    def generator_loss(self, batch: Batch) -> Tensor:
        """Mean squared error, and the weighted feature matching."""
        real, judge = self.model.windows(batch[ARRAY]), self.model.discriminator
        rebuilt = self.model.generator(real)
        with torch.no_grad():
            wanted = judge.embedding(real)
        matching = feature_matching(judge.embedding(rebuilt), wanted, self.config.matched)
        return functional.mse_loss(rebuilt, real) + self.config.matching * matching

    def measure(self, windows: Tensor) -> dict[str, Tensor]:
        """Errors of the reconstruction, the embedding, and the reconstruction as `picture`."""
        encoder, decoder = self.model.generator.encoder, self.model.generator.decoder
        latent = encoder(windows)
        rebuilt = decoder(latent)
        errors = window_errors(windows, rebuilt, latent, encoder(rebuilt))
        return {**errors, "embedding": self.model.discriminator.embedding(windows), "picture": rebuilt}

    def variants(self, batch: Batch) -> dict[str, Tensor]:
        """All nineteen scores (batch,) of a batch of clips, by the names of `gan_scores.VARIANTS`, on the CPU.

        Raises:
            EndlineError: when it is not fitted, or an array is missing or not finite.
        """
        given = self._given(batch, None)
        with self._exact(), torch.no_grad():
            return {name: score.cpu() for name, score in self._variants(self._measured(given)).items()}

    def embeddings(self, batch: Batch) -> Tensor:
        """Mean and deviation in each layer norm of the discriminator, means first, averaged over the windows of a clip.

        Their t-SNE shows how far the domains lie apart (figure 3 of the paper). The scores of the embedding are of the
        discriminator's own one, in `variants`.

        Returns:
            (batch, 2 * layer norms), on the CPU.

        Raises:
            EndlineError: when it is not fitted, or an array is missing or not finite.
        """
        x, c, judge = self._given(batch, None)[ARRAY], self.config, self.model.discriminator
        with self._exact(), torch.no_grad():
            found = by_window(
                self.model.scaling(x), c.window, c.hop, lambda windows: {"norms": judge.norm_statistics(windows)}
            )
        norms: Tensor = found["norms"].mean(1)
        return norms.cpu()

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Train, then keep the training clips' mean spectrogram, embeddings and ranks."""
        losses = super()._learn(training)
        model, total, parts = self.model, torch.zeros_like(self.model.mean_spectrogram), []
        with torch.no_grad():
            for batch in training.features.batches(BATCH):
                total += model.scaling(batch[ARRAY]).sum(0)
                measured = self._measured(batch)
                del measured["picture"]
                embedding = measured.pop("embedding").mean(1)
                parts.append({**aggregated(measured), "embedding": embedding})
            joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
            model.mean_spectrogram.copy_(total / len(training.features))
            model.ranks.fit({**joined, **model.embeddings.fit(joined.pop("embedding"))})
        return losses

    def _variants(self, measured: dict[str, Tensor]) -> dict[str, Tensor]:
        errors = {name: values for name, values in measured.items() if name not in ("embedding", "picture")}
        embedded: dict[str, Tensor] = self.model.embeddings(measured["embedding"].mean(1))
        return aggregated(errors) | embedded

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,), and map (batch, bands, frames) in dB."""
        measured = self._measured(batch)
        scores = self._variants(measured)
        score = self.model.ranks(scores) if self.config.score == "rank_average" else scores[self.config.score]
        anomaly_map = (measured["picture"] - self.model.mean_spectrogram).abs() * self.model.scaling.decibels
        return Scored(score, anomaly_map)
