"""Arrays of one clip: those that the detectors read and no others, the same by file and by signal."""

import numpy as np
import pytest
import soundfile

from endline.evidence.image_parts import ArraySettings
from endline.evidence.sound import machine_features
from endline.evidence.sound.machine_features import ClipPreparation

RATE = 16_000


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "section_03_source_test_normal_0001.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(2 * RATE), RATE, subtype="FLOAT")
    return path


@pytest.mark.parametrize("names", [("log_mel",), ("spectrum", "section"), ("stft_shifted",)])
def test_inspect_makes_what_the_detectors_read_and_no_more(clip, monkeypatch, names):
    makers = {
        name: make if name in names or (name == "stft" and "stft_shifted" in names) else pytest.fail
        for name, make in machine_features.MAKERS.items()
    }
    monkeypatch.setattr(machine_features, "MAKERS", makers)
    monkeypatch.setattr(machine_features, "summary", lambda *_: pytest.fail("it is for the baseline of a run"))
    rows, features = ClipPreparation(samples=2 * RATE, arrays=ArraySettings(arrays=()), of_clip=names).inspect(clip)
    assert set(features.shapes) == set(names)
    assert rows["section"].tolist() == ["03"]
    if "section" in names:
        assert features.read()["section"].tolist() == [[3.0]]


def test_a_picture_is_made_of_the_log_mel_that_nothing_else_reads(clip):
    preparation = ClipPreparation(samples=2 * RATE, arrays=ArraySettings(arrays=("image",)), height=64, width=96)
    _, features = preparation.inspect(clip)
    assert features.shapes == {"image": (3, 64, 96)}


def test_the_arrays_of_a_signal_are_those_of_its_file(clip):
    preparation = ClipPreparation(samples=2 * RATE, arrays=ArraySettings(arrays=()), of_clip=("log_mel", "spectrum"))
    rows, features = preparation.inspect(clip)
    own = preparation.arrays_of(rows, preparation.hear(clip))
    for name, values in own.read().items():
        assert values.equal(features.read()[name])
