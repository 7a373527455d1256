import numpy as np
import pytest
import soundfile

from endline.errors import FileRejected
from endline.evidence.sound.recordings import find_motions, read_recording, resample

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
    signal, _ = read_recording(written(tmp_path, np.stack([left, 0 * left], axis=1), subtype="FLOAT"))
    np.testing.assert_allclose(signal, left / 2, atol=1e-7)


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
