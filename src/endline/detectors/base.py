"""The contract that every detector keeps."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar, final

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from endline.backbones.pyramids import PyramidSettings
from endline.compute import CPU, Compute
from endline.detectors.extremes import Extremes
from endline.detectors.finite import check_arrays, check_maps, check_samples, check_scores
from endline.detectors.fitting import History, Training, known_rows
from endline.detectors.progress import Progress
from endline.detectors.randomness import seeded
from endline.detectors.scored import Scored
from endline.detectors.statistics import BEYOND
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet
from endline.files import content_key
from endline.flows.memory import prepare_memory

Shapes = Mapping[str, tuple[int, ...]]
ConfigT = TypeVar("ConfigT")
OUTSIDE, PLACED = "outside", ("gap", "outline")  # the latter lie over the sample as maps do
BESIDE = (*PLACED, OUTSIDE)  # arrays that count in every detector's score, and that no method sees


class Detector(ABC, Generic[ConfigT]):
    """Learns normal samples from a feature set, then scores batches.

    A new detector is one file: a frozen configuration dataclass, `_build` (the empty model for given shapes), `_learn`
    (fill it) and `_score`. Everything fitted lives in `self.model`, so that saving is the same for all. `fit` and
    `score` see to device, precision, evaluation mode and finite numbers; a method only makes each of its tensors on
    the device of what it was given.

    Args:
        config: the method's settings, an instance of `Config`.
        compute: device and precision. The precision is that of training; scores are always computed in float32.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
        >>> maps = np.random.default_rng(0).standard_normal((20, 3, 4, 4)).astype("f4")
        >>> features, detector = FeatureSet({"scale_0": maps}), Gaussian(GaussianConfig())
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).score.shape
        torch.Size([2])
    """

    Config: ClassVar[type]
    parts: ClassVar[str] = "each"  # how the parts of an item are best fitted, see `FitPlan.parts`
    uses_outliers: ClassVar[bool] = False  # whether `_learn` reads normal samples of other classes
    default_input_type: ClassVar[str] = "multifeature"  # the pyramid that suits best, where the settings name none
    default_light: ClassVar[str] = "as_is"  # the light of photographs that suits best, where the settings name none
    default_modality: ClassVar[str] = "both"  # the half of a photograph and scan that suits best, likewise
    known: ClassVar[dict[str, type["Detector[Any]"]]] = {}  # every class by its full path
    model: nn.Module

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        Detector.known[type_path(cls)] = cls

    def __init__(self, config: ConfigT, compute: Compute = CPU) -> None:
        self.config = config
        self.compute = compute
        self.pyramid: PyramidSettings | None = None  # how maps and views were made; set before `_build`
        self._built: dict[str, Any] | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """Arrays that must be there: `scale` (feature maps, finest first), `views` (pooled features of several views,
        (views, features)), `image` ((3, H, W) in [0, 1]), `cycle` (signals, steps), `valid` (steps,); of a clip of
        sound `log_mel` and `log_mel_long` (bands, frames) in dB, by windows of 64 and 128 ms, `stack` (158, frames),
        `spectrum` (bins,), `stft` (1, H, W), `stft_shifted` (copies, H, W), `section` (1,); of a
        scan `depth` (1, H, W) in mm from the foreground's mean, 0 beside it, and `depth_mask` (1, H, W), 1 inside.
        """
        return ("scale",)

    @property
    def optional(self) -> tuple[str, ...]:
        """Arrays that are read where there are any, such as the `mask` (h, w) of the foreground."""
        return ()

    @final
    @property
    def reads(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Arrays that must be there, and those that are read where there are any: beside the method's own `BESIDE`.

        These are of a scan `gap` (1, h, w), the radius in pixels of the largest spot of the part that was not measured,
        and `outline` (2, h, w), by how many pixels a place lies inside of the part, and outside; `outside` (1,), how
        far the height of a scanned part, or the duration and the pauses of a cycle, lie beyond those of the training.
        """
        return self.required, (*self.optional, *BESIDE)

    @property
    def input_type(self) -> str:
        """The feature pyramid that suits best, see `backbones.pyramids`."""
        return str(getattr(self.config, "input_type", self.default_input_type))

    @property
    def light(self) -> str:
        """The light of photographs that suits best, see `evidence.images.features`."""
        return str(getattr(self.config, "light", self.default_light))

    @property
    def modality(self) -> str:
        """What of a photograph and a scan suits best, see `evidence.scans`."""
        return str(getattr(self.config, "modality", self.default_modality))

    def untrained(self) -> Self | None:
        """The same method, unfitted, that takes no training step; None where its start is no detector.

        What a flow scores before any step (a distance in whitened features) says what its training adds.

        Example:
            >>> from endline.detectors.maps.cs_flow import CSFlow, CSFlowConfig
            >>> CSFlow(CSFlowConfig()).untrained().config.epochs
            0
        """
        config: Any = self.config
        if getattr(config, "min_epochs", 1) > 0:
            return None
        return type(self)(replace(config, epochs=0, min_steps=0), self.compute)

    @abstractmethod
    def _build(self, shapes: Shapes, samples: int) -> nn.Module:
        """Empty model, on the CPU, for arrays of these shapes (one sample's) and this number of training samples."""

    def _assembled(self, members: Mapping[str, "Detector[Any]"], shapes: Shapes, samples: int) -> nn.Module:
        """A module that holds the empty models of other detectors, which see the same maps, by name."""
        model = nn.Module()
        for name, member in members.items():
            member.pyramid = self.pyramid
            member.model = member._build(shapes, samples)
            model.add_module(name, member.model)
        return model

    @abstractmethod
    def _learn(self, training: Training) -> tuple[float, ...]:
        """Fill the built model from normal samples alone; returns the losses of the epochs."""

    @abstractmethod
    def _score(self, batch: Batch) -> Scored:
        """Score a batch of float32 arrays (batch, ...) of the shapes that the detector was fitted on; no gradient."""

    def _beyond(self, batch: Batch) -> Tensor | float:
        """What the evidence shows beside what the method models, (batch,), 0 for nothing; the score rises by so many
        times its own size.
        """
        return 0.0

    @final
    def fit(
        self,
        features: FeatureSet,
        *,
        seed: int,
        progress: Progress,
        rows: pd.DataFrame | None = None,
        outliers: FeatureSet | None = None,
        pyramid: PyramidSettings | None = None,
    ) -> History:
        """Learn what is normal.

        Args:
            features: normal samples only.
            seed: decides every random choice; the same seed gives the same scores.
            progress: shows the progress, and keeps the checkpoint from which a killed fit goes on.
            rows: their rows of the sample table, of which the method sees `ROW_COLUMNS`.
            outliers: normal samples of other classes; only a method that `uses_outliers` sees them.
            pyramid: how maps and views were made, for methods that go back to the image through the backbone.

        Raises:
            EndlineError: when the samples are too few for the method, or not finite.
        """
        start = time.perf_counter()
        if len(features) < 2:
            raise EndlineError(f"{len(features)} training sample(s): a detector needs at least 2 to know a spread.")
        table, read = known_rows(rows, len(features)), self._read(features)
        others = self._read(outliers) if self.uses_outliers and outliers is not None and len(outliers) else None
        check_samples(read, table["sample_id"].tolist())
        if others is not None:
            check_samples(others, [str(number) for number in range(len(others))], "outlier")
        self.pyramid = pyramid
        # These belong to the fit's identity: two of them may build models that look the same.
        progress.owner = content_key(self._about(), None if others is None else others.fingerprint)
        self._prepare(read.shapes, len(read), seed)
        own = read.only(self.required, self.optional)
        with self._exact():
            losses = self._learn(Training(own, table, seed, progress, others, self.compute))
            for name, extremes in self._add_extremes(read.shapes).items():
                extremes.fit(read, name)
        self.model.eval()
        return History(losses, time.perf_counter() - start)

    @final
    def score(self, batch: Batch, names: Sequence[str] | None = None) -> Scored:
        """Scores (batch,) and maps (batch, H, W) of samples, float32, on the CPU.

        Args:
            batch: arrays (batch, ...) of the shapes that the detector was fitted on; it leaves aside what it does not
                read.
            names: of the samples, (batch,), for errors.

        Raises:
            EndlineError: when it is not fitted, an array is missing, or a value, a score or a map is not finite: then
                the sample is named.
        """
        given = self._given(batch, names)
        placed = {name: given.pop(name) for name in PLACED if name in given}
        outside = given.pop(OUTSIDE, None)
        with self._exact(), torch.no_grad():
            scored = self._score(given)
            size = 1 + scored.score.abs()
            beyond = self._beyond(given) + (0 if outside is None else BEYOND * outside[:, 0])
            score = scored.score + beyond * size
            unusual = [self.model.get_submodule(name)(x) * size[:, None, None] for name, x in placed.items()]
            score = sum((each.flatten(1).amax(1) for each in unusual), score).detach().float().cpu()
        check_scores(score, names, type(self).__name__)

        def drawn() -> Tensor | None:
            with self._exact(), torch.no_grad():
                maps = scored.map
            if maps is None:
                return None
            for each in unusual:
                maps = maps + adaptive_max_pool2d(each[:, None], maps.shape[-2:])[:, 0]
            maps = maps.detach().float().cpu()
            check_maps(maps, names, type(self).__name__)
            return maps

        return Scored(score, drawn if scored.has_map else None)

    @property
    def parameter_count(self) -> int:
        """Number of fitted values: parameters and buffers."""
        return sum(tensor.numel() for tensor in self.model.state_dict().values())

    def save(self, folder: Path) -> None:
        """Write `config.json` (class, settings, pyramid, shapes) and `weights.safetensors` into the folder.

        Raises:
            EndlineError: when the detector is not fitted, or the disk is full.
        """
        if self._built is None:
            raise EndlineError(f"{type(self).__name__} is not fitted yet: fit it before saving it.")
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.contiguous().cpu() for name, tensor in self.model.state_dict().items()}
        try:
            save_file(state, folder / "weights.safetensors")
        except SafetensorError as error:  # its own kind of exception, for the disk's errors too
            raise EndlineError(
                f"{folder} could not be written ({error}): free or unlock the disk, run again."
            ) from error
        (folder / "config.json").write_text(json.dumps({**self._about(), **self._built}, indent=1))

    def restore(self, folder: Path, shapes: Shapes, samples: int, pyramid: PyramidSettings | None = None) -> None:
        """Fill the model from a saved folder; how it was built is said by the arguments."""
        self.pyramid = pyramid
        self._prepare(shapes, samples, seed=0)
        self._add_extremes(shapes)
        self.model.load_state_dict(load_file(folder / "weights.safetensors"))
        self.model.eval()

    def _add_extremes(self, shapes: Shapes) -> dict[str, Extremes]:
        """What is usual of the arrays that no method sees, by name, beside what the method fills itself."""
        channels_first = {name: shapes[name] for name in PLACED if name in shapes}
        added = {name: Extremes(*shape).to(self.compute.torch_device) for name, shape in channels_first.items()}
        for name, extremes in added.items():
            self.model.add_module(name, extremes)
        return added

    def _about(self) -> dict[str, Any]:
        pyramid = None if self.pyramid is None else asdict(self.pyramid)
        return {"type": type_path(type(self)), "config": asdict(self.config), "pyramid": pyramid}  # type: ignore[call-overload]

    def _read(self, features: FeatureSet) -> FeatureSet:
        return features.only(*self.reads).to(self.compute.torch_device)

    def _given(self, batch: Batch, names: Sequence[str] | None) -> Batch:
        """What the model is to see of a batch: the arrays that it reads, on its device, checked."""
        if self._built is None:
            raise EndlineError(f"{type(self).__name__} is not fitted yet: fit it before it scores.")
        shapes = self._built["shapes"]
        if missing := sorted(shapes.keys() - batch.keys() - {*self.optional, OUTSIDE}):
            raise EndlineError(
                f"The samples have no array '{missing[0]}', which {type(self).__name__} was fitted on: "
                "extract them as the training samples were."
            )
        device = self.compute.torch_device
        given = {name: x.to(device) for name, x in batch.items() if name in shapes or name in self.optional}
        check_arrays(given, names)
        if self.model.training:
            self.model.eval()
        return given

    def _prepare(self, shapes: Shapes, samples: int, seed: int) -> None:
        self._built = {"shapes": {name: list(shape) for name, shape in shapes.items()}, "samples": samples}
        with seeded(seed):  # torch's layers draw their initial weights from the global generator
            own = {name: shape for name, shape in shapes.items() if name not in BESIDE}
            self.model = self._build(own, samples).to(self.compute.torch_device)
        prepare_memory(self.model)

    @contextmanager
    def _exact(self) -> Iterator[None]:
        """Products in float32: closed forms and scores of few digits would be other figures than a CPU's."""
        with replace(self.compute, precision="float32").active():
            yield


def type_path(cls: type) -> str:
    """Full path of a class, as it is written in `type:`.

    Example:
        >>> type_path(Detector)
        'endline.detectors.base.Detector'
    """
    return f"{cls.__module__}.{cls.__qualname__}"
