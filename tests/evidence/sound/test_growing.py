"""A recording that is still written: the same windows as of the complete file, each as soon as it is there."""

import struct

import numpy as np
import pytest
import soundfile

from endline.errors import EndlineError
from endline.evidence.sound import growing
from endline.evidence.sound.growing import GrowingSound
from endline.evidence.sound.long_recordings import cut_windows

RATE = 16_000


def noise(seconds: float, channels: int = 1) -> np.ndarray:
    values = 0.1 * np.random.default_rng(0).standard_normal((round(seconds * RATE), channels))
    return values.clip(-0.9, 0.9).astype("f4")


class Recorder:
    """Puts the next piece of a file on disk whenever the reader waits; `pieces` are the bytes of each."""

    def __init__(self, path, pieces, last=lambda: None):
        self.path, self.pieces, self.last, self.waited = path, list(pieces), last, 0
        path.write_bytes(b"")

    def __call__(self, seconds):
        self.waited += 1
        if self.pieces:
            with self.path.open("ab") as file:
                file.write(self.pieces.pop(0))
            if not self.pieces:
                self.last()


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Follow a file that arrives in pieces: the windows, and the recorder."""

    def follow(content, sizes, last=lambda path: None, seconds=1.0, hop=0.5):
        path = tmp_path / "growing.wav"
        edges = np.cumsum([0, *sizes]).tolist()
        pieces = [content[first:after] for first, after in zip(edges, [*edges[1:], None], strict=True)]
        recorder = Recorder(path, pieces, lambda: last(path))
        monkeypatch.setattr(growing.time, "sleep", recorder)
        return list(cut_windows(path, seconds, hop, RATE, follow=1.0)), recorder

    return follow


def stored(folder, values, length, subtype="PCM_16"):
    """Content of a WAV file whose header says `length` bytes of sound, where these begin, and the complete file."""
    path = folder / "complete.wav"
    soundfile.write(path, values, RATE, subtype=subtype)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", length)
    return bytes(content), at + 4, path


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("length", [0, 1_024, 0x7FFFF000, 0xFFFFFFFF])
@pytest.mark.parametrize("sizes", [[10, 30, 30_001, 7], [90_000], [44, *[3_333] * 12]])
def test_the_windows_are_those_of_the_complete_file_whatever_its_header_says(
    tmp_path, recorded, subtype, length, sizes
):
    content, _, path = stored(tmp_path, noise(3.3, channels=2), length, subtype)
    complete = list(cut_windows(path, 1.0, 0.5, RATE))
    found, _ = recorded(content, sizes)
    assert [cut.seconds for cut in found] == [cut.seconds for cut in complete]
    assert [cut.problem for cut in found] == [None] * len(found)
    for one, other in zip(found, complete, strict=True):
        np.testing.assert_array_equal(one.channels, other.channels)


def test_a_window_comes_when_it_is_there_and_not_at_the_end(tmp_path, monkeypatch):
    content, at, _ = stored(tmp_path, noise(4.0), 0)
    path = tmp_path / "growing.wav"
    second = 2 * RATE
    recorder = Recorder(path, [content[:at], *(content[at + n * second :][:second] for n in range(4))])
    monkeypatch.setattr(growing.time, "sleep", recorder)
    left = [len(recorder.pieces) for _ in cut_windows(path, 1.0, 1.0, RATE, follow=1.0)]
    assert left == [3, 2, 1, 0]


@pytest.mark.parametrize("frames", [2 * RATE + 100, 2 * RATE + 9_000])
def test_chunks_that_a_recorder_adds_at_the_end_are_no_sound(tmp_path, recorded, frames):
    content, at, path = stored(tmp_path, noise(4.0)[:frames], 0)
    complete = list(cut_windows(path, 1.0, 0.5, RATE))

    def close(growing_path):
        with growing_path.open("r+b") as file:
            file.seek(at - 4)
            file.write(struct.pack("<I", 2 * frames))

    found, _ = recorded(content + b"LIST" + struct.pack("<I", 200) + b"x" * 200, [20_000], close)
    assert [cut.seconds for cut in found] == [cut.seconds for cut in complete]
    np.testing.assert_array_equal(found[-1].channels, complete[-1].channels)


def test_a_file_that_does_not_grow_has_ended_after_so_many_seconds(tmp_path, recorded):
    content, *_ = stored(tmp_path, noise(1.5), 0)
    found, recorder = recorded(content, [])
    assert [cut.seconds for cut in found] == [(0.0, 1.0), (0.5, 1.5)]
    assert recorder.waited == 1 + round(1.0 / growing.LOOK)  # one for the file itself, the rest for what does not come


def test_what_comes_while_it_is_looked_for_is_not_lost(tmp_path, monkeypatch):
    content, *_ = stored(tmp_path, noise(1.5), 0)
    path = tmp_path / "growing.wav"
    path.write_bytes(content[:20_000])
    looked = GrowingSound._whole

    def growing_meanwhile(self):
        found = looked(self)
        path.write_bytes(content)
        return found

    with GrowingSound(path, patience=0.0) as file:
        assert file.mend() is None
        file.read(20_000)
        monkeypatch.setattr(GrowingSound, "_whole", growing_meanwhile)
        assert file.more()


@pytest.mark.parametrize("content", [b"", b"RIFF", b"fLaC" + bytes(5_000)])
def test_what_is_no_wav_file_is_a_sentence(recorded, content):
    with pytest.raises(
        EndlineError, match=r"growing\.wav: it has no header of a WAV file .*: let the recorder write a "
    ):
        recorded(content, [])


def test_a_flac_is_judged_when_it_is_complete(tmp_path, recorded):
    soundfile.write(tmp_path / "a.flac", noise(1.5), RATE)
    with pytest.raises(EndlineError, match="it has no header of a WAV file with PCM or float samples"):
        recorded((tmp_path / "a.flac").read_bytes(), [])


def test_a_coding_without_frames_of_one_length_is_refused(tmp_path, recorded):
    content, *_ = stored(tmp_path, noise(1.5), 0, "IMA_ADPCM")
    with pytest.raises(EndlineError, match="it has no header of a WAV file with PCM or float samples"):
        recorded(content, [])


def test_a_file_that_is_not_there_and_no_time_are_sentences(tmp_path):
    with pytest.raises(EndlineError, match="the file does not exist"):
        next(cut_windows(tmp_path / "gone.wav", 1.0, 1.0, RATE, follow=1.0))
    (tmp_path / "a.wav").touch()
    with pytest.raises(EndlineError, match=r"^follow=-1 is no time in seconds: give 0 to 86400\.$"):
        GrowingSound(tmp_path / "a.wav", -1.0)
