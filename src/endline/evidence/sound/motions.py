"""The two motions of a recording, one fold and one unfold, and the standstill between them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from endline.errors import FileRejected
from endline.evidence.sound.dropouts import longest_dropout
from endline.evidence.sound.signals import Signal, Span, hann

FRAME = 0.01  # s, time step of the motion search
SHORTEST_MOTION = 0.5  # s
SHORTEST_STANDSTILL = 0.1  # s, after the margin
LONGEST_DIP = 0.12  # s, a motor that falters this briefly has not stopped
LEAST_STEP = 3.0  # dB, mean over frequency, between the noise floor and the motor
LEAST_JUMP = 4.0  # dB within a tenth of a second, where the motor stops and starts
LEAST_MOTOR = -100.0  # dB of full scale; below it lies the rounding of a 16-bit recording
PADDING = 4  # times the longest run of one value within a recording, that one at its end has been put there
MARGIN = 0.06  # s, kept clear of motor sound at both ends of the standstill

Levels = NDArray[np.float64]  # (frames,), dB


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


def find_motions(samples: Signal, rate: int) -> Motions:
    """Find fold, standstill and unfold of (samples,) at ``rate`` Hz by the motor's energy.

    The level of a frame is the mean over frequency of its power in dB, so that a hum or a click, loud in few
    bins or for few frames, weighs little beside a motor, which is heard in all of them. A threshold between
    the two levels of the recording itself (Otsu 1979) parts motor from rest. The standstill is the longest
    quiet stretch between the motions, trimmed by a margin at both ends: it holds neither motor nor rattle.
    A motor is heard at once when it starts, and no more when it has stopped: at both ends of the standstill the
    level must jump by 4 dB within a tenth of a second. What only swells and fades, such as a fan, is no motor, and
    neither is what lies below the rounding of a 16-bit recording, such as the leakage of a hum. Silence that an editor
    or a recorder has put before or behind the sound is no rest, and left out.

    Raises:
        FileRejected: where there are not exactly two motions of at least 0.5 s with a rest between.
    """
    first, last = _sounding(samples, rate)
    level = _frame_levels(samples[first:last], rate)
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
    padding = first / rate
    standstill = _seconds(start, stop, padding, MARGIN)
    if standstill[1] - standstill[0] < SHORTEST_STANDSTILL:
        raise FileRejected(
            f"the quiet between the two motions lasts only {(stop - start) * FRAME:.2f} s",
            f"leave at least {SHORTEST_STANDSTILL + 2 * MARGIN:.2f} s between fold and unfold",
        )
    _check_motor(level, fold, unfold)
    return Motions(fold=_seconds(*fold, padding), standstill=standstill, unfold=_seconds(*unfold, padding))


def _check_motor(level: Levels, fold: tuple[int, int], unfold: tuple[int, int]) -> None:
    """Refuse two runs of frames that no motor makes: below the rounding of 16 bits, or swelling and fading."""
    motor = min(float(np.median(level[start:stop])) for start, stop in (fold, unfold))
    if motor < LEAST_MOTOR:
        raise FileRejected(
            f"no motion found, nothing between 300 Hz and 16 kHz is louder than {LEAST_MOTOR:g} dB of full scale",
            "bring the microphone nearer to the motor or raise the gain, and record it again",
        )
    jump = min(_largest_drop(level, fold[1]), _largest_drop(level[::-1], len(level) - unfold[0]))
    if jump < LEAST_JUMP:
        raise FileRejected(
            "no standstill found, the sound swells and fades and no motor starts or stops in it (the level changes by "
            f"{max(jump, 0.0):.1f} dB within a tenth of a second, {LEAST_JUMP:g} dB are needed)",
            "record one fold and one unfold with a rest between, in a room without a fan or a machine",
        )


def _largest_drop(level: Levels, near: int, reach: int = 15, width: int = 5) -> float:
    """Largest fall of the level (frames,) in dB within `reach` frames of the frame `near`.

    Medians of `width` frames are compared, so that a click is no jump.
    """
    places = range(max(width, near - reach), min(len(level) - width, near + reach + 1))
    drops = [np.median(level[at - width : at]) - np.median(level[at + 1 : at + 1 + width]) for at in places]
    return max(map(float, drops), default=0.0)


def _sounding(samples: Signal, rate: int) -> tuple[int, int]:
    """First sample of (samples,) and the one behind the last, without a frame or more of one value at either end.

    The frame at its edge would hold a few samples of sound, and its level pass for the noise floor. In a quiet
    recording of few bits one value is rest: it is held as long between the sounds, which fade into it.
    """
    edges = np.flatnonzero(np.diff(samples)) + 1
    if len(edges) < 2:
        return 0, len(samples)
    breaks_off = longest_dropout(samples, rate)["dropout_seconds"] > 0
    padding = max(FRAME * rate, 0 if breaks_off else PADDING * int(np.diff(edges).max()))
    before, behind = int(edges[0]), len(samples) - int(edges[-1])
    return before if before >= padding else 0, len(samples) - (behind if behind >= padding else 0)


def _seconds(start: int, stop: int, padding: float, margin: float = 0.0) -> Span:
    """Turn a run of frames into a span in seconds, ``padding`` later and ``margin`` seconds shorter at both ends."""
    return round(start * FRAME + padding + margin, 3), round(stop * FRAME + padding - margin, 3)


def _frame_levels(samples: Signal, rate: int) -> Levels:
    """Level (frames,) every 10 ms in dB of full scale: mean over frequency of the log power, in windows of 23 ms."""
    window = 2 * (round(0.0116 * rate))
    if len(samples) < window:
        return np.empty(0)
    padded = np.pad(samples, (window // 2, window // 2), mode="reflect")
    views = np.lib.stride_tricks.sliding_window_view(padded, window)
    # Rounded one by one: at 22050 Hz a constant step would lose 2 ms a second.
    starts = np.round(np.arange(int((len(views) - 1) / (FRAME * rate)) + 1) * FRAME * rate).astype(int)
    weights = hann(window)
    power = np.abs(np.fft.rfft(views[starts] * weights, axis=1)) ** 2
    band = power[:, round(300 * window / rate) : round(min(16_000, 0.45 * rate) * window / rate)]
    # Digital silence (padding by an editor) would otherwise pass for the noise floor.
    sounding = band.sum(axis=1) > 1e-12
    level = np.full(len(band), -np.inf)
    level[sounding] = np.log10(band[sounding] + 1e-16).mean(axis=1) * 10 - 10 * np.log10(np.sum(weights**2))
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
    above = smooth > split
    if not above.any():  # one level throughout
        return [], nothing
    rest, motor = np.median(smooth[~above]), np.median(smooth[above])
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
