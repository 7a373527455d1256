"""Exhibits of clips: waveform, mel picture with its anomaly map, and the sound itself."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from endline.evaluation.attribution import standing_out
from endline.evaluation.map_values import has_maps, shared_limits
from endline.evidence.sound.clip_arrays import BANDS, log_mel
from endline.evidence.sound.exhibits import flac, mel_ticks
from endline.evidence.sound.machine_features import ClipPreparation, is_of_stack
from endline.evidence.station import Shown
from endline.reporting.band_figure import band_figure
from endline.reporting.detector_figures import input_groups
from endline.reporting.exhibit import Exhibit, exhibit_of
from endline.reporting.pictures import map_overlay, waveform_figure
from endline.reporting.style import encode_png


def clip_exhibits(shown: Shown, preparation: ClipPreparation) -> list[Exhibit]:
    """Exhibits of the shortlisted clips, in its order; no other map is read whole."""
    limits = shared_limits(shown.maps) if len(shown.shortlist) else None
    by_value = shown.attribution.sort_values("value", ascending=False, kind="stable")
    marked = standing_out(by_value, limits).drop_duplicates("sample_id").set_index("sample_id")
    bands = dict(list(shown.attribution.groupby("sample_id")))
    rows = {name: number for number, name in enumerate(shown.part_scores["sample_id"])}
    exhibits = []
    for verdict in shown.verdicts():
        name = verdict["sample_id"]
        whole = shown.maps.read([rows[name]])["map"].numpy()[0] if has_maps(shown.maps) else None
        place = tuple(marked.loc[name, ["row", "column"]]) if name in marked.index else None
        if whole is not None and is_of_stack(shown.maps):  # the picture shows its mel bands alone
            height = len(whole) / BANDS
            place = (place[0] * height, place[1]) if place is not None and place[0] * height < 1 else None
            whole = whole[:BANDS]
        exhibits.append(_exhibit(verdict, shown, preparation, whole, place, limits, bands.get(name)))
    return exhibits


def _exhibit(
    verdict: dict[str, Any],
    shown: Shown,
    preparation: ClipPreparation,
    anomaly_map: Any,
    place: Any,
    limits: tuple[float, float] | None,
    bands: pd.DataFrame | None,
) -> Exhibit:
    rate = preparation.reading.sample_rate
    signal = preparation.hear(shown.folder / verdict["path"])
    seconds = len(signal) / rate
    drawn = map_overlay(
        preparation.picture(log_mel(signal, rate)).numpy(),
        anomaly_map,
        limits=limits,
        extent=(0.0, seconds, 0.0, 1.0),
        lower_origin=True,
        colours="gray_r",
        x_label="time in s",
        y_label="frequency in kHz (mel)",
        y_ticks=mel_ticks(rate),
        hottest=place,
    )
    ring = "; ring: the map's largest value" if place is not None else ""
    figures = [
        ("waveform as recorded", encode_png(waveform_figure(signal, rate, []))),
        (f"log-mel picture{ring}", encode_png(drawn)),
    ]
    if bands is not None:
        drawn = _bands(bands, rate, of_stack=is_of_stack(shown.maps))
        figures.append(("share of each band in the map, dotted: all the same", encode_png(drawn)))
    note = "The sound is played as recorded, its loudest sample raised to full scale."
    return exhibit_of(verdict, figures, sound=flac(np.asarray(signal), rate), note=note)


def _bands(bands: pd.DataFrame, rate: int, *, of_stack: bool) -> Figure:
    """How much each band of one clip counts, and when the largest is."""
    shares = bands["share"].to_numpy(float)
    first = bands.iloc[shares.argmax()]
    peak = f"{first['band']}, {first['second']:.2f} s"
    if not of_stack:
        return band_figure(shares, mel_ticks(rate), peak, x_label="frequency in kHz (mel)")
    groups = input_groups(bands["band"].tolist())
    ticks = {(group.start + group.stop) / 2 / len(bands): name for name, group in groups}
    return band_figure(shares, ticks, peak, x_label="rows of the stack")
