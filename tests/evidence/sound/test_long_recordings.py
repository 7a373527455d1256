"""Recordings of hours: windows as if cut out, bounded memory, damage said with its time."""

import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from endline.errors import EndlineError
from endline.evidence.sound.long_recordings import BLOCK, cut_windows

RATE = 16_000


def noise(seconds: float, *, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    values = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    return values.clip(-0.9, 0.9).astype(np.float32)


def written(folder, values, name="long.wav", rate=RATE, **options):
    soundfile.write(folder / name, values, rate, **options)
    return folder / name


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "FLOAT"),
        ("a.flac", "PCM_16"),
        ("a.ogg", "VORBIS"),
        ("a.mp3", None),
        ("a.aiff", "PCM_24"),
        ("a.au", None),
        ("a.paf", "PCM_16"),
        ("a.pvf", "PCM_16"),
        ("a.ircam", "FLOAT"),
    ],
)
@pytest.mark.parametrize("hop", [1.0, 0.37])
def test_every_window_is_what_a_whole_reading_has_there(tmp_path, name, subtype, hop):
    path = written(tmp_path, noise(5.3, rate=44_100, channels=2), name, 44_100, subtype=subtype)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)
    cuts = list(cut_windows(path, 1.0, hop, RATE))
    step, last = round(hop * 44_100), len(whole) - 44_100
    assert [cut.start for cut in cuts] == sorted({*range(0, last + 1, step), last})
    for cut in cuts:
        assert cut.stop - cut.start == 44_100
        np.testing.assert_array_equal(cut.channels, whole[cut.start : cut.stop])


def test_half_an_hour_takes_the_memory_of_a_window(tmp_path):
    path = tmp_path / "long.wav"
    minute = noise(60)
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(30):
            file.write(minute)
    assert path.stat().st_size > 57e6
    tracemalloc.start()
    stops = [cut.stop for cut in cut_windows(path, 10.0, 5.0, RATE)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert stops == list(range(10 * RATE, 1800 * RATE + 1, 5 * RATE))
    assert peak < 4e6


@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])
def test_a_truncated_file_is_judged_as_far_as_it_goes_and_said_with_its_time(tmp_path, name):
    path = written(tmp_path, noise(8.0), name, subtype="PCM_16")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 3 * 2 * RATE])
    *cuts, end = cut_windows(path, 2.0, 1.0, RATE)
    assert [cut.seconds for cut in cuts] == [(0, 2), (1, 3), (2, 4), (3, 5)]
    assert end.seconds == (5.0, 5.0)
    assert end.problem.reason == "the file is truncated, 96000 bytes that its header promises are missing"


def test_a_truncated_flac_is_read_up_to_the_damage(tmp_path):
    path = written(tmp_path, noise(8.0), "a.flac")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    *cuts, end = cut_windows(path, 1.0, 1.0, RATE)
    assert 2.0 < cuts[-1].seconds[1] <= 4.1
    assert "truncated" in end.problem.reason or "damaged" in end.problem.reason
    assert end.seconds[0] == pytest.approx(4.0, abs=2 * BLOCK / RATE)


@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0xFFFFFFFF], ids=hex)
def test_a_file_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path, length):
    path = written(tmp_path, noise(3.0), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.find(b"data") + 4, length)
    path.write_bytes(content)
    cuts = list(cut_windows(path, 1.0, 1.0, RATE))
    assert [cut.seconds[1] for cut in cuts] == [1.0, 2.0, 3.0]
    assert all(cut.problem is None for cut in cuts)


@pytest.mark.parametrize(
    ("values", "changes", "sentence"),
    [
        (noise(1.0), {}, r"long.wav lasts 1 s, less than a window of 2 s: judge it by inspect"),
        (noise(4.0), {"rate": 8_000}, "sampling rate of 8000 Hz is below 16000 Hz"),
        (noise(4.0, channels=12, rate=48_000), {"rate": 48_000}, "12 channels at 48000 Hz: export fewer"),
    ],
)
def test_what_cannot_be_judged_is_a_sentence(tmp_path, values, changes, sentence):
    with pytest.raises(EndlineError, match=sentence):
        list(cut_windows(written(tmp_path, values, **changes), 2.0, 1.0, RATE))


@pytest.mark.parametrize("hop", [0.0, -1.0, 2.5])
def test_a_hop_that_leaves_moments_out_is_a_sentence(tmp_path, hop):
    with pytest.raises(EndlineError, match="choose more than 0 s and at most 2 s, the length of a window"):
        list(cut_windows(written(tmp_path, noise(4.0)), 2.0, hop, RATE))


def test_files_that_are_no_sound_are_sentences(tmp_path):
    (tmp_path / "text.wav").write_text("nothing to hear")
    (tmp_path / "empty.wav").touch()
    for name, said in (("text.wav", "no sound file"), ("empty.wav", "is empty"), ("none.wav", "does not exist")):
        with pytest.raises(EndlineError, match=f"{name}: .*{said}"):
            list(cut_windows(tmp_path / name, 2.0, 1.0, RATE))
