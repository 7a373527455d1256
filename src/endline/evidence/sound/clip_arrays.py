"""The arrays of one clip of a running machine, each a function of its signal."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from warnings import catch_warnings, filterwarnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool1d, interpolate

from endline.evidence.sound.mel import MelSettings, mel_power
from endline.evidence.sound.signals import Signal

BANDS, HOP = 128, 512
WINDOW, LONG_WINDOW = 1024, 2048  # samples: 64 and 128 ms at 16 kHz
QUIETEST = 1e-10  # power; -100 dB of full scale
BINS = 2000  # of the spectrum of a whole clip
PICTURE = 320  # pixels (Kazakova 2022)
PICTURE_WINDOW = 0.256  # s
LOUDEST_DB, RANGE_DB = 0.0, 100.0  # of the picture of a short-time spectrum
PITCHES, PACES = (-1.0, 1.0), (0.95, 1.05)  # semitones, and shares of the speed, of the changed copies of a clip
Array = NDArray[np.float32]


def log_mel(signal: Signal, rate: int, window: int = WINDOW) -> Array:
    """Power in dB (128, frames) of mel bands, lowest first; frames of `window` samples every 512, centred.

    The settings are those of the baselines of DCASE task 2 (Harada et al. 2023) at 16 kHz.

    Example:
        >>> log_mel(np.zeros(16_000, "f4"), 16_000).shape
        (128, 32)
    """
    settings = MelSettings(rate, window, window, HOP, BANDS)
    power = mel_power(signal, settings).clamp_min(QUIETEST)
    return np.asarray(10 * torch.log10(power), np.float32)


def spectrum(signal: Signal) -> Array:
    """Logarithm of the mean magnitude (2000,) in equal bands of the spectrum of a whole clip (Wilkinghoff 2021).

    Example:
        >>> spectrum(np.zeros(16_000, "f4")).shape
        (2000,)
    """
    magnitude = np.abs(np.fft.rfft(signal)).astype(np.float32) / np.sqrt(len(signal))
    pooled = adaptive_avg_pool1d(torch.from_numpy(magnitude)[None], BINS)[0]
    return np.asarray(torch.log(pooled + QUIETEST**0.5), np.float32)


def stft_picture(signal: Signal, rate: int) -> Array:
    """Short-time spectrum in dB as a picture (1, 320, 320) in about [0, 1], row 0 the lowest frequency.

    Windows of 256 ms, half of which overlap (Kazakova 2022).

    Example:
        >>> stft_picture(np.zeros(16_000, "f4"), 16_000).shape
        (1, 320, 320)
    """
    length = 2 * round(PICTURE_WINDOW * rate / 2)
    window = torch.hann_window(length)
    complex_ = torch.stft(torch.from_numpy(signal), length, length // 2, window=window, return_complex=True)
    decibel = 10 * torch.log10((complex_.abs().square() / window.square().sum()).clamp_min(QUIETEST))
    scaled = (decibel - LOUDEST_DB) / RANGE_DB + 1
    size = (PICTURE, PICTURE)
    return np.asarray(interpolate(scaled[None, None], size, mode="bilinear", antialias=True)[0], np.float32)


def shifted_pictures(signal: Signal, rate: int, seed: int) -> Array:
    """Pictures (2, 320, 320) of the clip shifted in pitch, and stretched in time and cut to its length, by chance.

    Example:
        >>> shifted_pictures(np.random.default_rng(0).standard_normal(16_000).astype("f4"), 16_000, seed=1).shape
        (2, 320, 320)
    """
    from librosa.effects import pitch_shift, time_stretch

    rng = np.random.default_rng(seed)
    higher = pitch_shift(signal, sr=rate, n_steps=rng.uniform(*PITCHES))
    stretched = time_stretch(signal, rate=rng.uniform(*PACES))
    pictures = [stft_picture(fitted(changed.astype(np.float32), len(signal)), rate) for changed in (higher, stretched)]
    return np.concatenate(pictures)


def stack(signal: Signal, rate: int) -> Array:
    """The 158 rows (158, frames) of García-de-la-Puente et al. 2024, not standardised, frames of 64 ms every 32.

    128 log-mel bands in dB, 12 chroma of a constant-Q transform, 7 of spectral contrast, 6 of the tonnetz, root mean
    square, centroid, bandwidth, flatness, zero crossings. The step and the scaling are not given there.

    Example:
        >>> stack(np.random.default_rng(0).standard_normal(16_000).astype("f4"), 16_000).shape
        (158, 32)
    """
    from librosa import feature

    magnitude = _magnitude(signal)
    chroma = _chroma(signal, rate, magnitude.shape[1])
    rows = [
        log_mel(signal, rate),
        chroma,
        feature.spectral_contrast(S=magnitude, sr=rate, fmin=rate / 128),  # 7 octaves up to half the rate
        feature.tonnetz(chroma=chroma),
        feature.rms(S=magnitude, frame_length=WINDOW),
        feature.spectral_centroid(S=magnitude, sr=rate),
        feature.spectral_bandwidth(S=magnitude, sr=rate),
        feature.spectral_flatness(S=magnitude),
        feature.zero_crossing_rate(signal, frame_length=WINDOW, hop_length=HOP),
    ]
    return np.concatenate([row[:, : magnitude.shape[1]] for row in rows]).astype(np.float32)


def summary(of_clip: Array) -> Array:
    """Mean, deviation and maximum (3,) over time of a clip's level in dB, by its log-mel (bands, frames).

    Example:
        >>> summary(np.zeros((100, 20), "f4")).round(3).tolist()
        [20.0, 0.0, 20.0]
    """
    level = 10 * np.log10((10 ** (of_clip / 10)).sum(0))
    return np.array([level.mean(), level.std(), level.max()], np.float32)


def fitted(signal: Signal, length: int) -> Signal:
    """The signal cut, or repeated, to a length in samples.

    Example:
        >>> fitted(np.array([1, 2, 3], "f4"), 5).tolist()
        [1.0, 2.0, 3.0, 1.0, 2.0]
    """
    return np.resize(signal, length)


# Array -> of signal and rate. `stft_shifted` takes a seed besides, and is of training clips alone.
MAKERS: Mapping[str, Callable[[Signal, int], Array]] = {
    "log_mel": log_mel,
    "log_mel_long": lambda signal, rate: log_mel(signal, rate, LONG_WINDOW),
    "stack": stack,
    "spectrum": lambda signal, rate: spectrum(signal),
    "stft": stft_picture,
}


def _magnitude(signal: Signal) -> Array:
    """Magnitude (513, frames) of the short-time spectrum, centred, the ends mirrored."""
    window = torch.hann_window(WINDOW)
    complex_ = torch.stft(torch.from_numpy(signal), WINDOW, HOP, window=window, return_complex=True)
    return np.asarray(complex_.abs(), np.float32)


def _chroma(signal: Signal, rate: int, frames: int) -> Array:
    """Chroma (12, frames) of a constant-Q transform over the octaves that lie below half the rate."""
    from librosa import feature

    octaves = min(7, int(np.log2(rate / 2 / _lowest_note())))
    with catch_warnings():
        filterwarnings("ignore", "n_fft=.* is too large for input signal")  # its lowest notes last longer than a second
        chroma = feature.chroma_cqt(y=signal, sr=rate, hop_length=HOP, n_octaves=octaves)
    return np.asarray(chroma[:, :frames], np.float32)


@lru_cache(maxsize=1)
def _lowest_note() -> float:
    from librosa import note_to_hz

    return float(note_to_hz("C1"))
