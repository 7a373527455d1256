"""Log-mel images of motions, with the settings of the hybrid hierarchical flow (Lee et al. 2023, section 4)."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from endline.evidence.sound.noise_floor import Power
from endline.evidence.sound.signals import Signal


@dataclass(frozen=True)
class MelSettings:
    """How a motion becomes an image; the transform is that of Lee et al. 2023, the two ranges of dB are ours.

    Powers per mel band are in dB of full scale, where white noise of variance 1 has about 0 dB a bin. The ranges are
    fixed, so that an image depends on its own recording alone and a louder motor looks brighter.

    Attributes:
        sample_rate: Hz.
        n_fft: samples of a transform, the window filled up with zeros.
        win_length: samples of the window.
        hop_length: samples from one window to the next.
        n_mels: mel bands; 17 of the published 700 are narrower than a bin of the transform and hold nothing.
        height, width: rows (low frequency first) and columns of the image.
        low_db, high_db: powers that become 0 and 1 of the image; the lower one is also the floor of the logarithm,
            which the publication lacks.
        low_above, high_above: the same in dB above the noise floor, where one is known: noise is then equally dark in
            all bands, and the range of the image is spent on the motor. Below 0, a noise's own fluctuation is visible.

    Example:
        >>> MelSettings(n_mels=64).height
        256
    """

    sample_rate: int = 44_100
    n_fft: int = 4096
    win_length: int = 2048
    hop_length: int = 250
    n_mels: int = 700
    height: int = 256
    width: int = 384
    low_db: float = -100.0
    high_db: float = -40.0
    low_above: float = -3.0
    high_above: float = 27.0


def mel_image(samples: Signal, settings: MelSettings, floor: Power | None = None) -> Tensor:
    """Log-mel image of a motion, row 0 the lowest band.

    The image is resized without a crop (antialiased bilinear), as published, so that motions of different length have
    equal width. Powers outside the range of dB are clamped.

    Args:
        samples: (samples,) at ``settings.sample_rate``.
        settings: of the transform and the image.
        floor: noise floor of the recording, power of each bin (bins,) from 0 Hz to half the rate, or None.

    Returns:
        (height, width), float32, in [0, 1].

    Example:
        >>> time = np.arange(44_100, dtype=np.float32) / 44_100
        >>> image = mel_image(0.01 * np.sin(2 * np.pi * 1000 * time), MelSettings())
        >>> tuple(image.shape), int(image.mean(1).argmax())
        ((256, 384), 64)
    """
    power = mel_power(samples, settings)
    low, high = settings.low_db, settings.high_db
    if floor is not None:
        power = power / _floor_power(settings, floor)[:, None]
        low, high = settings.low_above, settings.high_above
    decibel = 10.0 * torch.log10(power.clamp_min(10.0 ** (low / 10.0)))
    image = ((decibel - low) / (high - low)).clamp(0.0, 1.0)
    size = (settings.height, settings.width)
    resized = interpolate(image[None, None], size=size, mode="bilinear", antialias=True)
    return resized[0, 0].clamp(0.0, 1.0)  # the resizing rounds


def mel_power(samples: Signal, settings: MelSettings) -> Tensor:
    """Power (n_mels, frames) of each mel band, scaled by the window's energy; frames are centred, the ends mirrored.

    Example:
        >>> tuple(mel_power(np.zeros(44_100, dtype=np.float32), MelSettings()).shape)
        (700, 177)
    """
    window = torch.hann_window(settings.win_length)
    spectrum = torch.stft(
        torch.as_tensor(samples, dtype=torch.float32),
        settings.n_fft,
        settings.hop_length,
        settings.win_length,
        window / window.square().sum().sqrt(),
        return_complex=True,
    )
    power = spectrum.real.square() + spectrum.imag.square()  # (bins, frames); `abs` would draw roots
    bands: Tensor = torch.sparse.mm(_filters(settings), power.contiguous())
    return bands


def mel_of(frequency: float) -> float:
    """Height of a frequency in Hz on the mel scale (of HTK).

    Example:
        >>> round(mel_of(1000.0))
        1000
    """
    return 2595.0 * math.log10(1.0 + frequency / 700.0)


def frequency_of(mel: float) -> float:
    """Frequency in Hz of a height on the mel scale (of HTK).

    Example:
        >>> round(frequency_of(mel_of(440.0)))
        440
    """
    frequency: float = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return frequency


def _floor_power(settings: MelSettings, floor: Power) -> Tensor:
    """Mean power (n_mels,) that noise with the spectrum ``floor`` has in each band; 1 in the empty bands."""
    bins = np.interp(np.linspace(0, 1, settings.n_fft // 2 + 1), np.linspace(0, 1, len(floor)), floor)
    expected = torch.sparse.mm(_filters(settings), torch.from_numpy(bins.astype(np.float32))[:, None])[:, 0]
    return torch.where(expected > 0, expected, torch.ones_like(expected))


@lru_cache(maxsize=4)
def _filters(settings: MelSettings) -> Tensor:
    """Triangular filters (n_mels, bins), of equal height; a bin lies in two of them, so they are kept sparse."""
    half = settings.sample_rate // 2
    frequencies = torch.linspace(0, half, settings.n_fft // 2 + 1)
    corners = 700.0 * (10.0 ** (torch.linspace(0, mel_of(half), settings.n_mels + 2) / 2595.0) - 1.0)
    away, widths = corners - frequencies[:, None], corners.diff()  # (bins, n_mels + 2), (n_mels + 1,)
    triangles = torch.minimum(-away[:, :-2] / widths[:-1], away[:, 2:] / widths[1:]).clamp_min(0)
    return triangles.T.to_sparse()
