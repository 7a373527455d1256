"""Features of the station `mirror_audio`: from indexed recordings to feature maps."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from endline.errors import EndlineError
from endline.feature_set import FeatureRecipe, content_key
from endline.features.backbones import load_backbone
from endline.features.mel import MelSettings, mel_image
from endline.features.noise_floor import common_floor, level, standstill_power
from endline.features.pyramids import pyramid
from endline.features.recordings import Signal, read_recording, resample

NOISE_FLOORS = ("auto", "level", "raw")
N_FFT = 2048


@dataclass(frozen=True)
class SoundSettings:
    """How a recording becomes feature maps.

    Attributes:
        backbone: name of the frozen network.
        weights: path or torchvision name of its weights; None for the packaged ones.
        input_type: `hybrid`, `multifeature` or `multiscale`.
        mel: settings of the mel image.
    """

    backbone: str = "efficientnet_lite0"
    weights: str | None = None
    input_type: str = "hybrid"
    mel: MelSettings = MelSettings()


def measure_noise_floor(samples: pd.DataFrame, folder: Path, mode: str, rate: int) -> dict[str, Any]:
    """The noise floor that all recordings are raised to, or none.

    It is taken from the standstills of all recordings of the set, whatever their label: only so does no room stand
    out. A recording that comes later is raised to the same floor.

    Args:
        samples: the sample table.
        folder: raw folder.
        mode: `level`, `raw`, or `auto` (level real recordings, leave simulated ones).
        rate: rate in Hz that recordings are brought to.

    Returns:
        `mode` (`level` or `raw`), `rate`, and `power`: the floor (N_FFT // 2 + 1 values), None when raw.

    Raises:
        EndlineError: for an unknown mode.
    """
    if mode not in NOISE_FLOORS:
        raise EndlineError(f"There is no noise_floor '{mode}': choose one of {', '.join(NOISE_FLOORS)}.")
    if mode == "raw" or (mode == "auto" and bool(samples["simulated"].all())):
        return {"mode": "raw", "rate": rate, "power": None}
    controls = samples[samples["control"]]
    powers = [
        standstill_power(load_sound(folder / row.path, rate), rate, (row.start, row.stop), N_FFT)
        for row in track(list(controls.itertuples()), "Measuring the standstills", transient=True)
    ]
    return {"mode": "level", "rate": rate, "power": common_floor(np.stack(powers)).tolist()}


def load_sound(path: Path, rate: int) -> Signal:
    """Recording (samples,) as one channel at `rate` Hz."""
    signal, own_rate = read_recording(path)
    return resample(signal, own_rate, rate)


def levelled(signal: Signal, standstill: tuple[float, float], digest: str, floor: Mapping[str, Any]) -> Signal:
    """Recording raised to the noise floor; the noise follows from the file's digest alone.

    Args:
        signal: (samples,) at the floor's rate.
        standstill: span in seconds.
        digest: SHA-256 of the file, hexadecimal.
        floor: as `measure_noise_floor` returns it.
    """
    if floor["power"] is None:
        return signal
    power = standstill_power(signal, floor["rate"], standstill, N_FFT)
    return level(signal, floor["rate"], power, np.asarray(floor["power"]), int(digest[:12], 16))


def part_images(rows: pd.DataFrame, folder: Path, floor: Mapping[str, Any], mel: MelSettings) -> Tensor:
    """Mel images (rows, height, width) in [0, 1] of the parts of one recording.

    Args:
        rows: the recording's rows of the sample table, the standstill among them.
        folder: raw folder.
        floor: as `measure_noise_floor` returns it.
        mel: settings of the image.
    """
    first, rest = rows.iloc[0], rows[rows["control"]].iloc[0]
    signal = load_sound(folder / first["path"], mel.sample_rate)
    signal = levelled(signal, (rest["start"], rest["stop"]), first["digest"], floor)
    cuts = [
        signal[round(start * mel.sample_rate) : round(stop * mel.sample_rate)]
        for start, stop in zip(rows["start"], rows["stop"], strict=True)
    ]
    return torch.stack([mel_image(cut, mel) for cut in cuts])


def sound_features(
    samples: pd.DataFrame, folder: Path, floor: Mapping[str, Any], settings: SoundSettings
) -> FeatureRecipe:
    """Recipe of the feature maps of all parts of all recordings.

    Args:
        samples: the sample table, the rows of a recording one after the other.
        folder: raw folder.
        floor: as `measure_noise_floor` returns it.
        settings: of the images and the backbone.

    Raises:
        EndlineError: for an unknown backbone or input type, or missing weights.
    """
    backbone = load_backbone(settings.backbone, settings.weights)
    inputs = samples[["digest", "part", "start", "stop"]].to_dict("list")
    described = asdict(settings) | {"weights": backbone.digest}
    recordings = [rows for _, rows in samples.groupby("path", sort=False)]

    def batches() -> Iterator[dict[str, NDArray[Any]]]:
        for rows in track(recordings, "Extracting features", transient=True):
            images = part_images(rows, folder, floor, settings.mel)[:, None]
            maps = pyramid(images, backbone, settings.input_type)
            yield {name: array.numpy() for name, array in maps.items()}

    # An unknown input type is told before anything is read.
    pyramid(torch.zeros(1, 1, 128, 128), backbone, settings.input_type)
    return FeatureRecipe(content_key(inputs, described, dict(floor)), len(samples), batches)
