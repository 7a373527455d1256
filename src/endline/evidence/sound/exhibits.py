"""Exhibits of recordings: waveform, mel images with their anomaly maps, and the sound itself."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray

from endline.evidence.sound.mel import MelSettings, mel_of
from endline.evidence.sound.mirror_features import load_sound, part_images
from endline.evidence.sound.recordings import Signal
from endline.reporting.pictures import map_overlay, waveform_figure
from endline.reporting.report import Exhibit, exhibit_of
from endline.reporting.style import encode_png

TICKS_HZ = (200, 1000, 2000, 5000, 10000, 20000)


def sound_exhibit(
    verdict: Mapping[str, Any],
    rows: pd.DataFrame,
    maps: Mapping[str, NDArray[np.float32]],
    limits: tuple[float, float] | None,
    folder: Path,
    floor: Mapping[str, Any],
    mel: MelSettings,
) -> Exhibit:
    """Exhibit of one recording.

    Args:
        verdict: its row of the shortlist.
        rows: its rows of the sample table.
        maps: anomaly map (h, w) of each scored part; may be empty.
        limits: smallest and largest map value of the colour bar, the same for all exhibits.
        folder: raw folder.
        floor: noise floor, as the features were made with.
        mel: settings of the image.
    """
    signal = load_sound(folder / verdict["path"], mel.sample_rate)
    parts = rows.to_dict("records")
    spans = [(row["part"], row["start"], row["stop"]) for row in parts]
    figures = [("Waveform as recorded", encode_png(waveform_figure(signal, mel.sample_rate, spans)))]
    images = part_images(rows, folder, floor, mel)[0]
    ticks = _mel_ticks(mel)
    for row, image in zip(parts, images, strict=True):
        if not row["control"]:
            figure = map_overlay(
                image.numpy(),
                maps.get(row["part"]),
                limits=limits,
                extent=(0.0, row["stop"] - row["start"], 0.0, 1.0),
                lower_origin=True,
                colours="gray_r",
                x_label="time in s",
                y_label="frequency in kHz (mel)",
                y_ticks=ticks,
            )
            seen = "log-mel image" if floor["power"] is None else "log-mel image at the common noise floor"
            figures.append((f"{row['part']}: {seen}", encode_png(figure)))
    note = "The sound is played as recorded, its loudest sample raised to full scale."
    return exhibit_of(verdict, figures, sound=_flac(signal, mel.sample_rate), note=note)


def _flac(signal: Signal, rate: int) -> bytes:
    """Lossless, so that a faint click stays what it is; every browser plays it."""
    file = io.BytesIO()
    loudest = max(float(np.abs(signal).max()), 1e-9)
    soundfile.write(file, 0.99 * signal / loudest, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _mel_ticks(mel: MelSettings) -> dict[float, str]:
    """Height in [0, 1] of some frequencies on the mel axis, with their names."""
    highest = mel.sample_rate / 2
    heights = {hz: mel_of(hz) / mel_of(highest) for hz in TICKS_HZ if hz < highest}
    return {height: f"{hz / 1000:g}" for hz, height in heights.items()}
