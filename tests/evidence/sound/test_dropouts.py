"""Dropouts: those of a sounding recording are named, the silence of a quiet one of few bits is not."""

import numpy as np
import pytest
import soundfile

from endline.evidence.image_parts import ArraySettings
from endline.evidence.sound.clip_windows import clip_windows
from endline.evidence.sound.dropouts import dropout_remark, longest_dropout
from endline.evidence.sound.machine_features import ClipPreparation
from endline.evidence.sound.machine_index import Reading, index_clips
from endline.evidence.sound.mirror_features import SoundPreparation
from endline.evidence.sound.mirror_index import index_recordings

RATE = 16_000
NONE = {"dropout_start": 0.0, "dropout_seconds": 0.0}
MODEL = ClipPreparation(samples=2 * RATE, arrays=ArraySettings(arrays=()), of_clip=("log_mel",))


def noise(seconds=2.0, level=0.05, rate=RATE, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def dropped(start, seconds, value=0.0, of=None):
    signal = noise() if of is None else of.copy()
    signal[round(start * RATE) : round((start + seconds) * RATE)] = value
    return signal


def clicks(bits, level, decay, seconds=2.0):
    """A valve in silence: a click every 0.3 s that dies away, in a recording of so many bits."""
    time = np.arange(round(seconds * RATE)) / RATE
    sound = level * np.sin(2 * np.pi * 1_500 * time) * np.exp(-(time % 0.3) / decay)
    steps = 2 ** (bits - 1)
    return (np.round(sound * steps) / steps).astype(np.float32)


@pytest.mark.parametrize("value", [0.0, 0.013])
@pytest.mark.parametrize(("start", "seconds"), [(1.25, 0.1), (0.5, 0.02), (0.0, 0.3), (1.5, 0.5)])
def test_a_dropout_is_found_wherever_it_is(start, seconds, value):
    found = longest_dropout(dropped(start, seconds, value), RATE)
    assert found == pytest.approx({"dropout_start": start, "dropout_seconds": seconds}, abs=1e-3)


def test_the_longest_of_several_is_given():
    assert longest_dropout(dropped(1.0, 0.2, of=dropped(0.3, 0.05)), RATE)["dropout_start"] == 1.0


def test_shorter_ones_are_none():
    assert longest_dropout(dropped(1.0, 0.015), RATE) == NONE


@pytest.mark.parametrize("level", [0.0012, 0.002, 0.004, 0.01, 0.05])
def test_quiet_recordings_of_8_bits_have_none(level):
    quiet = np.round(noise(10.0, level) * 127) / 127
    if level == 0.0012:
        assert np.diff(np.flatnonzero(np.diff(quiet))).max() > 0.02 * RATE  # by chance
    assert longest_dropout(quiet.astype(np.float32), RATE) == NONE


@pytest.mark.parametrize("decay", [0.002, 0.01, 0.03])
@pytest.mark.parametrize(("bits", "level"), [(8, 0.9), (8, 0.05), (16, 0.9)])
def test_the_silence_between_clicks_is_no_dropout(bits, level, decay):
    assert longest_dropout(clicks(bits, level, decay), RATE) == NONE


def test_a_slow_sway_is_no_dropout():
    sway = np.sin(2 * np.pi * np.arange(4 * RATE) / RATE)  # of 1 Hz, whose crests are flat in 8 bits
    assert longest_dropout((np.round(100 * sway) / 128).astype(np.float32), RATE) == NONE


def written(path, values, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, values, rate)
    return path


def test_a_new_clip_with_a_dropout_is_named(tmp_path, caplog):
    path = written(tmp_path / "new.wav", dropped(1.25, 0.1))
    MODEL.inspect(path)
    assert caplog.messages == [
        f"{path} holds one and the same value for 0.1 s from 1.25 s on, as a dropout does: it may be anomalous by that "
        "alone, look for a loose plug, or for a computer too busy to record."
    ]
    caplog.clear()
    MODEL.inspect(written(tmp_path / "whole.wav", noise()))
    assert not caplog.messages


def test_what_half_of_the_training_clips_hold_is_none():
    row = {"dropout_start": 0.0, "dropout_seconds": 0.05}
    assert dropout_remark(row, usual=0.03) == []
    assert dropout_remark(row, usual=0.02)


def test_a_folder_with_dropouts_is_warned_of_once(tmp_path, caplog):
    for number in range(6):
        whole = noise(seed=number)
        written(tmp_path / f"normal/{number}.wav", dropped(1.0, 0.25, of=whole) if number in (2, 4) else whole)
    samples = index_clips(tmp_path, group=None, simulated=False, reading=Reading()).samples
    assert samples["dropout_seconds"].gt(0).sum() == 2
    assert caplog.messages == [
        "2 of 6 clips hold one and the same value for 20 ms or more, as a dropout does. The first, normal/2.wav, holds "
        "one and the same value for 0.25 s from 1.00 s on: look for a loose plug, or for a computer too busy to record."
    ]


def test_a_dropout_of_a_long_recording_is_said_once_with_its_time(tmp_path, caplog):
    signal = noise(12.0)
    signal[round(6.3 * RATE) : round(6.6 * RATE)] = 0
    path = written(tmp_path / "night.wav", signal)
    assert len(list(clip_windows(path, MODEL))) == 11
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{path} from 5.0 s: it holds one and the same value for 0.3 s from 6.30 s on")


def test_a_recording_of_a_mirror_is_named_by_what_lies_in_its_motions_alone(tmp_path, caplog):
    rate = 44_100
    time = np.arange(3 * rate) / rate
    running = ((time > 0.3) & (time < 1.2)) | ((time > 1.8) & (time < 2.8))
    sound = (0.02 + running) * noise(3.0, rate=rate)
    before, within = sound.copy(), sound.copy()
    before[: rate // 20] = 0
    within[round(0.7 * rate) : round(0.73 * rate)] = 0
    SoundPreparation().inspect(written(tmp_path / "normal/before.wav", before, rate))
    assert not caplog.messages
    path = written(tmp_path / "normal/within.wav", within, rate)
    SoundPreparation().inspect(path)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{path} holds one and the same value for 0.03 s from 0.70 s on, as a dropout")
    caplog.clear()
    index_recordings(tmp_path, group="mirror", simulated=False)
    assert caplog.messages[0].startswith("1 of 2 recordings hold one and the same value for 20 ms or more")
