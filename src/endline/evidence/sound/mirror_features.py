"""From indexed recordings of mirror motors to the arrays that detectors read."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from endline.array_store import ArrayStore, FeatureRecipe
from endline.backbones.pyramids import PyramidSettings, check_size
from endline.compute import CPU, Compute
from endline.errors import EndlineError
from endline.evaluation.baselines import SUMMARY
from endline.evaluation.controls import CONTROL
from endline.evidence.decoded import DECODED
from endline.evidence.image_parts import FIRST_VIEW, ArraySettings, ImageParts, array_settings, kept_backbone
from endline.evidence.sound.dropouts import dropout_remark
from endline.evidence.sound.mel import MelSettings, mel_image
from endline.evidence.sound.mirror_index import PARTS, decoded, index_recording
from endline.evidence.sound.noise_floor import (
    Power,
    above_floor,
    band_levels,
    common_floor,
    level,
    loud_standstills,
    standstill_power,
)
from endline.evidence.sound.recorded_as import RecordedAs
from endline.evidence.sound.signals import Signal, resample
from endline.evidence.station import Inspected, Preparation
from endline.feature_set import FeatureSet
from endline.files import content_key
from endline.samples import TRAIN

NOISE_FLOORS = ("auto", "level", "level_training", "raw")
N_FFT = 2048
LOOKED_AT = 64  # training recordings whose standstills tell how quiet they are
QUIETER = 10.0  # dB below the quietest of these, beyond which no room but a lower gain is heard
NAMED = 5  # recordings that one warning names
log = logging.getLogger(__name__)


class Heard(NamedTuple):
    """What is made of one recording: mel images (draws, rows, height, width) in [0, 1], and the control (bands,).

    Example:
        >>> Heard(torch.zeros(1, 2, 256, 384), np.zeros(32, np.float32)).control.shape
        (32,)
    """

    images: Tensor
    control: NDArray[np.float32]


@dataclass(frozen=True)
class SoundPreparation(Preparation):
    """How a recording becomes arrays.

    The array `control` holds the levels of the standstill in 32 mel bands, in dB: the motor is off there, so nothing of
    a fault can be in it. The array `summary` holds mean and standard deviation of each motion's mel image.

    Attributes:
        power: noise floor that recordings are raised to, power a bin (N_FFT // 2 + 1,); None leaves them as they are.
        arrays: which arrays are made of a mel image.
        draws: how often the levelling noise is drawn; the arrays are their mean, so that a verdict depends less on one
            draw. Raw recordings have nothing to draw.
        mel: settings of the mel image.
        recorded: how the training recordings were made; None: it is not looked at, as of models trained before.
        quietest: how far in dB the standstill of the quietest of them lies above the floor (below 0: under it), see
            `above_floor`; None: it is not looked at.

    Example:
        >>> SoundPreparation(draws=2).mel.sample_rate
        44100
    """

    station: ClassVar[str] = "mirror_audio"
    power: tuple[float, ...] | None = None
    arrays: ArraySettings = field(default_factory=ArraySettings)
    draws: int = 1
    mel: MelSettings = field(default_factory=MelSettings)
    recorded: RecordedAs | None = None
    quietest: float | None = None

    @property
    def pyramid(self) -> PyramidSettings:
        """How feature maps are made."""
        return self.arrays.pyramid

    @property
    def levelled(self) -> bool:
        """Whether recordings are raised to a common noise floor."""
        return self.power is not None

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The preparation that `plain` wrote."""
        power = None if plain["power"] is None else tuple(plain["power"])
        recorded = RecordedAs.from_plain(plain.get("recorded"))
        arrays, mel = array_settings(plain["arrays"]), MelSettings(**plain["mel"])
        return cls(power, arrays, plain["draws"], mel, recorded, plain.get("quietest"))

    def recipe(self, samples: pd.DataFrame, folder: Path, store: ArrayStore, compute: Compute = CPU) -> FeatureRecipe:
        """Recipe of the arrays of all motions of all recordings, the rows of a recording one after the other.

        Raises:
            EndlineError: for an unknown backbone or input type, or missing weights.
        """
        inputs = samples[["digest", "part", "start", "stop", "rest_start", "rest_stop"]].to_dict("list")
        evidence = content_key(inputs, self.power, self.draws, asdict(self.mel))
        parts = self._parts(evidence, compute)
        known = parts.stored_maps(store) if self.draws == 1 or not self.levelled else None
        recordings = [rows for _, rows in samples.groupby("path", sort=False)]

        def batches(wanted: Collection[str]) -> Iterator[dict[str, NDArray[Any]]]:
            start = 0
            for rows in track(recordings, "Extracting features", transient=True):
                maps = None
                if known is not None and FIRST_VIEW in wanted:
                    maps = known.read(np.arange(start, start + len(rows)))
                yield self._made(rows, folder, parts, wanted, maps)
                start += len(rows)

        return FeatureRecipe(
            arrays={**parts.arrays, CONTROL: (CONTROL,), SUMMARY: (SUMMARY,)},
            keys={**parts.keys, **{name: content_key(evidence, name) for name in (CONTROL, SUMMARY)}},
            length=len(samples),
            batches=batches,
            dtypes={CONTROL: "float32", SUMMARY: "float32"},
        )

    def inspect(self, path: Path, compute: Compute = CPU) -> Inspected:
        """Rows of the sample table (two motions), and arrays, of one new recording.

        Raises:
            EndlineError: when it cannot be used.
        """
        rows = index_recording(path)
        self.warn_of(str(path), rows.to_dict("records")[0])
        if self.power is not None:
            power = _standstill(rows.iloc[0], path.parent, self.mel.sample_rate)
            excess = above_floor(power, np.asarray(self.power), self.mel.sample_rate)
            if excess > 0:
                log.warning(
                    "%s is %.1f dB louder at rest than the noise floor of its model, and its verdict rests on room "
                    "noise. Record it again in a quieter room.",
                    path,
                    excess,
                )
            elif self.quietest is not None and excess < self.quietest - QUIETER:
                log.warning(
                    "%s is %.1f dB quieter at rest than the quietest recording that trains: it may be anomalous by "
                    "that alone. Look whether the gain is lower, or a noise gate is on.",
                    path,
                    self.quietest - excess,
                )
        parts = self._parts("", compute)
        made = self._made(rows, path.parent, parts, parts.keys)
        return rows, FeatureSet({name: [made[part] for part in joined] for name, joined in parts.arrays.items()})

    def remarks(self, row: Mapping[Any, Any]) -> list[str]:
        """What of a file is another than in all that train, and its dropout; said of its first motion, for both."""
        if row["part"] != PARTS[0]:
            return []
        return [*(self.recorded.remarks(row) if self.recorded is not None else []), *dropout_remark(row)]

    def hear(self, rows: pd.DataFrame, folder: Path) -> Heard:
        """Mel images and control of one recording; one draw where it stays raw.

        Args:
            rows: the recording's rows of the sample table.
            folder: raw folder.
        """
        first, rate = rows.iloc[0], self.mel.sample_rate
        signal = load_sound(folder / first["path"], rate)
        rest = (first["rest_start"], first["rest_stop"])
        floor = None if self.power is None else np.asarray(self.power)
        spans = [slice(round(a * rate), round(b * rate)) for a, b in zip(rows["start"], rows["stop"], strict=True)]
        own = standstill_power(signal, rate, rest, N_FFT)
        images, controls = [], []
        for draw in range(1 if floor is None else self.draws):
            heard = signal
            if floor is not None:
                seed = int(first["digest"][:12], 16) + draw  # the noise follows from the file and the draw alone
                heard = level(signal, rate, own, floor, seed)
            images.append(torch.stack([mel_image(heard[span], self.mel, floor) for span in spans]))
            controls.append(band_levels(standstill_power(heard, rate, rest, N_FFT), rate))
        return Heard(torch.stack(images), np.mean(controls, 0, dtype=np.float32))

    def _made(
        self,
        rows: pd.DataFrame,
        folder: Path,
        parts: ImageParts,
        wanted: Collection[str],
        known: Mapping[str, Tensor] | None = None,
    ) -> dict[str, NDArray[Any]]:
        heard = self.hear(rows, folder)
        made = parts.make(heard.images.flatten(0, 1)[:, None], wanted, known)
        mean = {name: x.reshape(-1, len(rows), *x.shape[1:]).mean(0).numpy() for name, x in made.items()}
        looks = heard.images.mean(0).flatten(1)  # (motions, pixels)
        summary = torch.stack([looks.mean(1), looks.std(1)], 1).flatten().numpy()
        return {**mean, CONTROL: np.tile(heard.control, (len(rows), 1)), SUMMARY: np.tile(summary, (len(rows), 1))}

    def _parts(self, evidence: str, compute: Compute) -> ImageParts:
        backbone = kept_backbone(self.pyramid.backbone, self.pyramid.weights, compute)
        check_size((self.mel.height, self.mel.width), backbone, self.pyramid.input_type)
        return ImageParts(self.arrays, backbone, evidence)


def measure_noise_floor(samples: pd.DataFrame, folder: Path, mode: str, rate: int) -> tuple[float, ...] | None:
    """The noise floor that all recordings are raised to (N_FFT // 2 + 1 powers), or None.

    It is taken from the standstills of all recordings of the set, whatever their label: only so does no room stand
    out. A recording that comes later is raised to the same floor. `level_training` takes it from the training
    recordings alone: rooms that are louder then stand out, which the control shows.

    A few standstills that are far louder than all others (see `loud_standstills`) do not count, or they would raise
    the noise of all. They are named in the log, and so is each recording that stays above the floor.

    Args:
        samples: the sample table.
        folder: raw folder.
        mode: `level`, `level_training`, `raw`, or `auto` (level real recordings, leave simulated ones).
        rate: rate in Hz that recordings are brought to.

    Raises:
        EndlineError: for an unknown mode.
    """
    if mode not in NOISE_FLOORS:
        raise EndlineError(f"There is no noise_floor '{mode}': choose one of {', '.join(NOISE_FLOORS)}.")
    if mode == "raw" or (mode == "auto" and bool(samples["simulated"].all())):
        return None
    recordings = samples.drop_duplicates("path")
    names = recordings["path"].to_numpy()
    powers = np.stack(
        [
            _standstill(row, folder, rate)
            for _, row in track(list(recordings.iterrows()), "Measuring the standstills", transient=True)
        ]
    )
    counted = np.ones(len(names), dtype=np.bool_)
    if mode == "level_training":
        counted = (recordings["split"] == "train").to_numpy(dtype=np.bool_, copy=True)
    loud = np.flatnonzero(counted)[loud_standstills(powers[counted], rate)]
    counted[loud] = False
    floor = common_floor(powers[counted])
    if len(loud):
        log.warning(
            "The noise floor leaves out %s: at rest far louder than all others, which would be drowned in noise.",
            _listed(names[loud]),
        )
    excess = np.array([above_floor(power, floor, rate) for power in powers])
    if (excess > 0).any():
        ranked = [number for number in np.argsort(-excess) if excess[number] > 0]
        log.warning(
            "%d of %d recordings stay louder at rest than the common noise floor, and their verdicts rest on room "
            "noise: %s. Record them again in a quieter room.",
            len(ranked),
            len(names),
            _listed(f"{names[number]} by {excess[number]:.1f} dB" for number in ranked),
        )
    return tuple(floor.tolist())


def quietest_standstill(
    samples: pd.DataFrame, folder: Path, power: tuple[float, ...] | None, rate: int
) -> float | None:
    """How far in dB the quietest standstill of the training recordings lies above their floor; None without a floor.

    Args:
        samples: the sample table.
        folder: raw folder.
        power: the floor, as `measure_noise_floor` gives it.
        rate: rate in Hz that recordings are brought to.
    """
    if power is None:
        return None
    training = samples[samples["split"] == TRAIN].drop_duplicates("path")
    looked_at = training.iloc[:: max(1, len(training) // LOOKED_AT)]
    floor = np.asarray(power)
    return min(above_floor(_standstill(row, folder, rate), floor, rate) for _, row in looked_at.iterrows())


def _standstill(row: pd.Series, folder: Path, rate: int) -> Power:
    """Power a bin (N_FFT // 2 + 1,) of the standstill of a recording, given by one row of the sample table."""
    return standstill_power(load_sound(folder / row["path"], rate), rate, (row["rest_start"], row["rest_stop"]), N_FFT)


def _listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    all_names = list(names)
    rest = len(all_names) - NAMED
    return ", ".join(all_names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def load_sound(path: Path, rate: int) -> Signal:
    """Recording (samples,) as one channel at `rate` Hz."""
    signal, own_rate = DECODED.read(path, decoded)
    return resample(signal, int(own_rate), rate)
