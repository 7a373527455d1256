"""Exhibits of recordings: waveform, mel images with their anomaly maps, and the sound itself."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import soundfile
from matplotlib.figure import Figure
from numpy.typing import NDArray

from endline.evaluation.attribution import part_maps, standing_out
from endline.evaluation.map_values import has_maps, shared_limits
from endline.evidence.sound.mel import MelSettings, mel_of
from endline.evidence.sound.mirror_features import SoundPreparation, load_sound
from endline.evidence.sound.signals import Signal
from endline.feature_set import FeatureSet
from endline.reporting.exhibit import Exhibit, exhibit_of
from endline.reporting.pictures import map_overlay, waveform_figure
from endline.reporting.style import encode_png

TICKS_HZ = (200, 1000, 2000, 5000, 10000, 20000)


def sound_exhibits(
    shortlist: pd.DataFrame,
    samples: pd.DataFrame,
    scored: pd.DataFrame,
    maps: FeatureSet,
    hottest: pd.DataFrame,
    folder: Path,
    preparation: SoundPreparation,
) -> list[Exhibit]:
    """Exhibits of the shortlisted recordings, in its order; no other map is read whole.

    Args:
        shortlist: rows of the scores, with `why`.
        samples: the sample table.
        scored: the scored parts (or joint items), row by row with `maps`; columns `path, part`.
        maps: array `map` (h, w) of each, or (0, 0) where the detector has none.
        hottest: `sample_id, part, row, column`, as `hottest` gives it.
        folder: raw folder.
        preparation: as the features were made with.
    """
    limits = shared_limits(maps) if len(shortlist) else None
    marked = standing_out(hottest, limits)
    names = scored["sample_id"].to_numpy()
    shown = []
    for row in shortlist.to_dict("records"):
        verdict = {str(column): value for column, value in row.items()}
        own = np.flatnonzero((scored["path"] == verdict["path"]).to_numpy())
        views: dict[str, PartView] = {}
        for number in own if has_maps(maps) else ():
            whole = maps.read([int(number)])["map"].numpy()[0]
            peaks = marked[marked["sample_id"] == names[number]].set_index("part")[["row", "column"]]
            for part, anomaly_map in part_maps(scored["part"].iloc[number], whole):
                views[str(part)] = PartView(anomaly_map, tuple(peaks.loc[part]) if part in peaks.index else None)
        rows = samples[samples["path"] == verdict["path"]]
        shown.append(sound_exhibit(verdict, rows, views, folder, preparation, limits=limits))
    return shown


class PartView(NamedTuple):
    """Anomaly map (h, w) of a part, and (row, column) of its largest value as shares of height and width.

    Example:
        >>> PartView(np.zeros((2, 3), "f4"), hottest=None).anomaly_map.shape
        (2, 3)
    """

    anomaly_map: NDArray[np.float32]
    hottest: tuple[float, float] | None


def sound_exhibit(
    verdict: Mapping[str, Any],
    rows: pd.DataFrame,
    views: Mapping[str, PartView],
    folder: Path,
    preparation: SoundPreparation,
    *,
    limits: tuple[float, float] | None = None,
) -> Exhibit:
    """Exhibit of one recording.

    Args:
        verdict: its row of the shortlist.
        rows: its rows of the sample table.
        views: map of each scored part; may be empty.
        folder: raw folder.
        preparation: as the features were made with.
        limits: smallest and largest map value of the colour bar, the same for all exhibits.
    """
    mel = preparation.mel
    signal = load_sound(folder / verdict["path"], mel.sample_rate)
    parts = rows.to_dict("records")
    spans = [(row["part"], row["start"], row["stop"]) for row in parts]
    spans.insert(1, ("standstill", parts[0]["rest_start"], parts[0]["rest_stop"]))
    figures = [("waveform as recorded", encode_png(waveform_figure(signal, mel.sample_rate, spans)))]
    images = preparation.hear(rows, folder).images[0]
    seen = "log-mel image at the common noise floor" if preparation.levelled else "log-mel image"
    for row, image in zip(parts, images, strict=True):
        view = views.get(row["part"])
        drawn = _mel_figure(image.numpy(), view, row["stop"] - row["start"], mel, limits)
        ring = "; ring: the map's largest value" if view is not None and view.hottest is not None else ""
        figures.append((f"{row['part']}: {seen}{ring}", encode_png(drawn)))
    note = "The sound is played as recorded, its loudest sample raised to full scale."
    return exhibit_of(verdict, figures, sound=flac(signal, mel.sample_rate), note=note)


def _mel_figure(
    image: NDArray[np.float32],
    view: PartView | None,
    seconds: float,
    mel: MelSettings,
    limits: tuple[float, float] | None,
) -> Figure:
    return map_overlay(
        image,
        None if view is None else view.anomaly_map,
        limits=limits,
        extent=(0.0, seconds, 0.0, 1.0),
        lower_origin=True,
        colours="gray_r",
        x_label="time in s",
        y_label="frequency in kHz (mel)",
        y_ticks=mel_ticks(mel.sample_rate),
        hottest=None if view is None else view.hottest,
    )


def flac(signal: Signal, rate: int) -> bytes:
    """Lossless, so that a faint click stays what it is; every browser plays it."""
    file = io.BytesIO()
    loudest = max(float(np.abs(signal).max()), 1e-9)
    soundfile.write(file, 0.99 * signal / loudest, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def mel_ticks(rate: int) -> dict[float, str]:
    """Height in [0, 1] of some frequencies on the mel axis, with their names."""
    highest = rate / 2
    heights = {hz: mel_of(hz) / mel_of(highest) for hz in TICKS_HZ if hz < highest}
    return {height: f"{hz / 1000:g}" for hz, height in heights.items()}
