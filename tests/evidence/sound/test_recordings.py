import re
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from endline.errors import EndlineError, FileRejected
from endline.evidence.sound.motions import _sounding, find_motions
from endline.evidence.sound.recordings import read_recording
from endline.evidence.sound.signals import resample

RATE = 44_100


def motor_recording(spans, seconds, *, rate=RATE, gain=0.02, room=0.001, seed=0):
    """Room noise with a motor (broad-band noise and a hum) in each span (start, stop, loudness)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    motor = gain * (rng.standard_normal(len(time)) + np.sin(2 * np.pi * 700 * time))
    envelope = sum(loudness * ((time >= start) & (time < stop)) for start, stop, loudness in spans)
    return (room * rng.standard_normal(len(time)) + envelope * motor).astype(np.float32)


@pytest.fixture
def paper_layout():
    return motor_recording([(0.0, 3.0, 1.0), (4.0, 7.0, 1.0)], 7.0)


def rejection(action):
    with pytest.raises(FileRejected) as caught:
        action()
    return str(caught.value)


def written(folder, samples, rate=RATE, name="a.wav", **options):
    path = folder / name
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "FLOAT"), ("a.flac", "PCM_24"), ("a.aiff", "PCM_16")])
def test_formats_are_read_as_float_mono(tmp_path, name, subtype):
    samples = motor_recording([(0.5, 1.5, 1.0)], 2.0)
    signal, rate = read_recording(written(tmp_path, samples, name=name, subtype=subtype))
    assert rate == RATE
    assert signal.dtype == np.float32
    np.testing.assert_allclose(signal, samples, atol=1e-4)


def test_stereo_is_averaged(tmp_path):
    left = motor_recording([(0.5, 1.5, 1.0)], 2.0)
    signal, _ = read_recording(written(tmp_path, np.stack([left, 0.5 * left], axis=1), subtype="FLOAT"))
    np.testing.assert_allclose(signal, 0.75 * left, atol=1e-7)


@pytest.mark.parametrize(("level", "said"), [(0.02, True), (0.2, False), (1.0, False)])
def test_a_channel_far_below_the_other_is_named(tmp_path, caplog, level, said):
    loud = motor_recording([(0.5, 1.5, 1.0)], 2.0)
    path = written(tmp_path, np.stack([level * loud, loud], axis=1), subtype="FLOAT")
    signal, _ = read_recording(path)
    np.testing.assert_allclose(signal, (1 + level) / 2 * loud, atol=1e-7)
    assert len(caplog.messages) == said
    if said:
        assert caplog.messages[0] == (
            f"{path}: channel 1 of 2 is 34 dB below channel 2, and averaged with it: check its microphone, or learn "
            "from channel 2 alone (machine_audio: channel=2)."
        )


def test_a_missing_file_is_rejected(tmp_path):
    said = rejection(lambda: read_recording(tmp_path / "none.wav"))
    assert said == "the file does not exist: restore it or take it out of the label table."


def test_a_zero_length_file_is_rejected(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    assert rejection(lambda: read_recording(tmp_path / "a.wav")) == ("the file is empty (0 bytes): record it again.")


def test_a_file_without_samples_is_rejected(tmp_path):
    path = written(tmp_path, np.zeros(0, dtype=np.float32))
    assert rejection(lambda: read_recording(path)) == "the recording holds no samples: record it again."


def test_a_text_file_named_wav_is_rejected(tmp_path):
    (tmp_path / "a.wav").write_text("recording,fault\n")
    said = rejection(lambda: read_recording(tmp_path / "a.wav"))
    assert said.startswith("no sound file that libsndfile can read: export it as WAV, FLAC")


@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])
def test_a_truncated_file_is_rejected(tmp_path, paper_layout, name):
    path = written(tmp_path, paper_layout, name=name, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-1000])
    said = rejection(lambda: read_recording(path))
    assert said == (
        "the file is truncated, 1000 bytes that its header promises are missing: copy it again from its source."
    )


def test_a_truncated_flac_is_rejected(tmp_path, paper_layout):
    path = written(tmp_path, paper_layout, name="a.flac")
    path.write_bytes(path.read_bytes()[:-100_000])
    rejection(lambda: read_recording(path))


def test_nan_is_rejected(tmp_path, paper_layout):
    paper_layout[[5, 9]] = np.nan, np.inf
    path = written(tmp_path, paper_layout, subtype="FLOAT")
    said = rejection(lambda: read_recording(path))
    assert said == "2 samples are NaN or infinite: export it again from its source."


def test_silence_is_rejected(tmp_path):
    path = written(tmp_path, np.full(RATE, 0.2, dtype=np.float32))  # a constant is silent too
    said = rejection(lambda: read_recording(path))
    assert said == "the recording is silent: check the microphone and record it again."


def test_clipping_is_rejected_and_loudness_is_not(tmp_path, paper_layout):
    loud = paper_layout / np.abs(paper_layout).max()
    read_recording(written(tmp_path, loud, subtype="PCM_16"))
    path = written(tmp_path, np.clip(10 * loud, -1, 1), subtype="PCM_16")
    said = rejection(lambda: read_recording(path))
    assert "of the samples are clipped at full scale: lower the gain and record it again." in said


def test_a_rate_of_8_khz_is_rejected_by_name(tmp_path, paper_layout):
    path = written(tmp_path, paper_layout, rate=8000)
    said = rejection(lambda: read_recording(path))
    assert said.startswith("the sampling rate of 8000 Hz is below 16000 Hz: record it at 44100 Hz")


def test_resampling_keeps_a_tone():
    time = np.arange(16_000) / 16_000
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    out = resample(tone, 16_000, RATE)
    expected = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert out.shape == expected.shape
    assert np.abs(out - expected)[2000:-2000].max() < 0.01
    assert resample(tone, 16_000, 16_000) is tone


def test_motions_of_the_papers_layout_are_found(paper_layout):
    paper_layout[4 * RATE : 4 * RATE + 300] += 0.5  # the click of a shaft thrust
    motions = find_motions(paper_layout, RATE)
    np.testing.assert_allclose(motions.fold, (0.0, 3.0), atol=0.05)
    np.testing.assert_allclose(motions.unfold, (4.0, 7.0), atol=0.05)
    assert 3.0 < motions.standstill[0] < 3.15
    assert 3.85 < motions.standstill[1] < 4.0


@pytest.mark.parametrize("end", [0.2, 5.0])  # of the motor's amplitude: -14 and +14 dB
def test_a_quieter_or_louder_end_belongs_to_the_motion(end):
    spans = [(0.5, 1.8, 1.0), (1.8, 2.5, end), (3.0, 4.3, 1.0), (4.3, 5.0, end)]
    motions = find_motions(motor_recording(spans, 6.0), RATE)
    np.testing.assert_allclose(motions.fold, (0.5, 2.5), atol=0.06)
    np.testing.assert_allclose(motions.unfold, (3.0, 5.0), atol=0.06)


def test_clicks_and_a_click_in_the_rest_do_not_mislead():
    signal = motor_recording([(0.5, 2.5, 1.0), (3.5, 5.5, 1.0)], 6.0)
    for second in (0.2, 0.35, 2.7):
        signal[round(second * RATE) :][:200] += 0.3
    motions = find_motions(signal, RATE)
    np.testing.assert_allclose(motions.fold, (0.5, 2.5), atol=0.06)
    assert motions.standstill[0] > 2.72  # behind the click
    assert motions.standstill[1] < 3.5


def test_a_hum_louder_than_the_motor_does_not_mislead(paper_layout):
    hum = 0.2 * np.sin(2 * np.pi * 50 * np.arange(len(paper_layout)) / RATE)
    motions = find_motions((paper_layout + hum).astype(np.float32), RATE)
    np.testing.assert_allclose(motions.fold, (0.0, 3.0), atol=0.05)


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
def test_motions_are_found_at_other_rates(rate):
    motions = find_motions(motor_recording([(0.5, 2.5, 1.0), (3.0, 5.0, 1.0)], 6.0, rate=rate), rate)
    np.testing.assert_allclose((*motions.fold, *motions.unfold), (0.5, 2.5, 3.0, 5.0), atol=0.05)


@pytest.mark.parametrize(
    ("spans", "found"),
    [
        ([(1.0, 3.0, 1.0)], "one motion only"),
        ([(1.0, 2.0, 1.0), (2.5, 3.5, 1.0), (4.0, 5.0, 1.0)], "3 motions"),
        ([(0.0, 0.0, 0.0)], "no motion"),
        ([(0.0, 6.0, 1.0)], "no motion"),
    ],
)
def test_other_counts_of_motions_are_rejected(spans, found):
    said = rejection(lambda: find_motions(motor_recording(spans, 6.0), RATE))
    assert said.startswith(f"{found} found where one fold and one unfold are needed: record")


def test_too_short_a_rest_is_rejected():
    signal = motor_recording([(0.5, 2.5, 1.0), (2.68, 4.5, 1.0)], 6.0)
    assert "the quiet between the two motions lasts only 0.1" in rejection(lambda: find_motions(signal, RATE))


def test_a_recording_shorter_than_a_motion_is_rejected():
    signal = motor_recording([(0.0, 0.1, 1.0)], 0.2)
    assert rejection(lambda: find_motions(signal, RATE)).startswith("no motion found")
    assert rejection(lambda: find_motions(signal[:100], RATE)).startswith("no motion found")


def steady(name, seconds=5.0, rate=RATE):
    """A sound without any motor that was once taken for a fold and an unfold."""
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * rate)) / rate
    noise = rng.standard_normal(len(time))
    pink = np.fft.irfft(np.fft.rfft(noise) / np.sqrt(np.maximum(np.fft.rfftfreq(len(time), 1 / rate), 20)), len(time))
    pink *= 0.05 / pink.std()
    sounds = {
        "a fan that swells every 3 s": pink * (1 + 0.3 * np.sin(2 * np.pi * time / 3)),
        "a fan that swells more": pink * (1 + 0.5 * np.sin(2 * np.pi * time / 3)),
        "white noise": 0.05 * noise,
        "white noise that grows": 0.05 * noise * (0.2 + time / seconds),
        "a hum": 0.2 * np.sin(2 * np.pi * 50 * time),
        "a hum of 16 bits": np.round(0.2 * np.sin(2 * np.pi * 50 * time) * 32767) / 32767,
        "two beating hums": 0.1 * np.sin(2 * np.pi * 50 * time) + 0.1 * np.sin(2 * np.pi * 50.3 * time),
        "one level": np.tile(0.1 * np.sign(np.sin(2 * np.pi * np.arange(rate // 100) / (rate // 100))), 500),
    }
    return sounds[name].astype(np.float32)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a fan that swells every 3 s", "no standstill found, the sound swells and fades and no motor starts"),
        ("a fan that swells more", "no standstill found, the sound swells and fades and no motor starts"),
        ("white noise", "no motion found"),
        ("white noise that grows", "one motion only found"),
        ("a hum", "no motion found"),
        ("a hum of 16 bits", "no motion found"),
        (
            "two beating hums",
            "no motion found, nothing between 300 Hz and 16 kHz is louder than -100 dB of full scale",
        ),
        ("one level", "no motion found"),
    ],
)
def test_a_steady_sound_is_no_motor(name, said):
    assert rejection(lambda: find_motions(steady(name), RATE)).startswith(said)


def test_the_remedy_for_a_fan(tmp_path):
    path = written(tmp_path, steady("a fan that swells every 3 s"))
    assert rejection(lambda: find_motions(*read_recording(path))).endswith(
        "dB are needed): record one fold and one unfold with a rest between, in a room without a fan or a machine."
    )


def test_times_do_not_drift_where_10_ms_are_no_whole_number_of_samples():
    signal = motor_recording([(16.0, 18.0, 1.0), (19.0, 21.0, 1.0)], 22.0, rate=22_050)
    motions = find_motions(signal, 22_050)  # steps of 220 samples would come 40 ms late
    np.testing.assert_allclose((*motions.fold, *motions.unfold), (16.0, 18.0, 19.0, 21.0), atol=0.015)


PIPED = (0x7FFFF000, 0x7FFFF000 - 36, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0)


def piped(path, length):
    """The file with the lengths that a program leaves which writes to a pipe."""
    content = bytearray(path.read_bytes())
    order, sound = (">", b"SSND") if content.startswith(b"FORM") else ("<", b"data")
    struct.pack_into(f"{order}I", content, 4, length)
    struct.pack_into(f"{order}I", content, content.index(sound) + 4, length)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("length", PIPED, ids=hex)
@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])
def test_a_file_that_was_written_to_a_pipe_is_read_whole(tmp_path, paper_layout, name, length):
    path = written(tmp_path, paper_layout, name=name, subtype="PCM_16")
    expected, _ = read_recording(path)
    signal, rate = read_recording(piped(path, length))
    assert rate == RATE
    np.testing.assert_array_equal(signal, expected)


def test_a_wav_whose_empty_sound_is_followed_by_notes_is_empty(tmp_path):
    path = written(tmp_path, np.zeros(0, dtype=np.float32), subtype="PCM_16")
    path.write_bytes(path.read_bytes() + b"LIST\x04\x00\x00\x00INFO")
    assert rejection(lambda: read_recording(path)) == "the recording holds no samples: record it again."


def flac_with_count(path, count):
    """The FLAC file with another number of samples in its header, 36 bits of it."""
    content = bytearray(path.read_bytes())
    fields = int.from_bytes(content[18:26], "big") >> 36 << 36 | count
    content[18:26] = fields.to_bytes(8, "big")
    path.write_bytes(content)
    return path


def test_a_flac_without_a_length_is_read_whole(tmp_path, paper_layout):
    path = written(tmp_path, paper_layout, name="a.flac")
    expected, _ = read_recording(path)
    np.testing.assert_array_equal(read_recording(flac_with_count(path, 0))[0], expected)


def test_a_flac_that_claims_2_to_the_36_samples_is_not_read(tmp_path, paper_layout):
    path = flac_with_count(written(tmp_path, paper_layout, name="a.flac"), 2**36 - 1)
    assert rejection(lambda: read_recording(path)) == (
        "its header promises 1558265 s of sound in 1 channel(s) at 44100 Hz, and recordings of up to 60 s are read: "
        "cut out one fold and one unfold, or set the environment variable ENDLINE_LONGEST_RECORDING to more seconds."
    )


def test_a_flac_that_holds_less_than_it_promises_is_truncated(tmp_path, paper_layout):
    path = flac_with_count(written(tmp_path, paper_layout, name="a.flac"), len(paper_layout) + 1000)
    assert rejection(lambda: read_recording(path)).startswith("the file is truncated")


def test_an_800_mb_wav_is_not_read(tmp_path, paper_layout):
    path = written(tmp_path, paper_layout, subtype="PCM_16")
    with path.open("r+b") as file:
        file.truncate(800_000_000)  # sparse
    tracemalloc.start()
    said = rejection(lambda: read_recording(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said.startswith("the file is 800 MB large, and recordings of up to 60 s are read: cut out one fold and")
    assert peak < 1e6


def test_the_longest_recording_is_a_setting(tmp_path, paper_layout, monkeypatch):
    path = written(tmp_path, paper_layout, subtype="PCM_16")
    monkeypatch.setenv("ENDLINE_LONGEST_RECORDING", "6.5")
    assert rejection(lambda: read_recording(path)).startswith(
        "its header promises 7 s of sound in 1 channel(s) at 44100 Hz, and recordings of up to 6.5 s are read"
    )
    no_length = flac_with_count(written(tmp_path, paper_layout, name="a.flac"), 0)
    assert rejection(lambda: read_recording(no_length)).startswith("it holds more than 6 s of sound, and recordings")
    monkeypatch.setenv("ENDLINE_LONGEST_RECORDING", "7")
    assert len(read_recording(path)[0]) == len(read_recording(no_length)[0]) == len(paper_layout)
    monkeypatch.setenv("ENDLINE_LONGEST_RECORDING", "long")
    with pytest.raises(EndlineError, match="ENDLINE_LONGEST_RECORDING=long is no number of seconds: give one above 0"):
        read_recording(path)


@pytest.mark.parametrize("name", ["a.raw", "a.RAW"])
def test_a_raw_file_is_rejected(tmp_path, name):
    (tmp_path / name).write_bytes(b"\0\1" * 50_000)
    assert rejection(lambda: read_recording(tmp_path / name)) == (
        "a raw file says neither its rate nor its format: export it as WAV, FLAC or another sound format."
    )


RARER = [
    ("a.au", "PCM_16"), ("a.rf64", "PCM_16"), ("a.w64", "PCM_16"), ("a.svx", "PCM_16"), ("a.avr", "PCM_16"),
    ("a.avr", "PCM_S8"), ("a.voc", "PCM_16"), ("a.voc", "PCM_U8"), ("a.nist", "PCM_24"), ("a.nist", "ULAW"),
    ("a.mpc2k", "PCM_16"), ("a.mat5", "FLOAT"), ("a.sds", "PCM_16"), ("a.sds", "PCM_24"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "subtype"), RARER)
def test_truncated_files_of_rarer_formats_are_rejected(tmp_path, paper_layout, name, subtype):
    path = written(tmp_path, paper_layout, name=name, subtype=subtype)
    assert len(read_recording(path)[0]) == len(paper_layout)
    whole = path.read_bytes()
    for length in (len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:length])
        said = rejection(lambda: read_recording(path))
        assert re.match(
            r"the file is truncated, \d+ (bytes|samples) that its header promises are missing: copy it again", said
        )


@pytest.mark.parametrize("name", ["a.avr", "a.voc", "a.nist", "a.mpc2k", "a.mat5"])
def test_two_channels_are_as_long_as_promised(tmp_path, paper_layout, name):
    path = written(tmp_path, np.stack([paper_layout, 0.5 * paper_layout], axis=1), name=name, subtype="PCM_16")
    assert len(read_recording(path)[0]) == len(paper_layout)
    path.write_bytes(path.read_bytes()[:-100])
    assert rejection(lambda: read_recording(path)).startswith("the file is truncated, ")


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_its_last_page_is_rejected(tmp_path, paper_layout, subtype):
    path = written(tmp_path, paper_layout, rate=48_000, name="a.ogg", subtype=subtype)
    assert len(read_recording(path)[0]) == len(paper_layout)
    whole = path.read_bytes()
    for length in (len(whole) - 10, whole.rindex(b"OggS")):
        path.write_bytes(whole[:length])
        assert rejection(lambda: read_recording(path)) == (
            "the file is truncated, the last page of its Ogg stream is missing: copy it again from its source."
        )


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("paf", "PCM_16", 1e-4), ("paf", "PCM_24", 1e-6), ("pvf", "PCM_16", 1e-4), ("pvf", "PCM_32", 1e-6),
        ("ircam", "PCM_16", 1e-4), ("ircam", "FLOAT", 1e-6), ("ircam", "ULAW", 0.01),
    ],
)  # fmt: skip
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_that_does_not_say_its_length_is_read_with_a_warning(
    tmp_path, paper_layout, caplog, name, subtype, error, endian, channels
):
    """Half of it looks as whole as it does."""
    given = {"endian": endian} if soundfile.check_format(name.upper(), subtype, endian) else {}
    samples = np.stack([paper_layout, 0.5 * paper_layout], 1)[:, :channels]
    path = written(tmp_path, samples, name=f"a.{name}", subtype=subtype, **given)
    signal, rate = read_recording(path)
    assert rate == RATE
    np.testing.assert_allclose(signal, samples.mean(1), atol=error)
    called = {"paf": "a PAF file", "pvf": "a PVF file", "ircam": "an IRCAM file"}[name]
    assert caplog.messages == [f"{path}: {called} does not say how long it is: if its end is missing, nothing tells."]


@pytest.mark.parametrize(("subtype", "error"), [("DWVW_16", 1e-4), ("DWVW_24", 1e-6)])
def test_dwvw_is_read_as_it_was_written(tmp_path, paper_layout, subtype, error):
    """It cannot be sought, and soundfile seeks after every read."""
    path = written(tmp_path, paper_layout, name="a.aiff", subtype=subtype)
    np.testing.assert_allclose(read_recording(path)[0], paper_layout, atol=error)
    path.write_bytes(path.read_bytes()[:-100])
    assert rejection(lambda: read_recording(path)).startswith("the file is truncated, 100 bytes that its header")


def test_apple_lossless_is_read_as_it_was_written_or_refused(tmp_path, paper_layout):
    loud = paper_layout[:20_000] - paper_layout[:20_000].mean()
    loud *= 0.9 / np.abs(loud).max()
    both = np.stack([loud, np.roll(loud, 100)], 1)
    for subtype, samples in (("ALAC_16", both), ("ALAC_20", loud), ("ALAC_24", both), ("ALAC_32", both)):
        signal, _ = read_recording(written(tmp_path, samples, name="a.caf", subtype=subtype))
        np.testing.assert_allclose(signal, samples.reshape(len(loud), -1).mean(1), atol=1e-4)
    path = written(tmp_path, both, name="a.caf", subtype="ALAC_20")
    assert np.abs(soundfile.read(path)[0] - both).max() > 1  # once it does not, the refusal may go
    assert rejection(lambda: read_recording(path)) == (
        "20-bit Apple Lossless sound of several channels is read wrongly by libsndfile: export it as WAV, FLAC or "
        "another sound format."
    )


def test_an_xi_file_is_rejected_for_its_rate(tmp_path, paper_layout):
    path = written(tmp_path, paper_layout, rate=16_000, name="a.xi", subtype="DPCM_16")
    assert soundfile.info(path).samplerate == 44_100
    assert rejection(lambda: read_recording(path)) == (
        "an XI file does not say its rate: export it as WAV, FLAC or another sound format."
    )


def test_a_psion_file_is_of_8_khz(tmp_path, paper_layout):
    path = written(tmp_path, paper_layout, name="a.wve", subtype="ALAW")
    assert rejection(lambda: read_recording(path)).startswith("the sampling rate of 8000 Hz is below 16000 Hz")


def test_a_sound_designer_file_is_rejected(tmp_path):
    (tmp_path / "a.sd2").write_bytes(b"\0\1" * 50_000)
    assert rejection(lambda: read_recording(tmp_path / "a.sd2")) == (
        "a Sound Designer II file keeps its header outside of its data, where nothing reads it: export it as WAV, FLAC "
        "or another sound format."
    )


@pytest.mark.parametrize(
    "start", [b"NIST_1A\n", b"NIST_1A\n   1024\nsample_rate -i 16000\nend_head\n", b"2BIT", b"MATLAB 5.0"]
)
def test_a_header_that_ends_too_soon_is_no_traceback(tmp_path, start):
    (tmp_path / "a.wav").write_bytes(start)
    assert rejection(lambda: read_recording(tmp_path / "a.wav"))


def test_a_silent_channel_is_left_out_and_said(tmp_path, caplog):
    left = motor_recording([(0.5, 1.5, 1.0)], 2.0)
    path = written(tmp_path, np.stack([left, 0.1 + 0 * left], axis=1), subtype="FLOAT")
    signal, _ = read_recording(path)
    np.testing.assert_allclose(signal, left, atol=1e-7)
    assert caplog.messages == [f"{path}: channel 2 of 2 is silent and left out: check its microphone."]


@pytest.mark.parametrize(("channel", "said"), [("2", "channel 2 of 2"), ("difference", "channel difference of 2")])
def test_a_chosen_channel_that_is_silent_is_rejected(tmp_path, channel, said):
    left = motor_recording([(0.5, 1.5, 1.0)], 2.0)
    right = left if channel == "difference" else 0 * left
    path = written(tmp_path, np.stack([left, right], axis=1))
    found = rejection(lambda: read_recording(path, channel=channel))
    assert found == f"{said} is silent: check its microphone, or choose another."


def test_channels_in_opposite_phase_are_rejected(tmp_path):
    left = motor_recording([(0.5, 1.5, 1.0)], 2.0)
    hiss = 1e-4 * np.random.default_rng(1).standard_normal(len(left))
    path = written(tmp_path, np.stack([left, 0.2 - left + hiss], axis=1), subtype="FLOAT")
    assert rejection(lambda: read_recording(path)) == (
        "its channels cancel each other, 0% of their power is left in the mean: "
        "turn the polarity of one channel, or export one channel alone."
    )


def test_a_constant_offset_is_taken_away_and_said(tmp_path, paper_layout, caplog):
    path = written(tmp_path, paper_layout + 0.2, subtype="FLOAT")
    signal, _ = read_recording(path)
    np.testing.assert_allclose(signal, paper_layout - paper_layout.mean(), atol=1e-6)
    assert caplog.messages == [f"{path}: a constant offset of 20.0% of full scale is taken away."]


def test_a_float_file_in_other_units_is_rejected(tmp_path, paper_layout):
    path = written(tmp_path, paper_layout / np.abs(paper_layout).max() * 32768, subtype="FLOAT")
    assert rejection(lambda: read_recording(path)) == (
        "its samples reach 3.28e+04 times full scale: export it with values from -1 to 1, or as 16-bit integers."
    )
    read_recording(written(tmp_path, paper_layout / np.abs(paper_layout).max() * 1.4, subtype="FLOAT"))


def test_clipping_below_full_scale_is_rejected_and_a_hum_of_few_bits_is_not(tmp_path, paper_layout):
    loud = paper_layout / np.abs(paper_layout).max()
    path = written(tmp_path, 0.5 * np.clip(10 * loud, -1, 1), subtype="PCM_16")  # turned down after it was recorded
    said = rejection(lambda: read_recording(path))
    assert said.endswith("% of the samples are clipped at 50% of full scale: lower the gain and record it again.")
    time = np.arange(2 * RATE) / RATE
    for peak, subtype in ((0.01, "PCM_16"), (0.5, "PCM_16"), (0.5, "PCM_U8")):
        read_recording(written(tmp_path, peak * np.sin(2 * np.pi * 50 * time), subtype=subtype))


@pytest.mark.parametrize("seconds", [0.012, 0.02, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("ends", ["start", "end", "both"])
def test_silence_put_before_or_behind_a_recording_changes_no_motion(seconds, ends):
    signal = motor_recording([(0.5, 2.5, 1.0), (3.0, 5.0, 1.0)], 5.6)
    silence = np.zeros(round(seconds * RATE), np.float32)
    parts = [silence] * (ends != "end") + [signal] + [silence] * (ends != "start")
    alone, padded = find_motions(signal, RATE), find_motions(np.concatenate(parts), RATE)
    later = seconds if ends != "end" else 0.0
    for part in ("fold", "standstill", "unfold"):
        np.testing.assert_allclose(getattr(padded, part), np.add(getattr(alone, part), later), atol=1.1e-3)


@pytest.mark.parametrize("gated", [True, False])
def test_a_silent_standstill_and_a_constant_before_a_recording_do_not_mislead(gated):
    signal = motor_recording([(0.5, 2.5, 1.0), (3.0, 5.0, 1.0)], 5.6)
    signal[round(2.55 * RATE) : round(2.95 * RATE)] *= not gated
    alone = find_motions(signal, RATE)
    padded = find_motions(np.concatenate([np.full(RATE, 0.01, np.float32), signal]), RATE)
    np.testing.assert_allclose(padded.fold, np.add(alone.fold, 1), atol=0.011)
    np.testing.assert_allclose(padded.unfold, np.add(alone.unfold, 1), atol=0.011)


def test_the_rest_of_a_quiet_recording_of_few_bits_is_no_padding():
    quiet = motor_recording([(0.5, 2.5, 1.0), (3.0, 5.0, 1.0)], 5.6, gain=0.1)
    rounded = (np.round(127 * quiet) / 128).astype(np.float32)
    assert not rounded[: RATE // 100].any()
    np.testing.assert_allclose(find_motions(rounded, RATE).fold, (0.5, 2.5), atol=0.02)
    assert _sounding(rounded, RATE) == (0, len(rounded))
