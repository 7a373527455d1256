"""Windows of a recording of hours as clips: what the detectors of a published model see of each."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from endline.compute import CPU, Compute
from endline.errors import FileRejected
from endline.evidence.sound.clip_arrays import fitted
from endline.evidence.sound.dropouts import longest_dropout
from endline.evidence.sound.long_recordings import Cut, cut_windows
from endline.evidence.sound.machine_features import ClipPreparation
from endline.evidence.sound.machine_index import clip_row
from endline.evidence.sound.signals import Signal, check_samples, one_channel, resample
from endline.evidence.station import Window

log = logging.getLogger(__name__)


def clip_windows(
    path: Path,
    preparation: ClipPreparation,
    hop: float | None = None,
    compute: Compute = CPU,
    follow: float | None = None,
) -> Iterator[Window]:
    """Windows of a recording, each with the arrays that `inspect` makes of the same window cut out.

    Each is brought to the rate of the model by itself, as the clips were that the model has learned from: there is no
    border of blocks in it. What is silent, clipped or not finite is said with its time, and the recording read on.

    Args:
        path: any file that libsndfile reads.
        preparation: of the model; its clips' length is a window's.
        hop: seconds from one window to the next; half a window where none is given.
        compute: of the backbone.
        follow: seconds, as of `cut_windows`.

    Raises:
        EndlineError: as `cut_windows`.
    """
    seconds = preparation.samples / preparation.reading.sample_rate
    remarks = _Remarks(path)
    step = preparation.hop if hop is None else hop
    for cut in cut_windows(path, seconds, step, preparation.reading.sample_rate, follow):
        start, stop = cut.seconds
        if cut.problem is not None:
            yield Window(start, stop, None, cut.problem)
            continue
        try:
            own, said = _signal(cut, preparation.reading.channel)
        except FileRejected as problem:
            yield Window(start, stop, None, problem)
            continue
        dropout = longest_dropout(own, cut.rate)
        facts = {**cut.facts, **dropout, "dropout_start": start + dropout["dropout_start"]}
        rows = clip_row(path, f"{path.name} from {start:.3f} s").assign(**facts)
        remarks.say([*said, *(f"it {remark}" for remark in preparation.remarks(rows.to_dict("records")[0]))], start)
        signal = fitted(resample(own, cut.rate, preparation.reading.sample_rate), preparation.samples)
        yield Window(start, stop, (rows, preparation.arrays_of(rows, signal, compute)))


class _Remarks:
    """Writes a remark to the log when it is new, not for each window of hours."""

    def __init__(self, path: Path) -> None:
        self.path, self.known = path, set[str]()

    def say(self, remarks: list[str], start: float) -> None:
        kinds = {re.sub(r"\d[\d.]*(%| s\b| dB\b)", "", remark): remark for remark in remarks}
        for kind in kinds.keys() - self.known:
            log.warning("%s from %.1f s: %s", self.path, start, kinds[kind])
        self.known = set(kinds)


def _signal(cut: Cut, channel: str) -> tuple[Signal, list[str]]:
    broken = np.flatnonzero(~np.isfinite(cut.channels).all(axis=1))
    if len(broken):
        first, last = ((cut.start + place) / cut.rate for place in broken[[0, -1]])
        when = f"at {first:.3f} s" if len(broken) == 1 else f"from {first:.3f} to {last:.3f} s"
        raise FileRejected(f"{len(broken)} samples are NaN or infinite, {when}", "look for a loose plug")
    check_samples(cut.channels)
    return one_channel(cut.channels, channel)
