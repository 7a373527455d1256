"""Recordings made in another way than those that train: each is named, and models of before are silent."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile

from endline.evidence.image_parts import ArraySettings
from endline.evidence.mixtures import warn_of_mixture
from endline.evidence.sound.clip_windows import clip_windows
from endline.evidence.sound.machine_audio import STATION as MACHINES
from endline.evidence.sound.machine_features import ClipPreparation
from endline.evidence.sound.machine_index import Reading, index_clip, index_clips
from endline.evidence.sound.mirror_features import SoundPreparation
from endline.evidence.sound.recorded_as import RecordedAs, length_remark, ways_of
from endline.evidence.station import Arrays
from endline.samples import TRAIN

RATE = 16_000
AS_TRAINED = RecordedAs(rates=(RATE,), channels=(1,), bits=(16,))
MODEL = ClipPreparation(
    samples=4 * RATE, arrays=ArraySettings(arrays=()), of_clip=("log_mel",), recorded=AS_TRAINED, seconds=(4.0, 4.0)
)


def noise(seconds, rate=RATE, channels=1, seed=0):
    values = 0.05 * np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    return values.clip(-0.9, 0.9)


def written(folder, values, name="new.wav", rate=RATE, **options):
    soundfile.write(folder / name, values, rate, **options)
    return folder / name


@pytest.mark.parametrize(
    ("name", "given", "options", "said"),
    [
        ("a.wav", {}, {}, []),
        ("a.flac", {}, {}, []),
        ("a.wav", {}, {"subtype": "PCM_24"}, []),
        ("a.wav", {"seconds": 3}, {}, ["lasts 3 s, those that train 4 s: it is repeated, and may be"]),
        ("a.wav", {"rate": 48_000}, {}, ["was recorded at 48000 Hz, those that train at 16000 Hz: record it as they"]),
        ("a.wav", {"channels": 2}, {}, ["has 2 channel(s), those that train 1: record it as they were"]),
        ("a.mp3", {}, {"format": "MP3"}, ["is compressed with loss (as MP3 is), those that train are not: record"]),
        ("a.wav", {}, {"subtype": "PCM_U8"}, ["has 8 bits a sample, those that train 16: record it as they were"]),
        ("a.wav", {"rate": 32_000, "seconds": 2}, {}, ["was recorded at 32000 Hz, those", "lasts 2 s, those that"]),
    ],
)  # fmt: skip
def test_a_new_clip_that_was_recorded_otherwise_is_named(tmp_path, caplog, name, given, options, said):
    shape = {"seconds": 4, **given}
    path = written(tmp_path, noise(**shape), name, shape.get("rate", RATE), **options)
    MODEL.inspect(path)
    messages = [message for message in caplog.messages if "a constant offset" not in message]  # of 8 bits
    assert len(messages) == len(said)
    for message, expected in zip(messages, said, strict=True):
        assert message.startswith(f"{path} {expected}")


def test_clips_of_a_model_from_before_have_no_remark(tmp_path, caplog):
    plain = {key: value for key, value in MODEL.plain().items() if key not in ("recorded", "seconds")}
    before = ClipPreparation.from_plain(plain)
    assert before == replace(MODEL, recorded=None, seconds=None)
    before.inspect(written(tmp_path, noise(3, 48_000, 2), rate=48_000))
    assert not caplog.messages
    assert ClipPreparation.from_plain(MODEL.plain()) == MODEL


def test_what_the_training_had_is_kept_and_the_tested_ones_are_remarked_on(tmp_path):
    for number in range(4):
        (tmp_path / "train").mkdir(exist_ok=True)
        written(
            tmp_path, noise(1 + 0.5 * number, seed=number), f"train/section_00_source_train_normal_{number:04d}.wav"
        )
    (tmp_path / "test").mkdir()
    written(tmp_path, noise(1.5, 44_100, seed=9), "test/section_00_source_test_normal_0009.wav", 44_100)
    samples = index_clips(tmp_path, group=None, simulated=False, reading=Reading()).samples
    picture = {"backbone": "mobilenet_v2", "weights": None, "input_type": "auto", "views": 1, "height": 64, "width": 64}
    parameters = {"sample_rate": RATE, "channel": "mean", "workers": 1, **picture}
    preparation = MACHINES.prepare(samples, tmp_path, {}, parameters, Arrays(required=("log_mel",)))
    assert (preparation.recorded, preparation.seconds) == (AS_TRAINED, (1.0, 2.5))
    for row in samples.to_dict("records"):
        assert len(preparation.remarks(row)) == (0 if row["split"] == TRAIN else 1)


def test_the_channels_do_not_count_where_one_is_chosen(tmp_path):
    training = index_clip(written(tmp_path, noise(1, channels=2)), Reading(channel="1"))
    recorded = RecordedAs.of(training, channel_by_number=True)
    assert recorded.remarks({"rate": RATE, "channels": 4, "bits": 16}) == []
    assert RecordedAs.of(training).remarks({"rate": RATE, "channels": 4, "bits": 16})


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("rate", [RATE, RATE, 8_000], f"2 x {RATE} Hz, 1 x 8000 Hz"),
        ("channels", [1, 1, 2], "2 x 1 channel(s), 1 x 2 channel(s)"),
        ("bits", [24, 16, 0], "2 x 16 bits or more, 1 x compressed with loss (as MP3 is)"),
    ],
)
def test_those_that_train_are_told_where_they_were_not_recorded_alike(caplog, column, values, said):
    training = pd.DataFrame({"rate": [RATE] * 3, "channels": 1, "bits": [24, 16, 32]})
    warn_of_mixture(*ways_of(training))
    assert not caplog.messages
    warn_of_mixture(*ways_of(training.assign(**{column: values})))
    assert f"Those that train were not made alike: {said}." in caplog.text
    caplog.clear()
    warn_of_mixture(*ways_of(training.assign(channels=[1, 1, 2]), channel_by_number=True))
    assert not caplog.messages


def test_recordings_without_loss_are_named_where_all_that_train_have_it():
    mp3 = RecordedAs((RATE,), (1,), (0,))
    assert mp3.remarks({"rate": RATE, "channels": 1, "bits": 0}) == []
    assert mp3.remarks({"rate": RATE, "channels": 1, "bits": 16})[0].startswith("is not compressed, those that train")


def test_a_range_of_lengths():
    assert length_remark(3.0, (2.0, 4.0), 0.01) == length_remark(4.03, (2.0, 4.0), 0.01) == []
    assert length_remark(1.0, (2.0, 4.0), 0.01)[0].startswith("lasts 1 s, those that train 2 to 4 s: it is repeated")
    assert length_remark(5.0, (2.0, 4.0), 0.01)[0].startswith("lasts 5 s, those that train 2 to 4 s: they are repeated")


def test_a_long_recording_is_named_once(tmp_path, caplog):
    path = written(tmp_path, noise(13, 48_000), rate=48_000)
    assert len(list(clip_windows(path, MODEL))) == 6
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{path} from 0.0 s: it was recorded at 48000 Hz, those that train at 16000")


def test_a_faint_channel_of_a_long_recording_is_named_once(tmp_path, caplog):
    both = noise(13, channels=2) * np.linspace(0.01, 0.05, 13 * RATE)[:, np.newaxis] ** [0, 1]
    path = written(tmp_path, both)
    assert len(list(clip_windows(path, replace(MODEL, recorded=None)))) == 6
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{path} from 0.0 s: channel 2 of 2 is 36 dB below channel 1, and averaged")


def test_a_recording_of_a_mirror_at_another_rate_is_named(tmp_path, caplog):
    rate = 32_000
    time = np.arange(3 * rate) / rate
    running = ((time > 0.2) & (time < 1.2)) | ((time > 1.8) & (time < 2.8))
    path = written(tmp_path, (0.02 + running) * noise(3, rate)[:, 0], rate=rate)
    model = SoundPreparation(recorded=AS_TRAINED)
    model.inspect(path)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{path} was recorded at 32000 Hz, those that train at 16000 Hz: record it")
    assert SoundPreparation.from_plain(model.plain()) == model
    before = {key: value for key, value in model.plain().items() if key != "recorded"}
    assert SoundPreparation.from_plain(before) == SoundPreparation()
