"""The simulated mirror motors: what they sound like, that a seed brings them back, how they are stored."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from endline.errors import EndlineError
from endline.simulation.sound.mirror_audio import MirrorSimulation, deal_faults, simulate, synthesise

RATE = 16000
PLAIN = MirrorSimulation(sample_rate=RATE, strength=3.0)  # faults as plain as can be, for measuring them
TINY = MirrorSimulation(normals=4, faulty=3, sample_rate=8000)
Signal = NDArray[np.float32]


def unit(fault: str, number: int = 1, settings: MirrorSimulation = PLAIN, seed: int = 0) -> Signal:
    return synthesise(fault, np.random.default_rng([seed, number]), settings)


def level(sound: Signal, start: float, stop: float) -> float:
    """Level in dB of the seconds from start to stop."""
    part = sound[int(start * RATE) : int(stop * RATE)].astype(np.float64)
    return float(10 * np.log10(np.mean(part**2)))


def added(fault: str, number: int) -> Signal:
    """What the fault adds to the same unit in the same room."""
    return unit(fault, number) - unit("0", number)


def envelope(sound: Signal, step: float) -> NDArray[np.float64]:
    """Energy in steps of `step` seconds."""
    width = int(step * RATE)
    steps = sound[: len(sound) // width * width].astype(np.float64).reshape(-1, width)
    return np.asarray((steps**2).sum(axis=1))


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_unit_comes_back_from_its_seed_and_number_alone() -> None:
    np.testing.assert_array_equal(unit("2"), unit("2"))
    assert not np.array_equal(unit("0"), unit("0", seed=1))
    assert not np.array_equal(unit("0"), unit("0", number=2))


@pytest.mark.parametrize("fault", ["0", "1", "2", "7"])
def test_recording_has_seven_seconds_and_two_motions_around_a_standstill(fault: str) -> None:
    sound = unit(fault, settings=MirrorSimulation(sample_rate=RATE))
    assert sound.dtype == np.float32
    assert sound.shape == (7 * RATE,)
    assert np.abs(sound).max() < 0.5
    standstill = level(sound, 3.45, 3.75)
    assert level(sound, 0.5, 2.7) > standstill + 10
    assert level(sound, 4.5, 6.5) > standstill + 10


def test_units_differ_in_more_than_their_noise() -> None:
    levels = [level(unit("0", number), 0.5, 2.7) for number in range(1, 9)]
    assert 0.3 < np.std(levels) < 4


def test_standstill_is_the_same_with_and_without_the_fault() -> None:
    for fault in ("1", "2", "7"):
        still = added(fault, 3)[int(3.4 * RATE) : int(3.8 * RATE)]
        assert np.abs(still).max() == 0


def test_no_strength_is_no_fault() -> None:
    silent = MirrorSimulation(sample_rate=RATE, strength=0.0)
    for fault in ("1", "2", "7"):
        np.testing.assert_array_equal(unit(fault, settings=silent), unit("0", settings=silent))


def test_misalignment_buzzes_at_the_shaft_in_both_motions() -> None:
    buzz = added("1", 2)
    assert level(buzz, 0.5, 2.7) > -100
    assert level(buzz, 4.5, 6.5) > -100
    band = butter(2, [1500, 5000], "bandpass", fs=RATE, output="sos")
    power = np.square(sosfilt(band, buzz[int(1.0 * RATE) : int(2.5 * RATE)].astype(np.float64)))
    spectrum = np.abs(np.fft.rfft(power - power.mean()))
    hertz = np.fft.rfftfreq(len(power), 1 / RATE)
    peak = hertz[1:][np.argmax(spectrum[1:] * (hertz[1:] > 30) * (hertz[1:] < 190))]
    assert 95 < peak < 125  # the noise swells once a turn of the shaft


def test_scratch_ticks_with_the_period_of_the_wheel() -> None:
    ticks = added("2", 4)
    halves = ticks[: int(3.4 * RATE)], ticks[int(3.8 * RATE) :]
    rhythm = np.sqrt(envelope(max(halves, key=lambda half: float(np.sum(half**2))), 0.005))
    assert np.mean(rhythm > 0.2 * rhythm.max()) < 0.25  # short ticks, not a steady noise
    rhythm = np.convolve(rhythm - rhythm.mean(), np.ones(9), "same")  # ticks follow the speed: some tolerance
    same = np.correlate(rhythm, rhythm, "full")[len(rhythm) - 1 :] / np.sum(rhythm**2)
    period = 0.15 + 0.005 * float(np.argmax(same[30:80]))
    assert 0.2 < period < 0.28  # 113 Hz over 25 teeth
    assert same[30:80].max() > 0.4


@pytest.mark.parametrize("number", [1, 2, 3])
def test_thrust_is_one_click_at_the_start_of_a_motion(number: int) -> None:
    click = added("7", number)
    energy = envelope(click, 0.01)
    for start, stop in ((0.0, 3.4), (3.4, 7.0)):
        part = energy[int(start * 100) : int(stop * 100)]
        if part.sum() == 0:
            continue
        at = int(np.argmax(part))
        assert part[max(0, at - 5) : at + 15].sum() > 0.99 * part.sum()
        assert at < (40 if start == 0 else 110)  # the second motion starts some 0.6 s after 3.4 s
    assert energy.sum() > 0


def test_scratch_and_thrust_mostly_show_in_one_motion() -> None:
    slow = MirrorSimulation(sample_rate=8000)
    middle = int(3.6 * slow.sample_rate)
    both = 0
    for number in range(1, 13):
        fault = "2" if number % 2 else "7"
        difference = unit(fault, number, slow) - unit("0", number, slow)
        assert np.any(difference)
        both += bool(np.any(difference[:middle])) and bool(np.any(difference[middle:]))
    assert both < 8


def test_labels_have_the_counts_and_their_order_tells_nothing() -> None:
    faults = deal_faults(MirrorSimulation())
    assert {fault: faults.count(fault) for fault in "0127"} == {"0": 327, "1": 34, "2": 33, "7": 33}
    places = np.flatnonzero(np.array(faults) != "0")
    assert abs(places.mean() - 213) < 40
    assert faults != deal_faults(MirrorSimulation(seed=1))


def test_simulate_writes_the_set_once(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = simulate(tmp_path / "deep" / "raw", TINY, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 7) for i in range(1, 8)]
    labels = pd.read_csv(folder / "labels.csv", dtype=str)
    assert list(labels.columns) == ["recording", "fault"]
    assert labels["recording"].tolist() == [f"unit_{i:04d}.wav" for i in range(1, 8)]
    assert labels["fault"].value_counts().to_dict() == {"0": 4, "1": 1, "2": 1, "7": 1}
    described = json.loads((folder / "simulation.json").read_text())
    assert described["simulated"] is True
    assert described["settings"]["normals"] == 4
    info = soundfile.info(folder / "recordings" / "unit_0001.wav")
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (8000, 1, "PCM_16", 56000)
    stored, _ = soundfile.read(folder / "recordings" / "unit_0003.wav", dtype="float32")
    expected = synthesise(labels["fault"][2], np.random.default_rng([0, 3]), TINY)
    np.testing.assert_allclose(stored, expected, atol=1 / 32768)

    simulate(folder, TINY, lambda done, total: seen.append((done, total)))
    assert len(seen) == 7  # complete: nothing is done again
    assert [path.name for path in folder.parent.iterdir()] == ["raw"]


def test_killed_simulation_leaves_no_folder_and_can_be_started_again(tmp_path: Path) -> None:
    def kill(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "raw", TINY, kill)
    assert list(tmp_path.iterdir()) == []
    simulate(tmp_path / "raw", TINY)
    assert len(files_of(tmp_path / "raw")) == 9


def test_other_settings_replace_a_simulated_set(tmp_path: Path) -> None:
    simulate(tmp_path / "raw", TINY)
    simulate(tmp_path / "raw", MirrorSimulation(normals=2, faulty=1, sample_rate=8000, seed=5))
    assert len(files_of(tmp_path / "raw")) == 5
    assert json.loads((tmp_path / "raw" / "simulation.json").read_text())["settings"]["seed"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_damaged_set_is_made_again(tmp_path: Path) -> None:
    simulate(tmp_path / "raw", TINY)
    (tmp_path / "raw" / "recordings" / "unit_0002.wav").unlink()
    simulate(tmp_path / "raw", TINY)
    assert len(files_of(tmp_path / "raw")) == 9


@pytest.mark.parametrize("name", ["recordings/mine.wav", "notes.txt"])
def test_foreign_files_are_never_touched(tmp_path: Path, name: str) -> None:
    simulate(tmp_path / "raw", TINY)
    (tmp_path / "raw" / name).write_text("mine")
    before = files_of(tmp_path / "raw")
    with pytest.raises(EndlineError, match=rf"holds {name}.*give another folder"):
        simulate(tmp_path / "raw", MirrorSimulation(normals=1, faulty=0, sample_rate=8000))
    assert files_of(tmp_path / "raw") == before


def test_real_recordings_without_the_mark_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "unit_0001.wav").write_bytes(b"real")
    with pytest.raises(EndlineError, match="which no simulation wrote"):
        simulate(tmp_path, TINY)
    assert (tmp_path / "recordings" / "unit_0001.wav").read_bytes() == b"real"


def test_a_full_disk_is_a_sentence_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(EndlineError, match=r"cannot be written to .*raw .*No space left.*free 1 MB"):
        simulate(tmp_path / "raw", TINY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"normals": -1}, "normals is -1; give at least 0"),
        ({"sample_rate": 4000}, "sample_rate is 4000; give at least 8000"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"normals": 0, "faulty": 0}, "set normals or faulty above 0"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, float], words: str) -> None:
    with pytest.raises(EndlineError, match=words):
        MirrorSimulation(**setting)  # type: ignore[arg-type]


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(EndlineError, match="no fault '3'; choose 0, 1, 2 or 7"):
        unit("3")
