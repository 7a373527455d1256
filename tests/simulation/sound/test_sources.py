"""The building blocks of simulated sound: levels, colours, speeds, blows, rooms."""

import numpy as np
import pytest

from endline.simulation.sound.factory_noise import NOISES
from endline.simulation.sound.sources import blows, coloured_noise, heard, passings, ringing, room, turning

RATE = 16000


def test_coloured_noise_has_rms_one_and_its_colour() -> None:
    noise = coloured_noise(((100, 0.0), (1000, -20.0), (8000, -20.0)), 4 * RATE, RATE, np.random.default_rng(0))
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, abs=0.05)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)
    low, high = (10 * np.log10(power[(hertz > f) & (hertz < 1.1 * f)].mean()) for f in (90, 2000))
    assert low - high == pytest.approx(20, abs=1.5)


def test_a_shaft_passes_its_mark_once_a_turn_and_drifts_about_its_speed() -> None:
    rng = np.random.default_rng(0)
    steady = passings(turning(10.0, 4 * RATE, RATE, 0.0, rng), 0.3)
    assert len(steady) == 40
    assert np.ptp(np.diff(steady)) <= 1
    drifting = np.diff(passings(turning(50.0, 20 * RATE, RATE, 0.02, rng))) * 50 / RATE
    assert drifting.mean() == pytest.approx(1, abs=0.01)
    assert 0.012 < drifting.std() < 0.03


def test_blows_ring_at_the_resonance_and_those_outside_are_left_out() -> None:
    force = blows(np.array([-5, 100, 9000]), np.array([1.0, 2.0, 3.0]), RATE // 2)
    assert np.flatnonzero(force).tolist() == [100]
    sound = heard(force, ringing(np.array([1000.0]), np.array([30.0]), np.array([0.5]), RATE))
    assert np.abs(sound[:100]).max() < 1e-6
    assert np.abs(sound).max() == pytest.approx(1.0, rel=0.1)
    assert np.argmax(np.abs(np.fft.rfft(sound))) * 2 == pytest.approx(1000, abs=20)
    assert np.abs(sound[2000:]).max() < 0.01 * np.abs(sound).max()


def test_a_room_adds_a_tail_that_decays_in_its_time() -> None:
    response = room(0.6, RATE, np.random.default_rng(0)).astype(np.float64)
    tail = response.copy()
    tail[0] -= 1
    assert 10 * np.log10(np.sum(tail**2)) == pytest.approx(-5, abs=0.1)
    early, late = (np.mean(tail[int(start * RATE) : int((start + 0.04) * RATE)] ** 2) for start in (0.1, 0.3))
    assert 10 * np.log10(early / late) == pytest.approx(20, abs=3)  # 60 dB in 0.6 s


@pytest.mark.parametrize("kind", sorted(NOISES))
def test_noises_of_the_factory_are_as_loud_as_they_are_said_to_be(kind: str) -> None:
    levels = [np.sqrt(np.mean(NOISES[kind](3 * RATE, np.random.default_rng(seed)) ** 2)) for seed in range(4)]
    assert min(levels) > 0.2
    assert max(levels) < 3
    assert np.ptp(levels) > 0.001
