import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from endline.evidence.sound.mel import MelSettings, mel_image, mel_power

SETTINGS = MelSettings()


def tone(frequency, amplitude=0.01, seconds=1.0):
    time = np.arange(round(seconds * SETTINGS.sample_rate)) / SETTINGS.sample_rate
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def test_the_image_has_the_published_size_whatever_the_length():
    for seconds in (0.6, 2.1, 3.0):
        image = mel_image(tone(1000, seconds=seconds), SETTINGS)
        assert image.shape == (256, 384)
        assert image.dtype == torch.float32
        assert 0.0 <= float(image.min()) <= float(image.max()) <= 1.0


def test_low_tones_lie_in_low_rows():
    rows = [int(mel_image(tone(frequency), SETTINGS).mean(1).argmax()) for frequency in (300, 1000, 4000, 12000)]
    assert rows == sorted(rows)
    assert rows[0] < 40
    assert rows[-1] > 200


def test_loudness_moves_the_image_by_its_decibels():
    quiet, loud = (mel_image(tone(1000, amplitude), SETTINGS).max() for amplitude in (0.0001, 0.0002))
    np.testing.assert_allclose(float(loud - quiet) * 60.0, 6.02, atol=0.05)


def test_white_noise_lies_at_its_power_per_bin():
    noise = np.random.default_rng(0).standard_normal(88_200).astype(np.float32) * 1e-3  # -60 dB a bin
    wide = replace(SETTINGS, n_mels=64, low_db=-100.0, high_db=0.0)
    power = 10 ** ((mel_image(noise, wide)[100].mean() * 100 - 100) / 10)
    assert 1e-6 < float(power) < 1e-4  # a filter sums some bins


def test_silence_is_the_floor():
    assert float(mel_image(np.zeros(44_100, dtype=np.float32), SETTINGS).max()) == 0.0


def test_the_empty_filters_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mel_image(tone(1000), replace(SETTINGS, low_db=-101.0))


def test_noise_at_the_floor_is_equally_dark_in_all_bands_and_a_tone_stands_out_by_its_decibels():
    rng = np.random.default_rng(0)
    floor = np.geomspace(1e-6, 1e-10, 1025)  # loud at low frequencies
    white = np.fft.rfft(rng.standard_normal(4 * 88_200))
    gain = np.sqrt(np.interp(np.linspace(0, 1, len(white)), np.linspace(0, 1, len(floor)), floor))
    noise = np.fft.irfft(white * gain).astype(np.float32)
    settings = replace(SETTINGS, n_mels=64, low_above=-20.0, high_above=20.0)
    rows = mel_image(noise, settings, floor).mean(1)
    assert float(rows[20:].max() - rows[20:].min()) < 0.05  # 2 dB of 40
    assert abs(float(rows[20:].mean()) - 0.5) < 0.05
    louder = mel_image(10 ** (6 / 20) * noise, settings, floor).mean(1) - rows
    np.testing.assert_allclose(louder[20:].numpy(), 6 / 40, atol=0.01)


@pytest.mark.filterwarnings("ignore:At least one mel filterbank has all zero values")
@pytest.mark.parametrize("changes", [{}, {"n_mels": 64, "n_fft": 2048}, {"sample_rate": 16_000, "hop_length": 128}])
def test_powers_are_those_of_torchaudio(changes):
    settings = replace(SETTINGS, **changes)
    noise = np.random.default_rng(0).standard_normal(settings.sample_rate).astype(np.float32)
    sound = noise * np.geomspace(1e-4, 1.0, len(noise), dtype=np.float32)  # of any loudness
    transform = MelSpectrogram(
        settings.sample_rate,
        settings.n_fft,
        settings.win_length,
        settings.hop_length,
        n_mels=settings.n_mels,
        normalized="window",
    )
    expected = transform(torch.from_numpy(sound))
    # A bin far below its frame's loudest has the rounding of that one.
    torch.testing.assert_close(mel_power(sound, settings), expected, rtol=2e-4, atol=1e-12)
    torch.testing.assert_close(mel_power(sound, settings).sum(0), expected.sum(0), rtol=2e-6, atol=0)
