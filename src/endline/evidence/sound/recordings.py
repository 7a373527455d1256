"""Recordings of one fold and one unfold: reading them, refusing bad ones, finding the two motions."""

import struct
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from endline.errors import FileRejected

LOWEST_RATE = 16_000  # Hz; below it the upper half of the mel image could only be guessed
SILENT_PEAK = 1e-4  # of full scale, -80 dB: three steps of a 16-bit recording
FULL_SCALE = 0.99  # also reached by 8-bit files, whose largest sample is 127/128
CLIPPED_SHARE = 1e-3  # of all samples

FRAME = 0.01  # s, time step of the motion search
SHORTEST_MOTION = 0.5  # s
SHORTEST_STANDSTILL = 0.1  # s, after the margin
LONGEST_DIP = 0.12  # s, a motor that falters this briefly has not stopped
LEAST_STEP = 3.0  # dB, mean over frequency, between the noise floor and the motor
MARGIN = 0.06  # s, kept clear of motor sound at both ends of the standstill

Signal = NDArray[np.float32]
Levels = NDArray[np.float64]  # (frames,), dB
Span = tuple[float, float]


@dataclass(frozen=True)
class Motions:
    """Where the motor runs and rests in one recording; each span is (start, stop) in seconds.

    Example:
        >>> Motions(fold=(0.2, 2.3), standstill=(2.4, 2.7), unfold=(2.8, 4.9)).standstill
        (2.4, 2.7)
    """

    fold: Span
    standstill: Span
    unfold: Span


def read_recording(path: Path) -> tuple[Signal, int]:
    """Read any file that libsndfile knows as one channel.

    Returns the signal, (samples,) float32 in full-scale units, channels averaged, and its rate in Hz.
    Raises FileRejected for a file that is unreadable, empty, truncated, not finite, silent, clipped or
    below 16 kHz.
    """
    if not path.is_file():
        raise FileRejected("the file does not exist", "restore it or take it out of the label table")
    if path.stat().st_size == 0:
        raise FileRejected("the file is empty (0 bytes)", "record it again")
    missing = _missing_bytes(path)
    if missing:
        raise FileRejected(
            f"the file is truncated, {missing} bytes that its header promises are missing",
            "copy it again from its source",
        )
    try:
        with soundfile.SoundFile(path) as file:
            rate, promised = int(file.samplerate), int(file.frames)
            channels = file.read(dtype="float32", always_2d=True)  # (samples, channels)
    except soundfile.LibsndfileError as error:
        raise FileRejected(
            "no sound file that libsndfile can read", "export it as WAV, FLAC or another sound format"
        ) from error
    if len(channels) == 0:
        raise FileRejected("the recording holds no samples", "record it again")
    if len(channels) < promised:
        raise FileRejected(
            f"the file is truncated, {len(channels)} of {promised} samples are there",
            "copy it again from its source",
        )
    _check_samples(channels)
    if rate < LOWEST_RATE:
        raise FileRejected(
            f"the sampling rate of {rate} Hz is below {LOWEST_RATE} Hz",
            "record it at 44100 Hz, for resampling cannot restore the band that is missing",
        )
    return np.ascontiguousarray(channels.mean(axis=1, dtype=np.float32)), rate


def resample(samples: Signal, rate: int, target: int) -> Signal:
    """Resample (samples,) from ``rate`` to ``target`` Hz by a polyphase low-pass filter."""
    if rate == target:
        return samples
    from scipy.signal import resample_poly  # its import takes longer than a verdict

    divisor = gcd(rate, target)
    return resample_poly(samples, target // divisor, rate // divisor).astype(np.float32)


def hann(length: int) -> NDArray[np.float64]:
    """Hann window (length,) whose next sample would be its first again.

    Example:
        >>> hann(4).round(3).tolist()
        [0.0, 0.5, 1.0, 0.5]
    """
    window: NDArray[np.float64] = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, length + 1)[:-1])
    return window


def find_motions(samples: Signal, rate: int) -> Motions:
    """Find fold, standstill and unfold of (samples,) at ``rate`` Hz by the motor's energy.

    The level of a frame is the mean over frequency of its power in dB, so that a hum or a click, loud in few
    bins or for few frames, weighs little beside a motor, which is heard in all of them. A threshold between
    the two levels of the recording itself (Otsu 1979) parts motor from rest. The standstill is the longest
    quiet stretch between the motions, trimmed by a margin at both ends: it holds neither motor nor rattle.
    Raises FileRejected where there are not exactly two motions of at least 0.5 s with a rest between.
    """
    level = _frame_levels(samples, rate)
    runs, quiet = _motor_runs(level)
    if len(runs) != 2:
        heard = {0: "no motion", 1: "one motion only"}.get(len(runs), f"{len(runs)} motions")
        raise FileRejected(
            f"{heard} found where one fold and one unfold are needed",
            "record one fold and one unfold with a rest between, in a room quieter than the motor",
        )
    fold, unfold = runs
    rests = [(start + fold[1], stop + fold[1]) for start, stop in _runs(quiet[fold[1] : unfold[0]])]
    start, stop = max(rests, key=lambda rest: rest[1] - rest[0], default=(0, 0))
    standstill = _seconds(start, stop, MARGIN)
    if standstill[1] - standstill[0] < SHORTEST_STANDSTILL:
        raise FileRejected(
            f"the quiet between the two motions lasts only {(stop - start) * FRAME:.2f} s",
            f"leave at least {SHORTEST_STANDSTILL + 2 * MARGIN:.2f} s between fold and unfold",
        )
    return Motions(fold=_seconds(*fold), standstill=standstill, unfold=_seconds(*unfold))


def _seconds(start: int, stop: int, margin: float = 0.0) -> Span:
    """Turn a run of frames into a span in seconds, ``margin`` seconds shorter at both ends."""
    return round(start * FRAME + margin, 3), round(stop * FRAME - margin, 3)


def _check_samples(channels: NDArray[np.float32]) -> None:
    """Refuse (samples, channels) that hold NaN, silence or clipping."""
    broken = int(np.count_nonzero(~np.isfinite(channels)))
    if broken:
        raise FileRejected(f"{broken} samples are NaN or infinite", "export it again from its source")
    if np.abs(channels - channels.mean(axis=0)).max() < SILENT_PEAK:
        raise FileRejected("the recording is silent", "check the microphone and record it again")
    # A limiter or converter at its end stop repeats one value; a loud but sound wave does not.
    loud = np.abs(channels) >= FULL_SCALE
    held = loud[:-2] & (channels[1:-1] == channels[:-2]) & (channels[2:] == channels[:-2])
    share = float(held.sum(axis=0).max()) / len(channels)
    if share > CLIPPED_SHARE:
        raise FileRejected(
            f"{share:.1%} of the samples are clipped at full scale", "lower the gain and record it again"
        )


def _missing_bytes(path: Path) -> int:
    """Count the bytes that a RIFF or AIFF header promises beyond the file's end; libsndfile hides them."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            order, sound = "<", b"data"
        elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
            order, sound = ">", b"SSND"
        else:
            return 0
        while len(header := file.read(8)) == 8:
            length = struct.unpack(f"{order}I", header[4:])[0]
            if header[:4] == sound:
                streamed = length == 0xFFFFFFFF  # written by a program that could not seek back
                return 0 if streamed else max(0, file.tell() + length - size)
            file.seek(length + length % 2, 1)
    return 0


def _frame_levels(samples: Signal, rate: int) -> Levels:
    """Level (frames,) in dB every 10 ms: mean over frequency of the log power, in windows of 23 ms."""
    hop = round(FRAME * rate)
    window = 2 * (round(0.0116 * rate))
    if len(samples) < window:
        return np.empty(0)
    padded = np.pad(samples, (window // 2, window // 2), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * hann(window)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    band = power[:, round(300 * window / rate) : round(min(16_000, 0.45 * rate) * window / rate)]
    # Digital silence (padding by an editor) would otherwise pass for the noise floor.
    sounding = band.sum(axis=1) > 1e-12
    level = np.full(len(band), -np.inf)
    level[sounding] = np.log10(band[sounding] + 1e-16).mean(axis=1) * 10
    floor = level[sounding].min() if sounding.any() else 0.0
    return np.where(sounding, level, floor)


def _motor_runs(level: Levels) -> tuple[list[tuple[int, int]], NDArray[np.bool_]]:
    """Find the runs (start, stop) of frames, at least 0.5 s each, in which the motor turns.

    Returns them with a mask (frames,) of those near the noise floor.
    """
    nothing = np.zeros(len(level), dtype=np.bool_)
    if len(level) * FRAME < SHORTEST_MOTION:
        return [], nothing
    neighbours = np.lib.stride_tricks.sliding_window_view(np.pad(level, 5, mode="reflect"), 11)
    smooth = np.median(neighbours, axis=1)  # clicks shorter than 50 ms vanish
    split = _otsu(smooth)
    rest, motor = np.median(smooth[smooth <= split]), np.median(smooth[smooth > split])
    if motor - rest < LEAST_STEP:
        return [], nothing
    # Below the middle, so that a motion's quieter phase still counts as motion.
    running = _closed(smooth > rest + 0.4 * (motor - rest), round(LONGEST_DIP / FRAME))
    long_runs = [(start, stop) for start, stop in _runs(running) if (stop - start) * FRAME >= SHORTEST_MOTION]
    # Unsmoothed, for here a click matters; single noisy frames do not end a rest.
    return long_runs, _closed(level < rest + 0.25 * (motor - rest), 1)


def _closed(mask: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """Fill gaps of up to ``longest`` frames in a mask (frames,)."""
    closed = mask.copy()
    for start, stop in _runs(~mask):
        if stop - start <= longest and start > 0 and stop < len(mask):
            closed[start:stop] = True
    return closed


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """List the runs (start, stop) of True in a mask (frames,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _otsu(values: Levels) -> float:
    """Split (n,) values into two groups with the largest variance between them (Otsu 1979)."""
    ordered = np.sort(values)
    below = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)
    gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / (len(ordered) - below)
    between = below * (len(ordered) - below) * gap**2
    return float(ordered[int(between.argmax())])
