import numpy as np
import pytest

from endline.evidence.sound.noise_floor import common_floor, level, loud_standstills, standstill_power

RATE = 44_100


def room(scale, seed, seconds=2.0):
    rng = np.random.default_rng(seed)
    return (scale * rng.standard_normal(round(seconds * RATE))).astype(np.float32)


def test_white_noise_has_its_variance_in_every_bin():
    power = standstill_power(room(0.1, 0), RATE, (0.2, 1.9))
    assert power.shape == (1025,)
    np.testing.assert_allclose(power.mean(), 0.01, rtol=0.02)


def test_only_the_standstill_counts():
    signal = room(0.1, 0)
    signal[: RATE // 2] += 1.0
    np.testing.assert_allclose(standstill_power(signal, RATE, (0.6, 1.9)).mean(), 0.01, rtol=0.02)


def test_a_span_shorter_than_the_transform_still_has_a_spectrum():
    assert np.isfinite(standstill_power(room(0.1, 0), RATE, (0.5, 0.51))).all()


def test_the_floor_is_a_factor_above_the_quantile():
    powers = np.arange(101.0)[:, None] * np.array([1.0, 2.0])
    np.testing.assert_allclose(common_floor(powers), [4 * 98, 8 * 98])
    np.testing.assert_allclose(common_floor(powers, quantile=0.5, factor=1.0), [50, 100])


def test_levelled_rooms_are_alike():
    rooms = [room(0.01, 1), room(0.03, 2)]
    powers = np.stack([standstill_power(signal, RATE, (0, 2)) for signal in rooms])
    floor = common_floor(powers)
    levelled = [
        level(signal, RATE, power, floor, seed=7 + i)
        for i, (signal, power) in enumerate(zip(rooms, powers, strict=True))
    ]
    after = [standstill_power(signal, RATE, (0, 2)).mean() for signal in levelled]
    np.testing.assert_allclose(after, floor.mean(), rtol=0.03)
    assert powers[1].mean() > 8 * powers[0].mean()


def test_noise_is_shaped_per_bin_and_added_where_it_is_missing():
    silent = np.zeros(2 * RATE, dtype=np.float32)
    floor = np.where(np.arange(1025) < 512, 1e-4, 1e-6)
    after = standstill_power(level(silent, RATE, np.zeros(1025), floor, seed=0), RATE, (0, 2))
    np.testing.assert_allclose(after[10:500].mean(), 1e-4, rtol=0.05)
    np.testing.assert_allclose(after[530:1020].mean(), 1e-6, rtol=0.05)


def test_a_recording_above_the_floor_stays_as_it_is():
    signal = room(0.1, 0)
    assert np.array_equal(level(signal, RATE, np.ones(1025), np.full(1025, 0.5), seed=0), signal)


def test_the_seed_decides_the_noise():
    signal, power, floor = room(0.01, 0), np.zeros(1025), np.ones(1025)
    first = level(signal, RATE, power, floor, seed=1)
    assert first.dtype == np.float32
    assert np.array_equal(first, level(signal, RATE, power, floor, seed=1))
    assert not np.array_equal(first, level(signal, RATE, power, floor, seed=2))


def rooms_of(levels):
    """Standstill powers (n, 1025) of rooms at these levels in dB."""
    return 10 ** (np.asarray(levels, dtype=float)[:, None] / 10) * np.ones(1025)


@pytest.mark.parametrize(
    ("levels", "loud"),
    [
        ([0.0] * 19 + [7.0], [19]),
        ([0.0] * 19 + [5.0], []),  # the factor of the floor is enough for it
        ([20.0, *[0.0] * 38, 30.0], [0, 39]),
        ([20.0] * 3 + [0.0] * 37, []),  # a room of its own
        ([0.0] * 3 + [20.0], []),  # four are no measure of each other
        ([0.0] * 4 + [20.0], [4]),
    ],
)
def test_the_few_that_are_far_louder_are_marked(levels, loud):
    assert np.flatnonzero(loud_standstills(rooms_of(levels), RATE)).tolist() == loud


def test_a_whistle_is_marked_and_a_louder_hum_is_not():
    powers = rooms_of([0.0] * 20)
    powers[3, 400:420] *= 10**3.5
    assert np.flatnonzero(loud_standstills(powers, RATE)).tolist() == [3]
    powers = rooms_of([0.0] * 20)
    powers[3, 2:5] *= 10**1.4
    assert not loud_standstills(powers, RATE).any()
