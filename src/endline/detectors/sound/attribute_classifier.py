"""A network that learns to tell conditions of machines apart; a clip far from all training clips is anomalous."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.local_density import check_names, density, normalised_distance
from endline.detectors.scored import Scored
from endline.detectors.sound.clip_classes import clusters, pseudo_classes, told_classes
from endline.detectors.sound.clip_network import ClipNetwork
from endline.detectors.sound.subcluster_adacos import SubclusterAdaCos, mixed_up
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet

BATCH = 32
CLASS = "class"  # array of the training clips' classes
LARGEST_SEED = 2**32  # of scikit-learn


@dataclass(frozen=True)
class AttributeClassifierConfig(TrainingSettings):
    """Settings of `AttributeClassifier`, and those of its training (`TrainingSettings`).

    Attributes:
        columns: of the sample table, whose combinations are the classes.
        pseudo_classes: classes by k-means where the columns tell none apart.
        outliers: clips of other machines in a step, a class of their own, where there are any.
        subclusters: centres of a class.
        mixup: share of the clips of a step that are mixed with another one.
        hidden: channels of the first block of the network, see `ClipNetwork`.
        embedding: numbers of each of its branches.
        source_centres: centres of k-means that stand for the clips that are not of the target domain; 0 = the clips.
        neighbours: training clips whose normalised distances are averaged.
        density_neighbours: neighbours of a training clip whose mean distance is its density.
        normalisation: by the density: `ratio`, `difference` or `none`, see `local_density`.

    Example:
        >>> AttributeClassifierConfig().subclusters
        16
    """

    columns: tuple[str, ...] = ("section", "attributes", "domain")
    pseudo_classes: int = 4
    outliers: int = 8
    subclusters: int = 16
    mixup: float = 0.5
    hidden: int = 16
    embedding: int = 64
    source_centres: int = 0
    neighbours: int = 1
    density_neighbours: int = 1
    normalisation: str = "ratio"
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_names("attribute_classifier", "cosine", self.normalisation)
        for name in (*("pseudo_classes", "subclusters", "hidden", "embedding", "neighbours", "density_neighbours"),):
            if getattr(self, name) < 1:
                raise EndlineError(f"attribute_classifier has {name}={getattr(self, name)}: choose at least 1.")
        for name in ("outliers", "source_centres"):
            if getattr(self, name) < 0:
                raise EndlineError(f"attribute_classifier has {name}={getattr(self, name)}: choose 0 or more.")
        if not 0 <= self.mixup <= 1:
            raise EndlineError(f"attribute_classifier has mixup={self.mixup}: choose a share from 0 to 1.")


class ClipMemory(nn.Module):
    """The network, and the embeddings of the training clips with their densities.

    Args:
        shapes: of `log_mel` and `spectrum`.
        samples: number of training clips.
        config: the settings.

    Example:
        >>> config = AttributeClassifierConfig(hidden=8, embedding=16)
        >>> ClipMemory({"log_mel": (64, 80), "spectrum": (256,)}, 12, config).known.shape
        torch.Size([12, 32])
    """

    known: Tensor
    density: Tensor
    kept: Tensor  # which of the rows are in use: centres may be fewer than clips

    def __init__(self, shapes: Shapes, samples: int, config: AttributeClassifierConfig) -> None:
        super().__init__()
        bands, (bins,) = shapes["log_mel"][0], shapes["spectrum"]
        self.network = ClipNetwork(bands, bins, config.hidden, config.embedding)
        self.register_buffer("known", torch.zeros(samples, 2 * config.embedding))
        self.register_buffer("density", torch.ones(samples))
        self.register_buffer("kept", torch.zeros(samples, dtype=torch.bool))

    def embeddings(self, batch: Batch) -> Tensor:
        """Unit vectors (batch, 2 * embedding) of clips."""
        return functional.normalize(self.network(batch))


class AttributeClassifier(Detector[AttributeClassifierConfig]):
    """Cosine distance to the nearest training clip, as seen by a network that tells sections and conditions apart.

    Wilkinghoff, "Sub-Cluster AdaCos: Learning Representations for Anomalous Sound Detection", IJCNN 2021, and "Design
    Choices for Learning Embeddings from Auxiliary Tasks for Domain Generalization in Anomalous Sound Detection", ICASSP
    2023: two branches, mixup, fixed random centres, an adapting scale. Published are the clips of all machines as
    training data, and as the score the distance to 16 centres of the source domain and every target clip. Here other
    machines are one class beside the machine's own ones, the distance is normalised by the local density, so that no
    domain is needed, and where sections, attributes and domains are all the same, likeness makes the classes.

    Example:
        >>> from endline.detectors.progress import Progress
        >>> rng = np.random.default_rng(0)
        >>> arrays = {"log_mel": rng.standard_normal((8, 64, 80)), "spectrum": rng.standard_normal((8, 256))}
        >>> features = FeatureSet({name: array.astype("f4") for name, array in arrays.items()})
        >>> detector = AttributeClassifier(AttributeClassifierConfig(hidden=8, embedding=8, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).score.shape
        torch.Size([2])
    """

    Config = AttributeClassifierConfig
    model: ClipMemory
    required = ("log_mel", "spectrum")
    embedded = "embeddings of the network that tells conditions apart"
    uses_outliers = True

    def _build(self, shapes: Shapes, samples: int) -> ClipMemory:
        """The network at its start, and no embeddings."""
        return ClipMemory(shapes, samples, self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Standardise, find the classes, train the network to tell them apart, and keep the clips' embeddings."""
        network, config = self.model.network, self.config
        network.fit_standardisation(training.features)
        classes = self._classes(training)
        others = training.outliers if config.outliers else None
        count = int(classes.max()) + 1 + (others is not None)
        head = SubclusterAdaCos(count, config.subclusters, 2 * config.embedding, training.seed)
        labelled = training.features.including(CLASS, classes[:, None].astype(np.float32))

        def loss(batch: Batch) -> Tensor:
            labels = functional.one_hot(batch.pop(CLASS)[:, 0].long(), count).float()
            if others is not None:
                batch, labels = self._with_outliers(batch, labels, others)
            batch, labels = mixed_up(batch, labels, config.mixup)
            value: Tensor = head(network(batch), labels)
            return value

        both = nn.ModuleList([network, head.to(labelled.device)])
        losses = train(both, loss, replace(training, features=labelled), config)
        self._remember(training)
        return losses

    def embeddings(self, batch: Batch) -> Tensor:
        """Unit vectors (batch, 2 * embedding) of clips, on the CPU.

        Raises:
            EndlineError: when it is not fitted, or an array is missing or not finite.
        """
        given = self._given(batch, None)
        with self._exact(), torch.no_grad():
            return self.model.embeddings(given).cpu()

    def _score(self, batch: Batch) -> Scored:
        """Normalised distance to the nearest training clips, (batch,); no map."""
        model, config = self.model, self.config
        known, own = model.known[model.kept], model.density[model.kept]
        new = model.embeddings(batch)
        return Scored(
            normalised_distance(
                new, known, own, config.neighbours, distance="cosine", normalisation=config.normalisation
            )
        )

    def _classes(self, training: Training) -> NDArray[np.int64]:
        """Class (n,) of each training clip."""
        told = told_classes(training.rows, self.config.columns)
        if told.max() > 0:
            return told
        return pseudo_classes(training.features, self.config.pseudo_classes, training.seed % LARGEST_SEED)

    def _with_outliers(self, batch: Batch, labels: Tensor, others: FeatureSet) -> tuple[Batch, Tensor]:
        """A batch and its labels with clips of other machines behind it, of the last class."""
        drawn = others.read(torch.randint(len(others), (self.config.outliers,)).numpy())
        last = functional.one_hot(torch.tensor([labels.shape[1] - 1], device=labels.device), labels.shape[1])
        joined = {name: torch.cat([x, drawn[name]]) for name, x in batch.items()}
        return joined, torch.cat([labels, last.float().expand(self.config.outliers, -1)])

    @torch.no_grad()
    def _remember(self, training: Training) -> None:
        """Keep the embeddings of the training clips, or centres of those of the source domain, and their densities."""
        model, config = self.model, self.config
        known = torch.cat([model.embeddings(batch) for batch in training.features.batches(BATCH)])
        if config.source_centres:
            domain = training.rows.get("domain")
            of_target = np.zeros(len(known), bool) if domain is None else (domain == "target").to_numpy()
            source = torch.from_numpy(~of_target).to(known.device)
            if source.any():
                centres, _ = clusters(known[source], config.source_centres, training.seed % LARGEST_SEED)
                known = torch.cat([functional.normalize(centres), known[~source]])
        own = density(known, config.density_neighbours, "cosine") if len(known) > 1 else torch.ones_like(known[:, 0])
        model.known[: len(known)], model.density[: len(known)] = known, own
        model.kept.zero_()[: len(known)] = True
