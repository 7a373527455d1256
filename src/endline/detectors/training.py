"""The one training loop."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from endline.detectors.fitting import Training
from endline.detectors.progress import Progress
from endline.detectors.randomness import seeded
from endline.detectors.training_step import TrainingStep
from endline.errors import EndlineError
from endline.feature_set import Batch
from endline.files import content_key

SCHEDULES = ("constant", "one_cycle", "cosine")
OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained.

    Attributes:
        epochs: passes over the training samples; the last one counts.
        min_steps: optimizer steps that a training takes at least: where few samples make short epochs, there are
            more of them. 0 = exactly `epochs`.
        batch_size: samples a step.
        learning_rate: of the optimizer; the peak where a schedule varies it.
        weight_decay: of the optimizer (L2).
        betas: of Adam; the first is the momentum of SGD.
        eps: of Adam.
        clip_norm: bound of the gradient's norm; 0 = none.
        schedule: `constant`, `one_cycle` (up over the first 30 %, down to 0) or `cosine` (down to 0).
        optimizer: `adam` or `sgd`.
        milestones: epochs after which the learning rate is a tenth of what it was before, on top of the schedule.

    Example:
        >>> TrainingSettings(epochs=8, batch_size=16, learning_rate=1e-3).schedule
        'one_cycle'
    """

    min_epochs: ClassVar[int] = 1
    epochs: int
    batch_size: int
    learning_rate: float
    min_steps: int = 0
    weight_decay: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip_norm: float = 1.0
    schedule: str = "one_cycle"
    optimizer: str = "adam"
    milestones: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise EndlineError(f"There is no schedule '{self.schedule}': choose one of {', '.join(SCHEDULES)}.")
        if self.optimizer not in OPTIMIZERS:
            raise EndlineError(f"There is no optimizer '{self.optimizer}': choose one of {', '.join(OPTIMIZERS)}.")
        if self.epochs < self.min_epochs or self.batch_size < 1 or self.min_steps < 0:
            raise EndlineError(
                f"epochs={self.epochs} must be at least {self.min_epochs}, batch_size={self.batch_size} at least 1, "
                f"min_steps={self.min_steps} at least 0: correct them."
            )

    def epochs_of(self, samples: int) -> int:
        """Epochs of a training on so many samples: `epochs`, or as many as `min_steps` needs.

        Example:
            >>> TrainingSettings(epochs=4, batch_size=16, learning_rate=1e-3, min_steps=540).epochs_of(720)
            12
        """
        return max(self.epochs, math.ceil(self.min_steps / math.ceil(samples / self.batch_size)))


@dataclass(frozen=True)
class Turn:
    """One of several losses that take turns in every step of a training, as two adversaries do.

    Attributes:
        loss: mean over the samples of a batch.
        trains: part of the model that it alone trains.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> turn = Turn(lambda batch: layer(batch["x"]).square().mean(), layer)
        >>> turn.trains is layer
        True
    """

    loss: Callable[[Batch], Tensor]
    trains: nn.Module


def train(
    model: nn.Module,
    loss: Callable[[Batch], Tensor] | Sequence[Turn],
    training: Training,
    settings: TrainingSettings,
    *,
    static: bool = False,
) -> tuple[float, ...]:
    """Train until the last epoch; returns the mean loss of every epoch.

    The order of an epoch and what its losses draw depend on (seed, epoch) alone and the learning rate on the step
    alone, so that a killed training goes on from its checkpoint exactly as if it had not been killed.

    Args:
        model: what is trained; its frozen parameters stay. It is on the device of the features.
        loss: mean over the samples of a batch; computed in the precision of `training.compute`. Or several that take
            turns: each batch makes a step of each, in their order, and the losses of the epochs are the last one's.
        training: features, seed, progress, precision.
        settings: of the training.
        static: whether the loss does the same with every batch, see `TrainingStep`: a GPU then waits for no Python.

    Raises:
        EndlineError: when the loss is no longer finite.

    Example:
        >>> from endline.detectors.fitting import known_rows
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> features = FeatureSet({"x": np.ones((4, 1), "f4")}, key="ones")
        >>> training = Training(features, known_rows(None, 4), seed=0, progress=Progress())
        >>> model = nn.Linear(1, 1)
        >>> settings = TrainingSettings(epochs=2, batch_size=4, learning_rate=0.1)
        >>> losses = train(model, lambda batch: model(batch["x"]).square().mean(), training, settings)
        >>> losses[1] < losses[0]
        True
    """
    data, seed, progress, device = training.features, training.seed, training.progress, training.features.device
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = _optimizer(parameters, settings)
    turns = loss if isinstance(loss, Sequence) else [Turn(loss, model)]
    # One optimizer for all: Adam treats every parameter alone, and skips those that a turn gives no gradient.
    take_turns = [
        TrainingStep(
            turn.loss,
            optimizer,
            training.compute,
            trains=turn.trains,
            clip_norm=settings.clip_norm,
            static=static,
        )
        for turn in turns
    ]
    fingerprint = content_key(data.fingerprint, asdict(settings), seed, str(model))
    losses = _resume(model, optimizer, progress, fingerprint)
    steps = math.ceil(len(data) / settings.batch_size)
    epochs = settings.epochs_of(len(data))
    model.train()
    for epoch in range(len(losses), epochs):
        rng = np.random.default_rng([seed, epoch])
        order, noise = rng.permutation(len(data)), int(rng.integers(2**62))
        total = torch.zeros((), dtype=torch.float64, device=device)  # summed there: to ask for each would wait for each
        with seeded(noise, device):  # for losses that draw: nobody else's draws change theirs, nor theirs others'
            for step, batch in enumerate(data.batches(settings.batch_size, order)):
                for group in optimizer.param_groups:
                    tenths = sum(epoch >= milestone for milestone in settings.milestones)
                    group["lr"] = _learning_rate((epoch + step / steps) / epochs, settings) * 0.1**tenths
                for take_step in take_turns:
                    value = take_step(batch)
                total += value.double() * len(next(iter(batch.values())))
        losses.append(total.item() / len(data))
        if not math.isfinite(losses[-1]):
            raise EndlineError(
                f"The loss is {losses[-1]} in epoch {epoch + 1}: lower learning_rate (now "
                f"{settings.learning_rate}), or look for NaN in the raw files."
            )
        progress.epoch(epoch + 1, epochs, losses[-1])
        if progress.due(last=epoch + 1 == epochs):
            progress.keep(fingerprint, _state(model, optimizer), losses)
    model.eval()
    return tuple(losses)


def _optimizer(parameters: list[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    # Fused: one pass over memory, six times as fast as parameter lists on two cores.
    fused = all(each.device.type in ("cpu", "cuda") for each in parameters)
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, settings.betas[0], weight_decay=decay, fused=fused)
    return torch.optim.Adam(parameters, rate, settings.betas, settings.eps, decay, fused=fused)


def _learning_rate(done: float, settings: TrainingSettings) -> float:
    """Learning rate when the share `done` in [0, 1) of all steps is over."""
    peak, warm = settings.learning_rate, 0.3
    if settings.schedule == "constant":
        return peak
    if settings.schedule == "one_cycle" and done < warm:
        return peak * (0.04 + 0.96 * (1 - math.cos(math.pi * done / warm)) / 2)
    start = warm if settings.schedule == "one_cycle" else 0.0
    return peak * (1 + math.cos(math.pi * (done - start) / (1 - start))) / 2


def _state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Model and the optimizer's moments as flat tensors; the rest follows from seed, epoch and settings."""
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        state |= {f"moments.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    return state


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, fingerprint: str) -> list[float]:
    """Put the checkpoint's state into model and optimizer; returns the losses of the epochs that are done."""
    kept = progress.kept(fingerprint)
    if kept is None:
        return []
    state, losses = kept
    parameters: list[nn.Parameter] = optimizer.param_groups[0]["params"]
    weights = {name.removeprefix("model."): t for name, t in state.items() if name.startswith("model.")}
    model.load_state_dict(weights)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name.startswith("moments."):
            _, index, key = name.split(".")
            like = parameters[int(index)]
            # Fused optimizers pair parameter and moment by their order in memory: the file kept no layout.
            placed = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
            moments.setdefault(int(index), {})[key] = placed
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return losses
