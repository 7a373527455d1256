"""What was recorded, as arrays: what is wrong with the samples, one channel of several, another rate."""

from math import gcd

import numpy as np
from numpy.typing import NDArray

from endline.errors import FileRejected

SILENT_PEAK = 1e-4  # of full scale, -80 dB: three steps of a 16-bit recording
LARGEST = 10.0  # of full scale; a float file beyond was written in other units
FULL_SCALE = 0.99  # also reached by 8-bit files, whose largest sample is 127/128
CLIPPED_SHARE = 1e-3  # of all samples
OFFSET = 1e-3  # of full scale; what a smaller one leaks into the motor's band lies below -100 dB
OPPOSED = 0.1  # of the channels' power: what is left of it in their mean, at least
UNEVEN = 20.0  # dB between channels, beyond which the quieter one adds nothing to their mean but halves it

MEAN, DIFFERENCE = "mean", "difference"

Signal = NDArray[np.float32]
Channels = NDArray[np.float32]  # (samples, channels)
Span = tuple[float, float]


def check_rate(rate: int, lowest: int) -> None:
    """Refuse a rate in Hz that is below the lowest."""
    if rate < lowest:
        raise FileRejected(
            f"the sampling rate of {rate} Hz is below {lowest} Hz",
            "record it at 44100 Hz, for resampling cannot restore the band that is missing",
        )


def check_samples(channels: Channels) -> None:
    """Refuse (samples, channels) that hold NaN, silence, clipping or values of other units."""
    broken = int(np.count_nonzero(~np.isfinite(channels)))
    if broken:
        raise FileRejected(f"{broken} samples are NaN or infinite", "export it again from its source")
    largest = float(np.abs(channels).max())
    if largest > LARGEST:
        raise FileRejected(
            f"its samples reach {largest:.3g} times full scale",
            "export it with values from -1 to 1, or as 16-bit integers",
        )
    if np.abs(channels - channels.mean(axis=0)).max() < SILENT_PEAK:
        raise FileRejected("the recording is silent", "check the microphone and record it again")
    share = max(_clipped_share(channel) for channel in channels.T)
    if share > CLIPPED_SHARE:
        stop = "full scale" if largest >= FULL_SCALE else f"{largest:.0%} of full scale"
        raise FileRejected(f"{share:.1%} of the samples are clipped at {stop}", "lower the gain and record it again")


def _clipped_share(channel: Signal) -> float:
    """Share of the samples (samples,) at the end stop of a limiter or converter, which repeats one value.

    A loud but sound wave does not, and a hum in few bits has hardly more samples at its crest than just below it.
    """
    held = (channel[1:-1] == channel[:-2]) & (channel[2:] == channel[:-2])
    at_stop = np.abs(channel[:-2]) >= FULL_SCALE
    for stop, below in ((channel.max(), channel < channel.max()), (channel.min(), channel > channel.min())):
        if below.any():
            nearest = channel[below].max() if stop == channel.max() else channel[below].min()
            if np.count_nonzero(~below) > 10 * np.count_nonzero(channel == nearest):
                at_stop |= channel[:-2] == stop
    return float((held & at_stop).sum()) / len(channel)


def one_channel(channels: Channels, channel: str = MEAN) -> tuple[Signal, list[str]]:
    """The chosen channel (samples,), or mean of those that hold sound, without a constant offset.

    Args:
        channels: (samples, channels).
        channel: as of `read_recording`.

    Returns:
        The signal, and remarks on what was left out or taken away.

    Raises:
        FileRejected: when the channels cancel each other, or the chosen one is silent or not there.

    Example:
        >>> tone = np.sin(np.pi / 5 * np.arange(100, dtype="f4"))
        >>> one_channel(np.stack([tone, 0 * tone], 1))[1]
        ['channel 2 of 2 is silent and left out: check its microphone.']
    """
    chosen = _chosen(channels, channel)
    remarks = []
    offsets = chosen.mean(axis=0, dtype=np.float64)
    around = chosen - offsets.astype(np.float32)
    heard = np.abs(around).max(axis=0) >= SILENT_PEAK
    if not heard.any():
        raise FileRejected(
            f"channel {channel} of {channels.shape[1]} is silent", "check its microphone, or choose another"
        )
    if not heard.all():
        silent = ", ".join(str(number + 1) for number in np.flatnonzero(~heard))
        remarks.append(f"channel {silent} of {len(heard)} is silent and left out: check its microphone.")
    remarks += _uneven(around, heard)
    mean = chosen[:, heard].mean(axis=1, dtype=np.float32)
    power, whole = np.mean(around[:, heard] ** 2), np.mean(around[:, heard].mean(axis=1) ** 2)
    if whole < OPPOSED * power:
        raise FileRejected(
            f"its channels cancel each other, {whole / power:.0%} of their power is left in the mean",
            "turn the polarity of one channel, or export one channel alone",
        )
    offset = float(offsets[heard].mean())
    if abs(offset) > OFFSET:
        remarks.append(f"a constant offset of {100 * offset:.1f}% of full scale is taken away.")
        mean = mean - np.float32(offset)
    return np.ascontiguousarray(mean), remarks


def _uneven(around: Channels, heard: NDArray[np.bool_]) -> list[str]:
    """Remarks on channels far below the loudest, of (samples, channels) without offsets, those of ``heard``."""
    if np.count_nonzero(heard) < 2:
        return []
    powers = np.where(heard, np.mean(around**2, axis=0, dtype=np.float64), np.nan)
    loudest = int(np.nanargmax(powers))
    below = 10 * np.log10(powers[loudest] / powers)
    own = loudest + 1
    return [
        f"channel {number + 1} of {len(powers)} is {below[number]:.0f} dB below channel {own}, and averaged with it: "
        f"check its microphone, or learn from channel {own} alone (machine_audio: channel={own})."
        for number in np.flatnonzero(below > UNEVEN)
    ]


def _chosen(channels: Channels, channel: str) -> Channels:
    """The channels (samples, 1 or more) that are averaged."""
    count = channels.shape[1]
    if channel == MEAN or count == 1:
        return channels
    if channel == DIFFERENCE:
        return channels[:, :1] - channels[:, 1:2]
    if not 1 <= int(channel) <= count:
        raise FileRejected(f"it has {count} channels and no channel {channel}", f"choose 1 to {count}, or {MEAN}")
    return channels[:, int(channel) - 1 : int(channel)]


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
