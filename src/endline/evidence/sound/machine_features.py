"""From indexed clips of running machines to the arrays that detectors read."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn.functional import interpolate

from endline.array_store import ArrayStore, FeatureRecipe
from endline.backbones.pyramids import PyramidSettings, check_size
from endline.compute import CPU, Compute
from endline.detectors.sound.stack_rows import row_names
from endline.errors import EndlineError
from endline.evaluation.baselines import SUMMARY
from endline.evaluation.controls import CONTROL
from endline.evidence.image_parts import ArraySettings, ImageParts, array_settings, kept_backbone
from endline.evidence.sound.clip_arrays import MAKERS, Array, fitted, shifted_pictures, summary
from endline.evidence.sound.dropouts import dropout_remark
from endline.evidence.sound.machine_index import Reading, clip_signal, index_clip
from endline.evidence.sound.recorded_as import RecordedAs, length_remark
from endline.evidence.sound.signals import Signal
from endline.evidence.station import Inspected, Preparation
from endline.feature_set import FeatureSet
from endline.files import content_key
from endline.samples import TRAIN

SHIFTED, SECTION, LOG_MEL = "stft_shifted", "section", "log_mel"
CLIP_ARRAYS = (*MAKERS, SHIFTED, SECTION)
FACTS = ("seconds", "rate", "channels", "bits")  # columns of the sample table that make the control
BATCH = 16  # clips in memory at once
ALIKE = 0.01  # of their length, by which clips may differ: an encoder fills its last frame
WINDOW_HOP = 0.5  # of a clip, from one window of a recording to the next: a short fault lies whole in one of two
LOOKED_AT = 64  # training clips from which the range of the mel picture is taken
DARKEST, BRIGHTEST = 0.01, 0.999  # shares of their values below which the picture is 0, and above which it is 1


@dataclass(frozen=True)
class ClipPreparation(Preparation):
    """How a clip becomes arrays.

    The array `summary` holds mean, deviation and maximum over time of the clip's level. The array `control` holds what
    the file is apart from its sound (`FACTS`). Nothing that is heard is in it, not even the quietest moments: a fan
    never stops, and a leaking valve hisses between its clicks, so that their levels give away faults of simulated
    machines whose recordings do not differ (AUROC 0.62 to 0.81).

    Attributes:
        samples: length of every clip: shorter ones are repeated, a longer one is refused.
        reading: how clips are read.
        arrays: which arrays are made of the mel picture.
        of_clip: other arrays, names of `CLIP_ARRAYS`.
        low_db, high_db: powers that are 0 and 1 in the mel picture, taken from the training clips.
        height, width: of the mel picture, pixels.
        workers: threads that clips are prepared by.
        recorded: how the training clips were recorded; None: it is not looked at, as of models trained before.
        seconds: of the shortest and the longest of them; None: it is not looked at.
        dropout: seconds of one value that more than half of them hold, as where a recorder begins with zeros.

    Example:
        >>> ClipPreparation(samples=160_000, of_clip=("log_mel",)).station
        'machine_audio'
    """

    station: ClassVar[str] = "machine_audio"
    samples: int
    reading: Reading = field(default_factory=Reading)
    arrays: ArraySettings = field(default_factory=ArraySettings)
    of_clip: tuple[str, ...] = ()
    low_db: float = -100.0
    high_db: float = 0.0
    height: int = 256
    width: int = 384
    workers: int = 2
    recorded: RecordedAs | None = None
    seconds: tuple[float, float] | None = None
    dropout: float = 0.0

    @property
    def pyramid(self) -> PyramidSettings:
        """How feature maps are made, by the station or by a detector that has a network of its own for other arrays."""
        return self.arrays.pyramid

    @property
    def hop(self) -> float:
        """Seconds from one window of a recording to the next: half a window, which is as long as a clip."""
        return WINDOW_HOP * self.samples / self.reading.sample_rate

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The preparation that `plain` wrote."""
        own = {
            "reading": Reading(**plain["reading"]),
            "arrays": array_settings(plain["arrays"]),
            "of_clip": tuple(plain["of_clip"]),
            "recorded": RecordedAs.from_plain(plain.get("recorded")),
            "seconds": tuple(plain["seconds"]) if plain.get("seconds") else None,
        }
        return cls(**{**plain, **own})

    def recipe(self, samples: pd.DataFrame, folder: Path, store: ArrayStore, compute: Compute = CPU) -> FeatureRecipe:
        """Recipe of the arrays of all clips.

        Raises:
            EndlineError: for an unknown backbone or input type, or missing weights.
        """
        clips = content_key(samples["digest"].tolist(), asdict(self.reading), self.samples)
        picture = content_key(clips, self.low_db, self.high_db, self.height, self.width)
        parts = self._parts(picture, compute)
        trains = (samples["split"] == TRAIN).tolist()
        beside: dict[str, object] = {SHIFTED: trains, SECTION: samples["section"].fillna("").tolist()}
        own = (*self.of_clip, SUMMARY)
        keys = {name: content_key(clips, name, beside.get(name)) for name in own}
        keys[CONTROL] = content_key(CONTROL, FACTS, samples["digest"].tolist())
        facts = samples[list(FACTS)].to_numpy(np.float32)

        def batches(wanted: Collection[str]) -> Iterator[dict[str, NDArray[Any]]]:
            names = self._own(parts, wanted)

            def one(row: Mapping[str, Any]) -> dict[str, Array]:
                return self._of_signal(row, self.hear(folder / row["path"]), names)

            with ThreadPoolExecutor(self.workers) as pool:
                for start in track(range(0, len(samples), BATCH), "Extracting features", transient=True):
                    at = slice(start, start + BATCH)
                    rows = samples.iloc[at].to_dict("records")
                    made = self._joined(list(pool.map(one, rows)), parts, wanted) if set(wanted) - {CONTROL} else {}
                    yield {**made, CONTROL: facts[at]}

        return FeatureRecipe(
            arrays={**(parts.arrays if parts else {}), **{name: (name,) for name in (*own, CONTROL)}},
            keys={**(parts.keys if parts else {}), **keys},
            length=len(samples),
            batches=batches,
            dtypes=dict.fromkeys((*own, CONTROL), "float32"),
        )

    def inspect(self, path: Path, compute: Compute = CPU) -> Inspected:
        """Row of the sample table, and arrays, of one new clip.

        Raises:
            EndlineError: when it cannot be used, or is longer than those of the model.
        """
        rows = index_clip(path, self.reading)
        own, longest = float(rows["seconds"].iloc[0]), self.samples / self.reading.sample_rate
        if own > (1 + ALIKE) * longest:
            raise EndlineError(
                f"{path} lasts {own:.3g} s, and its model has learned from clips of {longest:.3g} s: "
                f"cut it into such pieces, or judge it by `kedro stream --station={self.station}`."
            )
        self.warn_of(str(path), rows.to_dict("records")[0])
        return rows, self.arrays_of(rows, self.hear(path), compute)

    def remarks(self, row: Mapping[Any, Any]) -> list[str]:
        """What of a clip's file and length is another than in all that train, and its dropout, as its row tells."""
        said = self.recorded.remarks(row) if self.recorded is not None else []
        if self.seconds is not None and "seconds" in row:  # a window of a recording is as long as all
            said += length_remark(row["seconds"], self.seconds, ALIKE)
        return said + dropout_remark(row, self.dropout)

    def arrays_of(self, rows: pd.DataFrame, signal: Signal, compute: Compute = CPU) -> FeatureSet:
        """The arrays that the detectors read of one clip.

        Args:
            rows: its row of the sample table.
            signal: as `hear` gives it.
            compute: of the backbone.
        """
        parts = self._parts("", compute)
        joined = {**(parts.arrays if parts else {}), **{name: (name,) for name in self.of_clip}}
        wanted = {part for each in joined.values() for part in each}
        row = {str(column): value for column, value in rows.iloc[0].items()}
        made = self._joined([self._of_signal(row, signal, self._own(parts, wanted))], parts, wanted)
        return FeatureSet({name: [made[part] for part in each] for name, each in joined.items()})

    def hear(self, path: Path) -> Signal:
        """A clip as the arrays are made of it: (samples,) at the rate and of the length of all."""
        return fitted(clip_signal(path, self.reading), self.samples)

    def picture(self, of_clip: Array) -> Tensor:
        """Mel picture (height, width) in [0, 1] of a log-mel (bands, frames) in dB, row 0 the lowest band."""
        image = (torch.from_numpy(of_clip) - self.low_db) / (self.high_db - self.low_db)
        size = (self.height, self.width)
        resized = interpolate(image.clamp(0, 1)[None, None], size, mode="bilinear", antialias=True)
        return resized[0, 0].clamp(0, 1)

    def _own(self, parts: ImageParts | None, wanted: Collection[str]) -> set[str]:
        """Arrays of a clip itself that are wanted, or that what is wanted is made of."""
        own = {name for name in (*CLIP_ARRAYS, SUMMARY) if name in wanted}
        of_log_mel = SUMMARY in own or (parts is not None and not parts.keys.keys().isdisjoint(wanted))
        return own | ({LOG_MEL} if of_log_mel else set())

    def _joined(
        self, made: Sequence[Mapping[str, Array]], parts: ImageParts | None, wanted: Collection[str]
    ) -> dict[str, NDArray[Any]]:
        """The wanted arrays (clips, ...) of those of each clip, and of their mel pictures."""
        arrays: dict[str, NDArray[Any]] = {
            name: np.stack([each[name] for each in made]) for name in (*CLIP_ARRAYS, SUMMARY) if name in wanted
        }
        if parts is not None and (of_image := set(parts.keys) & set(wanted)):
            images = torch.stack([self.picture(each[LOG_MEL]) for each in made])[:, None]
            arrays |= {name: values.numpy() for name, values in parts.make(images, of_image).items()}
        return arrays

    def _of_signal(self, row: Mapping[str, Any], signal: Signal, names: Collection[str]) -> dict[str, Array]:
        """Arrays of the clip itself, and those that they are made of."""
        rate = self.reading.sample_rate
        made = {name: make(signal, rate) for name, make in MAKERS.items() if name in names}
        if SHIFTED in names and row["split"] == TRAIN:
            made[SHIFTED] = shifted_pictures(signal, rate, int(row["digest"][:12], 16))
        elif SHIFTED in names:
            made[SHIFTED] = np.repeat(made["stft"] if "stft" in made else MAKERS["stft"](signal, rate), 2, 0)
        if SECTION in names:
            made[SECTION] = np.array([_number(row["section"])], np.float32)
        if SUMMARY in names:
            made[SUMMARY] = summary(made[LOG_MEL])
        return made

    def _parts(self, evidence: str, compute: Compute) -> ImageParts | None:
        if not self.arrays.arrays:
            return None
        backbone = kept_backbone(self.arrays.pyramid.backbone, self.arrays.pyramid.weights, compute)
        check_size((self.height, self.width), backbone, self.arrays.pyramid.input_type)
        return ImageParts(self.arrays, backbone, evidence)


def picture_range(samples: pd.DataFrame, folder: Path, preparation: ClipPreparation) -> tuple[float, float]:
    """Powers in dB that are 0 and 1 in the mel picture: what nearly all values of the training clips lie between.

    Args:
        samples: the sample table.
        folder: raw folder.
        preparation: length and reading of the clips.
    """
    training = samples.loc[samples["split"] == TRAIN, "path"]
    looked_at: Sequence[str] = training.iloc[:: max(1, len(training) // LOOKED_AT)].tolist()
    levels = np.concatenate(
        [
            MAKERS[LOG_MEL](preparation.hear(folder / name), preparation.reading.sample_rate).ravel()
            for name in looked_at
        ]
    )
    low, high = np.quantile(levels, [DARKEST, BRIGHTEST])
    return float(low), float(max(high, low + 1.0))


def is_of_stack(maps: FeatureSet) -> bool:
    """Whether anomaly maps have a row for each of the 158 rows of the stack, of which the first 128 are mel bands.

    Example:
        >>> is_of_stack(FeatureSet({"map": np.zeros((1, 128, 20), "f4")}))
        False
    """
    return maps.shapes["map"][0] == len(row_names())


def _number(section: object) -> int:
    """Number of a section of the own machine, -1 where it is not known."""
    text = str(section)
    return int(text) if text.isdecimal() else -1
