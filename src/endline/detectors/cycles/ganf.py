"""GANF: the density of every signal, given its own past and the signals that a learned graph lets act on it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import StepDetector
from endline.detectors.cycles.signals import CHUNK, DEVIATION_FLOOR, cycle_shape, measured_batches, prepared
from endline.detectors.fitting import Training
from endline.detectors.standardisation import Standardisation
from endline.detectors.statistics import bounded_normal_nll
from endline.detectors.training import TrainingSettings, train
from endline.errors import EndlineError
from endline.feature_set import Batch

LARGEST = 1e16  # of the penalty, as the authors
ACYCLIC = 1e-4  # a graph this near to none with cycles is pressed no more, as the authors


@dataclass(frozen=True)
class GANFConfig(TrainingSettings):
    """Settings of `GANF`, and those of its training (`TrainingSettings`).

    Attributes:
        hidden: of the LSTM, the graph and the density.
        downsampling: steps that become one by their mean.
        rise_steps: optimizer steps between two rises of the multipliers that make the graph acyclic.
        clip_norm: none. The penalty's gradient grows without bound, and one norm of all gradients would hold back those
            of the density; Adam goes its own way with each.

    Example:
        >>> GANFConfig().downsampling
        5
    """

    hidden: int = 32
    downsampling: int = 5
    rise_steps: int = 100
    epochs: int = 20
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    schedule: str = "constant"

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.downsampling, self.rise_steps) < 1:
            raise EndlineError(
                f"ganf has hidden={self.hidden}, downsampling={self.downsampling}, rise_steps={self.rise_steps}: "
                "choose at least 1 of each."
            )


class SignalGraph(nn.Module):
    """Adjacency of the signals, and the augmented Lagrangian that makes it acyclic (Zheng et al., NeurIPS 2018).

    The multiplier, the penalty, and when they last rose are buffers: a training that goes on from its checkpoint finds
    them as they were.

    Args:
        signals: their number.
        rise_steps: calls of `rise` of which one acts.

    Example:
        >>> graph = SignalGraph(signals=3, rise_steps=10)
        >>> graph.adjacency().diagonal().tolist()
        [0.0, 0.0, 0.0]
    """

    def __init__(self, signals: int, rise_steps: int) -> None:
        super().__init__()
        self.rise_steps = rise_steps
        self.weights = nn.Parameter(nn.init.xavier_uniform_(torch.empty(signals, signals)).abs())
        self.calls: Tensor
        self.multiplier: Tensor
        self.penalty: Tensor
        self.before: Tensor
        self.register_buffer("calls", torch.tensor(0))
        for name, value in {"multiplier": 0.0, "penalty": 1.0, "before": torch.inf}.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def adjacency(self) -> Tensor:
        """Weight (signals, signals) of each signal (row) in each other (column); none acts on itself."""
        return self.weights * (1 - torch.eye(len(self.weights), device=self.weights.device))

    def cyclicity(self) -> Tensor:
        """tr(exp(A * A)) - n, which is 0 without cycles and more with; float64, for it is a small difference."""
        powers: Tensor = torch.matrix_exp(self.adjacency().double().square())
        return powers.trace() - len(self.weights)

    def constraint(self, cyclicity: Tensor) -> Tensor:
        """What the training's loss receives."""
        return (self.multiplier * cyclicity + self.penalty / 2 * cyclicity.square()).float()

    @torch.no_grad()
    def rise(self, cyclicity: Tensor) -> None:
        """Every `rise_steps` calls: a larger multiplier, or penalty where the last rise did not halve the cyclicity."""
        self.calls += 1
        if self.calls % self.rise_steps or cyclicity <= ACYCLIC:
            return
        if cyclicity > self.before / 2:
            self.penalty.mul_(10).clamp_(max=LARGEST)
        else:
            self.multiplier += self.penalty * cyclicity
            self.before.copy_(cyclicity)


class GraphDensity(nn.Module):
    """Standardisation, one LSTM for all signals, the graph, and the density of a value given its state.

    Args:
        signals: their number.
        config: the settings.

    Example:
        >>> GraphDensity(3, GANFConfig(hidden=4))(torch.zeros(2, 3, 10)).shape
        torch.Size([2, 3, 10])
    """

    def __init__(self, signals: int, config: GANFConfig) -> None:
        super().__init__()
        self.standardise = Standardisation(signals)
        self.graph = SignalGraph(signals, config.rise_steps)
        self.lstm = nn.LSTM(1, config.hidden, batch_first=True)
        self.others = nn.Linear(config.hidden, config.hidden)
        self.own = nn.Linear(config.hidden, config.hidden, bias=False)
        self.state = nn.Linear(config.hidden, config.hidden)
        self.density = nn.Sequential(nn.Linear(config.hidden, config.hidden), nn.Tanh(), nn.Linear(config.hidden, 2))

    def forward(self, x: Tensor) -> Tensor:
        """`bounded_normal_nll` (batch, signals, steps) of every value."""
        hidden = self.lstm(x.flatten(0, 1)[..., None])[0].unflatten(0, x.shape[:2])  # (batch, signals, steps, hidden)
        mixed = torch.einsum("bitd,ij->bjtd", hidden, self.graph.adjacency())
        previous = functional.pad(hidden[:, :, :-1], (0, 0, 1, 0))
        state = self.state(functional.relu(self.others(mixed) + self.own(previous)))
        mean, width = self.density(state).unbind(-1)
        return bounded_normal_nll(x, mean, width, DEVIATION_FLOOR)


class GANF(StepDetector[GANFConfig]):
    """Negative log-density of the signals under a graph-augmented normalizing flow (Dai and Chen, ICLR 2022).

    A signal's value is given the LSTM states of its parents in the graph, up to now, and its own, up to the step
    before. If the graph is acyclic, the product of these densities is the density of all signals. The published flow
    is a stack of masked autoregressive steps on each value by itself: such a step shifts and scales a scalar by what
    it makes of the state alone, so that any number of them is one shift and one scale, which a single network gives
    here. Both have the lower bound of LSTM-VAE, for signals that are constant for a while. The map is the negative
    log-density of every signal at every step.

    The authors train until the graph is acyclic, then 30 epochs more, and keep the best on held-out data; here the
    multipliers rise during the one training (`SignalGraph`), and its end counts.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = GANF(GANFConfig(hidden=4, downsampling=3, epochs=1))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 2, 20])
    """

    Config = GANFConfig
    model: GraphDensity

    def _build(self, shapes: Shapes, samples: int) -> GraphDensity:
        """The density at its start."""
        return GraphDensity(cycle_shape(shapes)[0], self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Standardise in closed form, then train graph and density together."""
        self.model.standardise.fit(measured_batches(training.features))
        return train(self.model, self.loss, training, self.config)

    def loss(self, batch: Batch) -> Tensor:
        """Mean negative log-density of a valid element, and the graph's constraint."""
        x, valid = prepared(batch, self.model.standardise, self.config.downsampling)
        graph = self.model.graph
        cyclicity = graph.cyclicity()
        if self.model.training:
            graph.rise(cyclicity)
        each: Tensor = self.model(x)
        mean = (each * valid).sum() / (valid.sum() * x.shape[1]).clamp(min=1)
        return mean + graph.constraint(cyclicity)

    def elements(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Negative log-density (batch, signals, fewer steps) and mask (batch, 1, fewer steps)."""
        x, valid = prepared(batch, self.model.standardise, self.config.downsampling)
        # A few at a time: there is a hidden state for every signal at every step.
        return torch.cat([self.model(part) for part in torch.split(x, CHUNK)]), valid
