"""The noise floor of a set: which recordings it is taken from."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from endline.evidence.sound.mirror_features import SoundPreparation, measure_noise_floor, quietest_standstill

RATE = 44_100


def standstills(folder, rooms):
    """Rows of a sample table, one for each loudness of `rooms`; the fourth is tested, the others train."""
    rows = []
    for number, loudness in enumerate(rooms):
        noise = loudness * np.random.default_rng(number).standard_normal(RATE)
        soundfile.write(folder / f"{number}.wav", noise, RATE, subtype="FLOAT")
        split = "test" if number == 3 else "train"
        rows.append({"path": f"{number}.wav", "split": split, "simulated": False})
    return pd.DataFrame(rows).assign(rest_start=0.0, rest_stop=1.0)


@pytest.fixture
def recordings(tmp_path):
    """Four standstills, the last, tested one, in a room ten times as loud."""
    return standstills(tmp_path, [0.001, 0.001, 0.001, 0.01]), tmp_path


def test_the_floor_follows_all_recordings_or_the_training_ones_alone(recordings):
    samples, folder = recordings
    power = {mode: np.mean(measure_noise_floor(samples, folder, mode, RATE)) for mode in ("level", "level_training")}
    quiet, loud = 1e-6, 1e-4
    assert power["level"] > 3 * loud
    assert power["level_training"] == pytest.approx(4 * quiet, rel=0.2)


@pytest.mark.parametrize(("mode", "simulated"), [("raw", False), ("auto", True)])
def test_raw_and_simulated_recordings_have_no_floor(recordings, mode, simulated):
    samples, folder = recordings
    assert measure_noise_floor(samples.assign(simulated=simulated), folder, mode, RATE) is None


@pytest.mark.parametrize("mode", ["level", "level_training"])
def test_one_loud_standstill_raises_nobodys_floor_and_is_named(tmp_path, caplog, mode):
    samples = standstills(tmp_path, [0.001] * 19 + [0.03])
    floor = measure_noise_floor(samples, tmp_path, mode, RATE)
    np.testing.assert_array_equal(floor, measure_noise_floor(samples[:-1], tmp_path, mode, RATE))
    assert caplog.messages[0] == (
        "The noise floor leaves out 19.wav: at rest far louder than all others, which would be drowned in noise."
    )
    assert caplog.messages[1].startswith(
        "1 of 20 recordings stay louder at rest than the common noise floor, and their verdicts rest on room noise: "
        "19.wav by 2"
    )
    assert len(caplog.messages) == 2


def test_a_room_that_is_louder_than_the_training_is_named(recordings, caplog):
    samples, folder = recordings
    measure_noise_floor(samples, folder, "level", RATE)
    assert not caplog.messages
    measure_noise_floor(samples, folder, "level_training", RATE)
    assert caplog.messages[0].startswith("1 of 4 recordings stay louder at rest than the common noise floor, ")
    assert caplog.messages[0].endswith(" dB. Record them again in a quieter room.")


@pytest.mark.parametrize(("floor", "said"), [(1e-8, True), (1e-3, False)])
def test_a_new_recording_that_is_louder_than_the_floor_is_named(tmp_path, caplog, floor, said):
    rng = np.random.default_rng(0)
    time = np.arange(3 * RATE) / RATE
    running = ((time > 0.2) & (time < 1.2)) | ((time > 1.8) & (time < 2.8))
    path = tmp_path / "new.wav"
    soundfile.write(path, (0.001 + 0.02 * running) * rng.standard_normal(len(time)), RATE, subtype="FLOAT")
    SoundPreparation(power=(floor,) * 1025).inspect(path)
    assert len(caplog.messages) == said
    if said:
        assert caplog.messages[0].startswith(f"{path} is 2")
        assert caplog.messages[0].endswith(
            " dB louder at rest than the noise floor of its model, and its verdict rests on room noise. "
            "Record it again in a quieter room."
        )


def test_the_quietest_standstill_is_one_that_trains(recordings):
    samples, folder = recordings
    quiet, loud = (quietest_standstill(rows, folder, (1e-6,) * 1025, RATE) for rows in (samples, samples.iloc[::-1]))
    assert quiet == loud == pytest.approx(0, abs=2)
    assert quietest_standstill(samples, folder, (1e-4,) * 1025, RATE) == pytest.approx(quiet - 20)
    assert quietest_standstill(samples, folder, None, RATE) is None


@pytest.mark.parametrize(
    ("gain", "quietest", "said"), [(1.0, -3, False), (0.3, -3, False), (0.03, -3, True), (0.03, None, False)]
)
def test_a_new_recording_that_is_much_quieter_than_all_that_train_is_named(tmp_path, caplog, gain, quietest, said):
    time = np.arange(3 * RATE) / RATE
    running = ((time > 0.2) & (time < 1.2)) | ((time > 1.8) & (time < 2.8))
    noise = np.random.default_rng(0).standard_normal(len(time))
    path = tmp_path / "new.wav"
    soundfile.write(path, gain * (0.001 + 0.02 * running) * noise, RATE, subtype="FLOAT")
    preparation = SoundPreparation(power=(2e-6,) * 1025, quietest=quietest)
    assert SoundPreparation.from_plain(preparation.plain()) == preparation
    preparation.inspect(path)
    assert len(caplog.messages) == said
    if said:
        assert caplog.messages[0].startswith(f"{path} is 2")
        assert caplog.messages[0].endswith(
            " dB quieter at rest than the quietest recording that trains: it may be anomalous by that alone. Look "
            "whether the gain is lower, or a noise gate is on."
        )
