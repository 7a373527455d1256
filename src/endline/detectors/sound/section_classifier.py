"""A network that names the section of a clip: what it takes for another one is anomalous."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.randomness import seeded
from endline.detectors.scored import Scored
from endline.detectors.sound.frame_windows import all_windows, drawn_windows
from endline.detectors.sound.levelling import Levelling
from endline.detectors.sound.outlier_exposure import drawn_samples
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet

BATCH = 64
CHUNK = 128  # patches in one pass when clips are scored
UNKNOWN = -1.0  # number of a section that is not known


@dataclass(frozen=True)
class SectionClassifierConfig(TrainingSettings):
    """Settings of `SectionClassifier`, and those of its training (`TrainingSettings`).

    Attributes:
        frames: of a patch; clips of fewer are one patch.
        hop: frames from a patch to the next when clips are scored.
        patches: drawn from a clip in each pass over it.
        width: of the network's layers, a share of MobileNetV2's.
        batch_size: clips a step, beside as many of other machines where there are any.

    Example:
        >>> SectionClassifierConfig().frames
        64
    """

    frames: int = 64
    hop: int = 16
    patches: int = 2
    width: float = 0.5
    epochs: int = 10
    min_steps: int = 600
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.frames, self.hop, self.patches) < 1 or self.width <= 0:
            raise EndlineError(
                f"section_classifier has frames={self.frames}, hop={self.hop}, patches={self.patches}, "
                f"width={self.width}: choose at least 1 of each, and a width above 0."
            )


class SectionHead(nn.Module):
    """Dropout and one linear layer to the logits of the sections, whose number the training samples say.

    Args:
        features: that come in.

    Example:
        >>> head = SectionHead(8)
        >>> head.name(torch.tensor([0.0, 3.0]), others=True)
        >>> head(torch.zeros(2, 8)).shape, head.classes_of(torch.tensor([3.0, 7.0])).tolist()
        (torch.Size([2, 3]), [1, -1])
    """

    numbers: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.dropout = nn.Dropout(0.2)
        self.register_buffer("numbers", torch.zeros(0))
        self.logits = nn.Linear(features, 1)

    def name(self, numbers: Tensor, *, others: bool) -> None:
        """Begin anew with a class for each section, and a last one for other machines where there are any."""
        self.numbers = numbers
        self.logits = nn.Linear(self.features, len(numbers) + others).to(numbers.device)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of features (n, features)."""
        logits: Tensor = self.logits(self.dropout(x))
        return logits

    def classes_of(self, numbers: Tensor) -> Tensor:
        """Class of each section number (n,); -1 where it is none of the training samples'."""
        same = numbers[:, None] == self.numbers
        return torch.where(same.any(1), same.int().argmax(1), -1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the number of classes from what is loaded, if it is another one: an optimizer may hold the layer."""
        numbers, bias = state_dict[f"{prefix}numbers"], state_dict[f"{prefix}logits.bias"]
        if (len(numbers), len(bias)) != (len(self.numbers), self.logits.out_features):
            self.name(torch.zeros_like(numbers, device=self.numbers.device), others=len(bias) > len(numbers))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class SectionNetwork(nn.Module):
    """Levelling, the layers of MobileNetV2 from random weights, and the head.

    Args:
        bands, frames: of a clip.
        config: the settings.

    Example:
        >>> network = SectionNetwork(64, 80, SectionClassifierConfig(width=0.1))
        >>> network(network.drawn_from(torch.zeros(3, 64, 80), 2)).shape
        torch.Size([6, 1])
    """

    def __init__(self, bands: int, frames: int, config: SectionClassifierConfig) -> None:
        from torchvision.models import mobilenet_v2  # its import takes seconds

        super().__init__()
        self.frames = min(config.frames, frames)
        self.level = Levelling(bands)
        network = mobilenet_v2(width_mult=config.width, num_classes=1)
        self.layers = network.features
        self.head = SectionHead(network.last_channel)

    def drawn_from(self, clips: Tensor, count: int) -> Tensor:
        """Levelled patches (n x count, frames, bands) of clips (n, bands, T), drawn by torch's generator."""
        return drawn_windows(self.level(clips), self.frames, count).flatten(0, 1)

    def features(self, patches: Tensor) -> Tensor:
        """What the head sees (n, features) of patches (n, frames, bands), the three colours of a picture each."""
        pictures = patches[:, None].expand(-1, 3, -1, -1)
        # Channels last: a step of 64 patches then takes 0.54 s of one core, else 0.95.
        maps: Tensor = self.layers(pictures.contiguous(memory_format=torch.channels_last))
        return maps.mean((2, 3))

    def forward(self, patches: Tensor) -> Tensor:
        """Logits (n, classes) of patches (n, frames, bands)."""
        logits: Tensor = self.head(self.features(patches))
        return logits


class SectionClassifier(Detector[SectionClassifierConfig]):
    """How little a network takes a clip for one of its own section.

    The MobileNetV2 baseline of DCASE 2022 Task 2 (Dohi et al., "Description and discussion on DCASE 2022 challenge
    task 2", 2022; "Official-2" of later comparisons): patches of 64 log-mel frames are classified by section. A
    clip's score is the mean over its patches of log(1 - p) - log p, p the probability of its own section, the number
    in the array `section`. For a clip whose section is -1, was not trained on or is not given, the section with the
    least score counts. Normal clips of other machines, where there are any, are one class more: with it a single
    section can be learned too (published: sections alone, at least three).

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> clips = np.random.default_rng(0).standard_normal((4, 32, 40)).astype("f4")
        >>> features = FeatureSet({"log_mel": clips, "section": np.array([[0.0], [0.0], [1.0], [1.0]], "f4")})
        >>> detector = SectionClassifier(SectionClassifierConfig(width=0.1, frames=32, epochs=1, min_steps=0))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).score.shape
        torch.Size([2])
    """

    Config = SectionClassifierConfig
    required = ("log_mel",)
    optional = ("section",)
    embedded = "features of the network that names sections"
    uses_outliers = True
    model: SectionNetwork

    def _build(self, shapes: Shapes, samples: int) -> SectionNetwork:
        """The network at its start, without classes."""
        bands, frames = shapes["log_mel"]
        return SectionNetwork(bands, frames, self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Name the classes, level in closed form, then train."""
        model, outliers = self.model, training.outliers
        numbers = section_numbers(training.features)
        if len(numbers) < 2 and outliers is None:
            raise EndlineError(
                "section_classifier has one section alone and nothing to tell it from: give clips of other sections, "
                "or name another machine with --params=outliers=<machine>."
            )
        with seeded(training.seed):
            model.head.name(numbers.cpu(), others=outliers is not None)
        model.to(training.features.device)
        model.level.fit(training.features, "log_mel")

        def patches(batch: Batch) -> tuple[Tensor, Tensor]:
            drawn = None if outliers is None else drawn_samples(outliers, len(batch["log_mel"]))
            return self._patches(batch, drawn)

        losses = train(model, lambda batch: self._entropy(*patches(batch)), training, self.config)
        # The running averages of the batch norms lag behind the weights, the more so in a fit of few steps.
        with seeded(training.seed, training.features.device):
            update_bn((patches(batch)[0] for batch in training.features.batches(self.config.batch_size)), model)
        model.eval()
        return losses

    def loss(self, batch: Batch) -> Tensor:
        """Cross entropy of the sections, of patches drawn from clips of known ones."""
        return self._entropy(*self._patches(batch, None))

    def _patches(self, batch: Batch, outliers: Batch | None) -> tuple[Tensor, Tensor]:
        """Patches (n, frames, bands) drawn from the clips, and from outliers where there are any, and their classes."""
        clips, classes = batch["log_mel"], self.model.head.classes_of(sections(batch))
        if outliers is not None:
            others = torch.full((len(outliers["log_mel"]),), len(self.model.head.numbers), device=clips.device)
            clips, classes = torch.cat([clips, outliers["log_mel"]]), torch.cat([classes, others])
        count = self.config.patches
        return self.model.drawn_from(clips, count), classes.repeat_interleave(count)

    def _entropy(self, patches: Tensor, classes: Tensor) -> Tensor:
        return functional.cross_entropy(self.model(patches), classes)

    def embeddings(self, batch: Batch) -> Tensor:
        """Mean features (batch, features) of the patches of clips, on the CPU.

        Raises:
            EndlineError: when it is not fitted, or an array is missing or not finite.
        """
        given = self._given(batch, None)
        with self._exact(), torch.no_grad():
            return self._of_windows(given["log_mel"], self.model.features).mean(1).cpu()

    def _of_windows(self, clips: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
        """What `read` makes of each patch, (batch, patches, numbers)."""
        windows = all_windows(self.model.level(clips), self.model.frames, self.config.hop)
        each = torch.cat([read(some) for some in torch.split(windows.flatten(0, 1), CHUNK)])
        return each.view(*windows.shape[:2], -1)

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,); no map."""
        head = self.model.head
        logits = self._of_windows(batch["log_mel"], self.model)
        each = unlikeliness(logits.flatten(0, 1))[:, : len(head.numbers)].view(*logits.shape[:2], -1).mean(1)
        own = head.classes_of(sections(batch))
        chosen = each.gather(1, own.clamp(min=0)[:, None])[:, 0]
        return Scored(torch.where(own < 0, each.amin(1), chosen))


def unlikeliness(logits: Tensor) -> Tensor:
    """log(1 - p) - log p (n, classes) of the softmax p of logits (n, classes), finite however sure they are.

    Example:
        >>> unlikeliness(torch.tensor([[0.0, 0.0], [90.0, 0.0]]))
        tensor([[  0.,   0.],
                [-90.,  90.]])
    """
    itself = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    others = logits[:, None].expand(-1, logits.shape[1], -1).masked_fill(itself, -torch.inf)
    return others.logsumexp(2) - logits


def sections(batch: Batch) -> Tensor:
    """Number of each clip's section, (n,); -1 where it is not given.

    Example:
        >>> sections({"log_mel": torch.zeros(2, 4, 9)}).tolist()
        [-1.0, -1.0]
    """
    if "section" in batch:
        return batch["section"][:, 0]
    return batch["log_mel"].new_full((len(batch["log_mel"]),), UNKNOWN)


def section_numbers(features: FeatureSet) -> Tensor:
    """Numbers of the sections that there are, rising.

    Example:
        >>> import numpy as np
        >>> arrays = {"log_mel": np.zeros((3, 4, 9), "f4"), "section": np.array([[2.0], [0.0], [2.0]], "f4")}
        >>> section_numbers(FeatureSet(arrays)).tolist()
        [0.0, 2.0]
    """
    if "section" not in features:
        return torch.tensor([UNKNOWN])
    numbers = torch.cat([batch["section"][:, 0] for batch in features.only(("section",)).batches(BATCH)])
    return torch.tensor(sorted(set(numbers.cpu().tolist())), device=numbers.device)
