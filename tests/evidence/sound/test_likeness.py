"""The likeness of recordings: copies are found, other motors are not."""

import numpy as np
import pytest

from endline.evidence.sound.likeness import clip_look, sound_look
from endline.simulation.sound.mirror_audio import MirrorSimulation, synthesise

RATE = 44_100
SPANS = [(0.1, 3.0), (4.0, 6.8)]


def unit(number, fault="0", rate=RATE):
    rng = np.random.default_rng([0, number])
    return synthesise(fault, rng, MirrorSimulation(sample_rate=rate))


def test_the_look_has_a_fixed_length_and_unit_norm():
    for spans in (SPANS, [(0.1, 2.1), (4.0, 4.5)]):
        look = sound_look(unit(1), RATE, spans)
        assert look.shape == (1152,)
        assert look.dtype == np.float32
        assert np.linalg.norm(look) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("gain", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("shift", [-0.02, 0.0, 0.02])
def test_a_copy_at_another_gain_and_a_little_later_is_found(gain, shift):
    signal = unit(1)
    copy = gain * np.roll(signal, round(shift * RATE))
    assert sound_look(signal, RATE, SPANS) @ sound_look(copy, RATE, SPANS) > 0.998


def test_no_two_units_are_copies():
    looks = np.stack([sound_look(unit(number), RATE, SPANS) for number in range(1, 9)])
    similarity = looks @ looks.T
    assert similarity[~np.eye(len(looks), dtype=bool)].max() < 0.996


def test_silence_and_a_span_beyond_the_end_are_finite():
    assert not sound_look(np.zeros(RATE, np.float32), RATE, [(0.0, 0.9)]).any()
    assert np.isfinite(sound_look(unit(1), RATE, [(6.9, 7.6), (8.0, 9.0)])).all()
    assert sound_look(unit(1), RATE, []).shape == (0,)


def steady(seed, speed):
    """A clip of a machine that runs steadily at one of its speeds, 16 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(3 * 16_000) / 16_000
    return (0.1 * rng.standard_normal(len(time)) + np.sin(2 * np.pi * speed * time)).astype(np.float32)


@pytest.mark.parametrize("gain", [0.1, 3.0])
@pytest.mark.parametrize("shift", [-0.02, 0.02])
def test_a_copy_of_a_clip_is_found(gain, shift):
    signal = steady(0, 400)
    copy = gain * np.roll(signal, round(shift * 16_000))
    assert clip_look(signal, 16_000) @ clip_look(copy, 16_000) > 0.98


def test_two_clips_of_a_steady_machine_are_no_copies():
    looks = np.stack([clip_look(steady(seed, 400 + 300 * (seed % 2)), 16_000) for seed in range(12)])
    similarity = looks @ looks.T
    assert similarity[~np.eye(len(looks), dtype=bool)].max() < 0.4
    plain = np.stack([sound_look(steady(seed, 400), 16_000, [(0.0, 3.0)]) for seed in range(2)])
    assert plain[0] @ plain[1] > 0.98  # with the spectrum that all of them share they would be


def test_silence_and_a_short_clip_are_finite():
    assert not clip_look(np.zeros(16_000, np.float32), 16_000).any()
    assert np.isfinite(clip_look(steady(0, 400)[:500], 16_000)).all()
