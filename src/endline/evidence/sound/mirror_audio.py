"""The station `mirror_audio`: recordings of one fold and one unfold of a mirror motor."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.evidence.image_parts import wanted_arrays
from endline.evidence.sound.exhibits import sound_exhibit
from endline.evidence.sound.mel import MelSettings
from endline.evidence.sound.mirror_features import SoundPreparation, measure_noise_floor
from endline.evidence.sound.mirror_index import index_recordings
from endline.evidence.station import Arrays, IndexRequest, Progress, Shown, Station
from endline.reporting.pictures import shared_limits
from endline.reporting.report import Exhibit
from endline.samples import Index


def index(folder: Path, request: IndexRequest) -> Index:
    """Sample table of a folder of recordings, see `index_recordings`."""
    return index_recordings(folder, group=request.group or "mirror", simulated=request.simulated)


def prepare(
    samples: pd.DataFrame, folder: Path, facts: Mapping[str, Any], parameters: Mapping[str, Any], wanted: Arrays
) -> SoundPreparation:
    """Measure the noise floor that the recordings are raised to, and how they become arrays."""
    mel = MelSettings(**parameters["mel"])
    power = measure_noise_floor(samples, folder, parameters["noise_floor"], mel.sample_rate)
    return SoundPreparation(power, wanted_arrays(parameters, wanted), parameters["draws"], mel)


def exhibits(shown: Shown, preparation: SoundPreparation) -> list[Exhibit]:
    """Waveform, mel images with their maps, and sound of the shortlisted recordings."""
    maps = shown.maps.read()["map"].numpy()
    limits = shared_limits(maps)
    drawn = []
    for verdict in shown.verdicts():
        scored = shown.part_scores[shown.part_scores["path"] == verdict["path"]]
        own = dict(_part_maps(scored["part"], maps[scored.index])) if maps.size else {}
        rows = shown.samples[shown.samples["path"] == verdict["path"]]
        drawn.append(sound_exhibit(verdict, rows, own, limits, shown.folder, preparation))
    return drawn


def _part_maps(parts: pd.Series, maps: NDArray[np.float32]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """(motion, its map); the maps of joint motions lie one below the other."""
    for joined, heights in zip(parts, maps, strict=True):
        names = str(joined).split("+")
        yield from zip(names, np.split(heights, len(names)), strict=True)


def simulate(folder: Path, settings: Mapping[str, Any], progress: Progress) -> Path:
    """Simulate recordings of mirror motors."""
    from endline.simulation.sound import mirror_audio  # only runs without data need it

    return mirror_audio.simulate(folder, mirror_audio.MirrorSimulation(**settings), progress)


STATION = Station(
    name="mirror_audio",
    title="Mirror motors",
    evidence="recordings",
    index=index,
    prepare=prepare,
    preparation=SoundPreparation,
    exhibits=exhibits,
    simulate=simulate,
)
