"""A hidden Markov model of good cycles: how far its emissions lie from what a running window shows."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from hmmlearn.hmm import GaussianHMM
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import StepwiseDetector
from endline.detectors.cycles.signals import DEVIATION_FLOOR, cycle_shape, masked_mean, measured_batches, prepared
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.standardisation import Standardisation
from endline.errors import EndlineError
from endline.feature_set import Batch

FLOOR = DEVIATION_FLOOR**2  # least variance, in a state and in a window
PSEUDO = 1e-6  # transitions that are counted beside those seen, so that none is impossible
GAIN = 1e-4  # of the log-likelihood of an observation: EM stops below it
Fitted = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class HMMConfig:
    """Settings of `HMM`.

    Attributes:
        states: numbers of states to choose from by the BIC; published: 1 to 12, of which 7 was best.
        downsampling: steps that become one by their mean.
        window: downsampled steps of the running window.
        iterations: of expectation maximisation, at most.

    Example:
        >>> HMMConfig().states
        (3, 5, 7)
    """

    states: tuple[int, ...] = (3, 5, 7)
    downsampling: int = 5
    window: int = 5
    iterations: int = 30

    def __post_init__(self) -> None:
        if not self.states or min(self.states) < 1:
            raise EndlineError(f"hmm has states={self.states}: choose one or more numbers of at least 1.")
        if self.downsampling < 1 or self.iterations < 1 or self.window < 2:
            raise EndlineError(
                f"hmm has downsampling={self.downsampling}, iterations={self.iterations}, window={self.window}: "
                "choose at least 1, 1 and 2."
            )


class MarkovModel(nn.Module):
    """Standardisation, and a Gaussian hidden Markov model of diagonal covariances; `count` of its states are in use.

    Args:
        signals: their number.
        states: the most that it may have.
        downsampling: steps that become one.

    Example:
        >>> model = MarkovModel(signals=2, states=3, downsampling=1)
        >>> model.filtered(torch.zeros(1, 2, 10).double(), torch.ones(1, 1, 10).double()).shape
        torch.Size([1, 10, 1])
    """

    def __init__(self, signals: int, states: int, downsampling: int) -> None:
        super().__init__()
        self.downsampling = downsampling
        self.standardise = Standardisation(signals)
        self.register_buffer("count", torch.tensor(1))  # a single standard normal, until it is fitted
        self.register_buffer("start", torch.ones(states).double())
        self.register_buffer("transition", torch.ones(states, states).double())
        self.register_buffer("mean", torch.zeros(states, signals).double())
        self.register_buffer("variance", torch.ones(states, signals).double())

    def prepared(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Standardised downsampled signals (batch, signals, fewer steps), and their mask (batch, 1, fewer steps)."""
        x, valid = prepared(batch, self.standardise, self.downsampling)
        return x.double(), valid.double()

    def fill(self, fitted: Fitted) -> None:
        """Keep a fitted model's `start`, `transition`, `mean` and `variance`."""
        count = len(fitted["start"])
        self.get_buffer("count").fill_(count)
        for name, values in fitted.items():
            square = (slice(count),) * (2 if name == "transition" else 1)
            self.get_buffer(name)[square] = torch.from_numpy(values)

    def part(self, name: str) -> Tensor:
        """The buffer of that name, of the states in use."""
        count = int(self.get_buffer("count"))
        return self.get_buffer(name)[:count, :count] if name == "transition" else self.get_buffer(name)[:count]

    def filtered(self, x: Tensor, valid: Tensor) -> Tensor:
        """Log-probabilities (batch, steps, states) of the states, each given the signals up to its step."""
        mean, variance = self.part("mean"), self.part("variance")
        each = [  # log-densities (batch, steps), less a constant; state by state, for the memory
            -((x - m[:, None]).square() / v[:, None] + v[:, None].log()).sum(1) / 2
            for m, v in zip(mean, variance, strict=True)
        ]
        seen = torch.stack(each, -1) * valid.transpose(1, 2)  # nothing is seen where padded
        transition, states = self.part("transition").log(), [self.part("start").log() + seen[:, 0]]
        for step in range(1, x.shape[-1]):
            states.append((states[-1][:, :, None] + transition).logsumexp(1) + seen[:, step])
        return torch.stack(states, 1).log_softmax(-1)


class HMM(StepwiseDetector[HMMConfig]):
    """Hellinger distance between the emission of the current state and the signals of a running window.

    The online method of Azzalini et al., "HMMs for Anomaly Detection in Autonomous Robots", AAMAS 2020, with diagonal
    covariances and the number of states by the BIC (Rudolph 2024, section 8.2.1). There the distance is that of the
    joint Gaussians of all n signals, sqrt(1 - overlap): with 130 of them it is 1 at every step, as far as floating
    point can tell. Here a step's score takes the n-th root of the overlap, which orders windows in the same way. The
    current state is the most likely one given the signals up to now. Windows end at their step; they count once they
    are full, or as soon as they are as long as the cycle. The score is the mean over these steps, and the map holds
    the distance of each signal alone.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = HMM(HMMConfig(states=(2,), downsampling=2))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 2, 20])
    """

    Config = HMMConfig
    model: MarkovModel

    def _build(self, shapes: Shapes, samples: int) -> MarkovModel:
        """A model of one state."""
        return MarkovModel(cycle_shape(shapes)[0], max(self.config.states), self.config.downsampling)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Fit a model of every allowed number of states, keep that of the least BIC; no losses. hmmlearn
        computes on the CPU.
        """
        self.model.standardise.fit(measured_batches(training.features))
        cycles = []
        for values, mask in (self.model.prepared(batch) for batch in training.features.batches(64)):
            cycles += [x[:, valid[0] > 0].T.cpu().numpy() for x, valid in zip(values, mask, strict=True)]
        lengths = [len(cycle) for cycle in cycles if len(cycle)]
        if lengths:
            x = np.concatenate(cycles)
            size = x.shape[1]
            enough = [states for states in self.config.states if states * (states + 2 * size) <= x.size]
            models = [
                fitted_model(x, lengths, states, self.config.iterations, training.seed) for states in enough or [1]
            ]
            self.model.fill(min(models, key=lambda model: model[1])[0])
        return ()

    def _step_scores(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Score of every downsampled step, and the mask of those that count: (batch, fewer steps) each."""
        exponents, counts = self._exponents(batch)
        return hellinger(exponents.mean(1)), counts

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,) and map (batch, signals, steps)."""
        exponents, counts = self._exponents(batch)

        def distances() -> Tensor:
            each, steps = hellinger(exponents) * counts[:, None], batch["cycle"].shape[-1]
            return each.repeat_interleave(self.config.downsampling, -1)[..., :steps]

        return Scored(masked_mean(hellinger(exponents.mean(1)), counts), distances)

    def _exponents(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """`bhattacharyya` (batch, signals, fewer steps), and the mask (batch, fewer steps) of full windows."""
        x, valid = self.model.prepared(batch)
        state = self.model.filtered(x, valid).argmax(-1)
        expected, spread_out = (self.model.part(name)[state].transpose(1, 2) for name in ("mean", "variance"))
        window = self.config.window
        count, total, squares = (running_sum(part, window) for part in (valid, x * valid, x.square() * valid))
        mean = total / count.clamp(min=1)
        variance = (squares / count.clamp(min=1) - mean.square()).clamp(min=FLOOR)
        full = (count >= valid.sum(-1, keepdim=True).clamp(min=1, max=window)) * valid
        return bhattacharyya(expected, spread_out, mean, variance).float(), full[:, 0].float()


def fitted_model(
    x: NDArray[np.float64], lengths: list[int], states: int, iterations: int, seed: int
) -> tuple[Fitted, float]:
    """Hidden Markov model of cycles (steps of all of them, signals), one below the other, and its BIC.

    The variances are held at the floor between hmmlearn's steps of expectation maximisation.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different steps than states: some share theirs
        means = KMeans(states, n_init=1, random_state=seed).fit(x).cluster_centers_
    model = GaussianHMM(
        states,
        n_iter=1,
        init_params="",
        covars_prior=0,
        means_weight=PSEUDO,
        startprob_prior=1 + PSEUDO,
        transmat_prior=1 + PSEUDO,
    )
    model.startprob_, model.transmat_ = np.full(states, 1 / states), np.full((states, states), 1 / states)
    model.means_, variance, before = means, np.tile(x.var(0), (states, 1)), -np.inf
    for _ in range(iterations):
        model.covars_ = variance = np.maximum(variance, FLOOR)
        model.fit(x, lengths)
        variance = np.diagonal(model.covars_, axis1=1, axis2=2)
        likelihood = model.monitor_.history[-1]
        if likelihood - before < GAIN * len(x):
            break
        before = likelihood
    model.covars_ = variance = np.maximum(variance, FLOOR)
    fitted = {"start": model.startprob_, "transition": model.transmat_, "mean": model.means_, "variance": variance}
    return fitted, float(model.bic(x, lengths))


def running_sum(x: Tensor, window: int) -> Tensor:
    """Sums of the last `window` steps, or of those that there are, of x (..., steps)."""
    return functional.pad(x, (window - 1, 0)).unfold(-1, window, 1).sum(-1)


def bhattacharyya(mean: Tensor, variance: Tensor, other_mean: Tensor, other_variance: Tensor) -> Tensor:
    """Bhattacharyya distance of normal variables, element by element; that of independent ones together is its sum."""
    both = variance + other_variance
    return (both / (2 * (variance * other_variance).sqrt())).log() / 2 + (mean - other_mean).square() / (4 * both)


def hellinger(exponents: Tensor) -> Tensor:
    """Hellinger distance, 0 to 1, of Bhattacharyya distances: sqrt(1 - overlap), the overlap being exp(-distance)."""
    return (-torch.expm1(-exponents.clamp(min=0))).sqrt()
