"""Features of the station `mirror_audio`: from indexed recordings to feature maps."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from endline.backbones.image_arrays import ArraySettings, described, image_arrays
from endline.backbones.networks import Backbone, load_backbone
from endline.backbones.pyramids import PyramidSettings, check_size
from endline.errors import EndlineError
from endline.evidence.sound.mel import MelSettings, mel_image
from endline.evidence.sound.noise_floor import common_floor, level, standstill_power
from endline.evidence.sound.recordings import Signal, read_recording, resample
from endline.feature_set import Batch, FeatureRecipe
from endline.files import content_key

NOISE_FLOORS = ("auto", "level", "level_training", "raw")
N_FFT = 2048


@dataclass(frozen=True)
class SoundSettings:
    """How a recording becomes feature maps.

    Attributes:
        arrays: which arrays are made of a mel image.
        draws: how often the levelling noise is drawn; the maps are their mean, so that a verdict hangs less on one
            draw. Raw recordings have nothing to draw.
        mel: settings of the mel image.
    """

    arrays: ArraySettings = field(default_factory=ArraySettings)
    draws: int = 1
    mel: MelSettings = field(default_factory=MelSettings)


def sound_settings(parameters: Mapping[str, Any]) -> SoundSettings:
    """Settings of the parameters `<station>.sound`, resolved for a detector."""
    chosen = {key: parameters[key] for key in ("draws",)}
    pyramid = PyramidSettings(**{key: parameters[key] for key in ("backbone", "weights", "input_type")})
    names = tuple(dict.fromkeys(["scale", *parameters["arrays"]]))  # the control needs maps in any case
    arrays = ArraySettings(pyramid, names, parameters["views"])
    return SoundSettings(**chosen, arrays=arrays, mel=MelSettings(**parameters["mel"]))


def measure_noise_floor(samples: pd.DataFrame, folder: Path, mode: str, rate: int) -> dict[str, Any]:
    """The noise floor that all recordings are raised to, or none.

    It is taken from the standstills of all recordings of the set, whatever their label: only so does no room stand
    out. A recording that comes later is raised to the same floor. `level_training` takes it from the training
    recordings alone: rooms that are louder then stand out, which the control tells.

    Args:
        samples: the sample table.
        folder: raw folder.
        mode: `level`, `level_training`, `raw`, or `auto` (level real recordings, leave simulated ones).
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
    if mode == "level_training":
        controls = controls[controls["split"] == "train"]
    powers = [
        standstill_power(load_sound(folder / row["path"], rate), rate, (row["start"], row["stop"]), N_FFT)
        for row in track(controls.to_dict("records"), "Measuring the standstills", transient=True)
    ]
    return {"mode": "level", "rate": rate, "power": common_floor(np.stack(powers)).tolist()}


def load_sound(path: Path, rate: int) -> Signal:
    """Recording (samples,) as one channel at `rate` Hz."""
    signal, own_rate = read_recording(path)
    return resample(signal, own_rate, rate)


def levelled(
    signal: Signal, standstill: tuple[float, float], digest: str, floor: Mapping[str, Any], draw: int = 0
) -> Signal:
    """Recording raised to the noise floor; the noise follows from the file's digest and the draw alone.

    Args:
        signal: (samples,) at the floor's rate.
        standstill: span in seconds.
        digest: SHA-256 of the file, hexadecimal.
        floor: as `measure_noise_floor` returns it.
        draw: number of the noise, from 0.
    """
    if floor["power"] is None:
        return signal
    power = standstill_power(signal, floor["rate"], standstill, N_FFT)
    return level(signal, floor["rate"], power, np.asarray(floor["power"]), int(digest[:12], 16) + draw)


def part_images(rows: pd.DataFrame, folder: Path, floor: Mapping[str, Any], mel: MelSettings, draws: int = 1) -> Tensor:
    """Mel images (draws, rows, height, width) in [0, 1] of the parts of one recording; one draw if it stays raw.

    Args:
        rows: the recording's rows of the sample table, the standstill among them.
        folder: raw folder.
        floor: as `measure_noise_floor` returns it.
        mel: settings of the image.
        draws: how often the levelling noise is drawn.
    """
    first, rest = rows.iloc[0], rows[rows["control"]].iloc[0]
    signal = load_sound(folder / first["path"], mel.sample_rate)
    above = None if floor["power"] is None else np.asarray(floor["power"])
    spans = [
        slice(round(start * mel.sample_rate), round(stop * mel.sample_rate))
        for start, stop in zip(rows["start"], rows["stop"], strict=True)
    ]
    images = []
    for draw in range(1 if above is None else draws):
        heard = levelled(signal, (rest["start"], rest["stop"]), first["digest"], floor, draw)
        images.append(torch.stack([mel_image(heard[span], mel, above) for span in spans]))
    return torch.stack(images)


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
    backbone = load_backbone(settings.arrays.pyramid.backbone, settings.arrays.pyramid.weights)
    check_size((settings.mel.height, settings.mel.width), backbone, settings.arrays.pyramid.input_type)
    inputs = samples[["digest", "part", "start", "stop"]].to_dict("list")
    told = {**described(settings.arrays, backbone), "mel": asdict(settings.mel), "draws": settings.draws}
    recordings = [rows for _, rows in samples.groupby("path", sort=False)]

    def batches() -> Iterator[dict[str, NDArray[Any]]]:
        for rows in track(recordings, "Extracting features", transient=True):
            maps = recording_maps(rows, folder, floor, settings, backbone)
            yield {name: x.numpy() for name, x in maps.items()}

    return FeatureRecipe(content_key(inputs, told, floor["power"]), len(samples), batches)


def recording_maps(
    rows: pd.DataFrame, folder: Path, floor: Mapping[str, Any], settings: SoundSettings, backbone: Backbone
) -> Batch:
    """Arrays (rows, ...) of the parts of one recording, the mean over the draws of the noise.

    Args:
        rows: the recording's rows of the sample table, the standstill among them.
        folder: raw folder.
        floor: as `measure_noise_floor` returns it.
        settings: of the images.
        backbone: the loaded backbone.
    """
    images = part_images(rows, folder, floor, settings.mel, settings.draws)
    arrays = image_arrays(images.flatten(0, 1)[:, None], backbone, settings.arrays)
    return {name: x.reshape(len(images), len(rows), *x.shape[1:]).mean(0) for name, x in arrays.items()}
