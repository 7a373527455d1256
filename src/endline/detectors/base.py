"""The contract that every detector keeps."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet
from endline.files import content_key

Shapes = Mapping[str, tuple[int, ...]]
ConfigT = TypeVar("ConfigT")
BATCH = 64


class Scored:
    """What a detector says of a batch.

    Attributes:
        score: (batch,), larger = more anomalous, raw and unclamped.
        map: (batch, height, width) anomaly map, or None where the method has none. A map that costs much more than
            the score is given as a function, called when the map is first read.
    """

    def __init__(self, score: Tensor, map: Tensor | Callable[[], Tensor] | None = None) -> None:
        self.score = score
        self._map = map

    @cached_property
    def map(self) -> Tensor | None:
        """The map, drawn now if it was not yet."""
        return self._map if self._map is None or isinstance(self._map, Tensor) else self._map()


@dataclass(frozen=True)
class History:
    """How a fit went.

    Attributes:
        losses: mean training loss of each epoch; empty for a closed form.
        seconds: duration of the fit.
    """

    losses: tuple[float, ...] = ()
    seconds: float = 0.0


class Detector(ABC, Generic[ConfigT]):
    """Learns normal samples from a feature set, then scores batches.

    A new detector is one file: a frozen configuration dataclass, `build` (the empty model for given shapes) and
    `learn` (fill it), `score`. Everything fitted lives in `self.model`, so that saving is the same for all. It is
    given the arrays of its `inputs` alone.

    Args:
        config: the method's settings, an instance of `Config`.
    """

    Config: ClassVar[type]
    parts: ClassVar[str] = "each"  # how the parts of an item are best fitted, see `FitPlan.parts`
    # Kinds of arrays that are read: `scale` (feature maps, finest first), `views` (pooled features of several views,
    # (views, features)), `image` ((3, H, W) in [0, 1]).
    inputs: ClassVar[tuple[str, ...]] = ("scale",)
    input_type: ClassVar[str] = "multifeature"  # the feature pyramid that suits best, see `features.pyramids`
    model: nn.Module

    def __init__(self, config: ConfigT) -> None:
        self.config = config
        self._built: dict[str, Any] | None = None

    @abstractmethod
    def build(self, shapes: Shapes, samples: int) -> nn.Module:
        """Empty model for arrays of these shapes (one sample's) and this number of training samples."""

    @abstractmethod
    def learn(self, train: FeatureSet, *, seed: int, progress: Progress) -> tuple[float, ...]:
        """Fill the built model from normal samples alone; returns the losses of the epochs."""

    @abstractmethod
    def score(self, batch: Batch) -> Scored:
        """Score a batch of float32 arrays (batch, ...) of the shapes that the detector was fitted on."""

    def fit(self, train: FeatureSet, *, seed: int, progress: Progress) -> History:
        """Learn what is normal.

        Args:
            train: normal samples only.
            seed: decides every random choice; the same seed gives the same scores.
            progress: shows the progress, and keeps the checkpoint from which a killed fit goes on.

        Raises:
            EndlineError: when the samples are too few for the method, or not finite.
        """
        start = time.perf_counter()
        if len(train) < 2:
            raise EndlineError(f"{len(train)} training sample(s): a detector needs at least 2 to know a spread.")
        _check_finite(train)
        # The settings belong to the fit's identity: two of them may build models that look alike.
        progress.owner = content_key(type_path(type(self)), asdict(self.config))  # type: ignore[call-overload]
        self._build(train.shapes, len(train), seed)
        losses = self.learn(train, seed=seed, progress=progress)
        self.model.eval()
        return History(losses, time.perf_counter() - start)

    @property
    def parameter_count(self) -> int:
        """Number of fitted values: parameters and buffers."""
        return sum(tensor.numel() for tensor in self.model.state_dict().values())

    def save(self, folder: Path) -> None:
        """Write `config.json` (class, settings, shapes) and `weights.safetensors` into the folder.

        Raises:
            EndlineError: when the detector is not fitted, or the disk is full.
        """
        if self._built is None:
            raise EndlineError(f"{type(self).__name__} is not fitted yet: fit it before saving it.")
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.contiguous() for name, tensor in self.model.state_dict().items()}
        try:
            save_file(state, folder / "weights.safetensors")
        except SafetensorError as error:  # its own kind of exception, for the disk's errors too
            raise EndlineError(
                f"{folder} could not be written ({error}): free or unlock the disk, run again."
            ) from error
        about = {"type": type_path(type(self)), "config": asdict(self.config), **self._built}  # type: ignore[call-overload]
        (folder / "config.json").write_text(json.dumps(about, indent=1))

    def restore(self, folder: Path, shapes: Shapes, samples: int) -> None:
        """Fill the model from a saved folder."""
        self._build(shapes, samples, seed=0)
        self.model.load_state_dict(load_file(folder / "weights.safetensors"))
        self.model.eval()

    def _build(self, shapes: Shapes, samples: int, seed: int) -> None:
        self._built = {"shapes": {name: list(shape) for name, shape in shapes.items()}, "samples": samples}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # torch's layers draw their initial weights from the global generator
            self.model = self.build(shapes, samples)


def type_path(cls: type) -> str:
    """Full path of a class, as it is written in `type:`."""
    return f"{cls.__module__}.{cls.__qualname__}"


def detector_class(name: str, settings: Mapping[str, Mapping[str, Any]]) -> type[Detector[Any]]:
    """Class of the detector of the name; arguments and errors as `build_detector`."""
    if name not in settings:
        raise EndlineError(f"There is no detector '{name}': choose one of {', '.join(sorted(settings))}.")
    return _class_of(settings[name]["type"])


def build_detector(name: str, settings: Mapping[str, Mapping[str, Any]]) -> Detector[Any]:
    """Detector of the name, as the parameters describe it.

    Args:
        name: a key of `settings`.
        settings: the content of `parameters/detectors.yml`: name -> `type:` (class path) and the settings.

    Raises:
        EndlineError: for a name that is not there, a class that cannot be found, or an unknown setting.
    """
    return _create(detector_class(name, settings), {k: v for k, v in settings[name].items() if k != "type"})


def load_detector(folder: Path) -> Detector[Any]:
    """Fitted detector of a folder that `Detector.save` wrote.

    Raises:
        EndlineError: when a file is missing or damaged.
    """
    try:
        about = json.loads((folder / "config.json").read_text())
        detector = _create(_class_of(about["type"]), about["config"])
        shapes = {name: tuple(shape) for name, shape in about["shapes"].items()}
        detector.restore(folder, shapes, about["samples"])
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise EndlineError(f"The detector in {folder} cannot be read ({error}): fit it again.") from error
    return detector


def _check_finite(train: FeatureSet) -> None:
    for number, batch in enumerate(train.batches(BATCH)):
        for name, array in batch.items():
            broken = (~array.flatten(1).isfinite().all(1)).nonzero()
            if len(broken):
                row = number * BATCH + int(broken[0])
                raise EndlineError(
                    f"Array '{name}' of training sample {row} is not finite: look for NaN in the raw files, "
                    "or delete the feature set and extract it again."
                )


def _class_of(path: str) -> type[Detector[Any]]:
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise EndlineError(f"The detector class '{path}' cannot be found ({error}): correct its `type:`.") from error
    if not (isinstance(cls, type) and issubclass(cls, Detector)):
        raise EndlineError(f"'{path}' is not a Detector: correct its `type:`.")
    return cls


def _create(cls: type[Detector[Any]], settings: Mapping[str, Any]) -> Detector[Any]:
    known = {field.name for field in fields(cls.Config)}
    unknown = set(settings) - known
    if unknown:
        raise EndlineError(
            f"{cls.__name__} has no setting {sorted(unknown)}: its settings are {', '.join(sorted(known))}."
        )
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    return cls(cls.Config(**values))
