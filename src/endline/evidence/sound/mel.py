"""Log-mel images of motions, with the settings of the hybrid hierarchical flow (paper 000, section 4)."""

import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchaudio.transforms import MelSpectrogram

from endline.evidence.sound.noise_floor import Power
from endline.evidence.sound.recordings import Signal


@dataclass(frozen=True)
class MelSettings:
    """How a motion becomes an image; the transform is the paper's, the two ranges of dB are ours.

    ``low_db`` and ``high_db`` are powers per mel band in dB of full scale, where white noise of variance 1
    has about 0 dB a bin: they become 0 and 1 of the image. They are fixed, so that an image depends on its
    own recording alone and a louder motor looks brighter. ``low_db`` is also the floor of the logarithm,
    which the paper lacks: 17 of its 700 filters are narrower than a bin of the transform and hold nothing.
    Where a noise floor is known, powers are told in dB above it, from ``low_above`` to ``high_above``: noise
    is then equally dark in all bands, and the range of the image is spent on the motor.
    """

    sample_rate: int = 44_100  # Hz
    n_fft: int = 4096
    win_length: int = 2048
    hop_length: int = 250
    n_mels: int = 700
    height: int = 256  # rows of the image, low frequency first
    width: int = 384  # columns of the image
    low_db: float = -100.0
    high_db: float = -40.0
    low_above: float = -3.0  # a noise's own fluctuation stays visible
    high_above: float = 27.0


def mel_image(samples: Signal, settings: MelSettings, floor: Power | None = None) -> Tensor:
    """Log-mel image (height, width) in [0, 1], float32, of a motion (samples,) at ``settings.sample_rate``.

    Row 0 is the lowest band. The image is resized without a crop (antialiased bilinear), as in the paper,
    so that motions of different length have equal width. Powers outside the range of dB are clamped.
    ``floor`` is the noise floor of the recording, power per bin (bins,) from 0 Hz to half the rate, or None.
    """
    power = _transform(settings)(torch.as_tensor(samples, dtype=torch.float32))  # (n_mels, frames)
    low, high = settings.low_db, settings.high_db
    if floor is not None:
        power = power / _mel_power(settings, floor)[:, None]
        low, high = settings.low_above, settings.high_above
    decibel = 10.0 * torch.log10(power.clamp_min(10.0 ** (low / 10.0)))
    image = ((decibel - low) / (high - low)).clamp(0.0, 1.0)
    size = (settings.height, settings.width)
    resized = interpolate(image[None, None], size=size, mode="bilinear", antialias=True)
    return resized[0, 0].clamp(0.0, 1.0)  # the resizing rounds


def _mel_power(settings: MelSettings, floor: Power) -> Tensor:
    """Mean power (n_mels,) that noise with the spectrum ``floor`` has in each band; 1 in the empty bands."""
    bins = np.interp(np.linspace(0, 1, settings.n_fft // 2 + 1), np.linspace(0, 1, len(floor)), floor)
    filters = _transform(settings).mel_scale.fb  # (bins, n_mels)
    expected = torch.as_tensor(bins, dtype=torch.float32) @ filters
    return torch.where(expected > 0, expected, torch.ones_like(expected))


@lru_cache(maxsize=4)
def _transform(settings: MelSettings) -> MelSpectrogram:
    """Return the spectrogram transform, built once for each settings; scaled by the window's energy."""
    with warnings.catch_warnings():  # the empty filters are told above, once is enough
        warnings.filterwarnings("ignore", message="At least one mel filterbank has all zero values")
        return MelSpectrogram(
            sample_rate=settings.sample_rate,
            n_fft=settings.n_fft,
            win_length=settings.win_length,
            hop_length=settings.hop_length,
            n_mels=settings.n_mels,
            normalized="window",
        )
