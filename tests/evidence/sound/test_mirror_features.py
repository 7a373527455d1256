"""The noise floor of a set: which recordings it is taken from."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from endline.evidence.sound.mirror_features import measure_noise_floor

RATE = 44_100


@pytest.fixture
def recordings(tmp_path):
    """Four standstills, the last, tested one, in a room ten times as loud."""
    rows = []
    for number, loudness in enumerate([0.001, 0.001, 0.001, 0.01]):
        noise = loudness * np.random.default_rng(number).standard_normal(RATE)
        soundfile.write(tmp_path / f"{number}.wav", noise, RATE, subtype="FLOAT")
        split = "train" if number < 3 else "test"
        rows.append({"path": f"{number}.wav", "split": split, "simulated": False})
    return pd.DataFrame(rows).assign(rest_start=0.0, rest_stop=1.0), tmp_path


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
