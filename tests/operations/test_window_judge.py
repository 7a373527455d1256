"""A recording of hours under a published model: the alarm at the right time, scores as of clips cut out, faults."""

import logging
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile

from endline.detectors.progress import Progress
from endline.detectors.scoring import score_rows, with_scores
from endline.detectors.sound.ranked_neighbour import RankedNeighbour, RankedNeighbourConfig
from endline.errors import EndlineError
from endline.evaluation.calibration import calibrate
from endline.evidence.images.surface_image import STATION as IMAGES
from endline.evidence.sound import growing
from endline.evidence.sound.clip_arrays import log_mel
from endline.evidence.sound.machine_features import ClipPreparation
from endline.evidence.sound.signals import resample
from endline.feature_set import FeatureSet
from endline.operations.inspection import Inspector
from endline.operations.stream_command import StreamOptions, opened, run_stream
from endline.operations.window_judge import WindowJudge
from endline.published import PublishedModel
from endline.samples import sample_table

RATE, SECONDS = 16_000, 2
FILE_RATE = 24_000  # of the recording: every window is resampled


def machine(seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * FILE_RATE)) / FILE_RATE
    return 0.05 * rng.standard_normal(len(time)) + 0.1 * np.sin(2 * np.pi * 180 * time + rng.uniform(0, 6))


@pytest.fixture(scope="module")
def model() -> PublishedModel:
    """Ranked neighbours of a machine's hum, thirty clips learned from and thirty held out."""
    signals = [resample(machine(SECONDS, seed).astype("f4"), FILE_RATE, RATE) for seed in range(60)]
    clips = np.stack([log_mel(signal, RATE) for signal in signals])
    rows = sample_table([{"sample_id": str(n), "path": str(n), "group": "fan", "label": 0} for n in range(60)])
    detector = RankedNeighbour(RankedNeighbourConfig())
    detector.fit(FeatureSet({"log_mel": clips[:30]}), seed=0, progress=Progress())
    detectors = {"whole/0": detector}
    held_out = with_scores(rows[30:], score_rows(rows[30:], FeatureSet({"log_mel": clips[30:]}), detectors))
    preparation = ClipPreparation(samples=SECONDS * RATE, of_clip=("log_mel",))
    return PublishedModel("machine_audio", "run", detectors, preparation, calibrate(held_out, rate=0.05, join="mean"))


def recording(folder, values: np.ndarray, name: str = "night.wav"):
    soundfile.write(folder / name, values, FILE_RATE, subtype="FLOAT")
    return folder / name


@pytest.fixture(scope="module")
def night() -> np.ndarray:
    """The machine for 24 s, which screams from 12 to 15 s."""
    values = machine(24, 100)
    span = np.arange(12 * FILE_RATE, 15 * FILE_RATE)
    values[span] += 0.3 * np.sin(2 * np.pi * 3_300 * span / FILE_RATE)
    return values


def test_the_alarm_is_on_while_the_machine_screams(model, night, tmp_path):
    found = list(WindowJudge(model).judge(recording(tmp_path, night), hop=1.0))
    assert [(v.first, v.last) for v in found] == [(start, start + 2) for start in range(23)]
    alarms = [v.first for v in found if v.alarm]
    assert set(range(11, 15)) <= set(alarms)
    assert len(alarms) < 10  # stated are 5 % of 19 normal windows, and each alarm stays on for some
    loudest = max(found, key=lambda v: v.score)
    assert 11 <= loudest.first <= 14
    assert all(v.problem == "" and v.milliseconds > 0 for v in found)


def test_a_window_scores_as_the_clip_that_inspect_is_given(model, night, tmp_path):
    found = {v.first: v for v in WindowJudge(model).judge(recording(tmp_path, night), hop=1.3)}
    for start in (0.0, 13.0, 22.0):
        values = night[round(start * FILE_RATE) : round((start + SECONDS) * FILE_RATE)]
        clip = recording(tmp_path, values, f"{start}.wav")
        assert found[start].score == Inspector(model).inspect(clip)["score"].item()


def test_broken_parts_are_said_with_their_time_and_the_rest_is_judged(model, night, tmp_path):
    values = night.copy()
    values[round(5.25 * FILE_RATE)] = np.nan
    values[17 * FILE_RATE : 21 * FILE_RATE] = 0
    found = list(WindowJudge(model).judge(recording(tmp_path, values), hop=1.0))
    said = {v.first: v.problem for v in found if v.problem}
    broken = "1 samples are NaN or infinite, at 5.250 s: look for a loose plug."
    silent = "the recording is silent: check the microphone and record it again."
    assert said == {4: broken, 5: broken, 17: silent, 18: silent, 19: silent}
    assert all(np.isnan(v.score) == bool(v.problem) for v in found)


def test_a_part_that_cannot_be_judged_leaves_the_alarm_as_it_is(model, night, tmp_path):
    values = night.copy()
    values[14 * FILE_RATE : 15 * FILE_RATE] = np.nan
    found = {v.first: v for v in WindowJudge(model).judge(recording(tmp_path, values), hop=2.0)}
    assert found[14.0].problem
    assert found[14.0].alarm


def test_the_alarm_stays_on_until_half_of_the_normals_score_as_high(model, tmp_path, monkeypatch):
    judge = WindowJudge(model)
    course = iter([(0.9, False), (0.3, False), (0.05, True), (0.4, False), (0.5, False), (0.6, False), (0.4, False)])

    def verdict(self, rows, features):
        p_value, flagged = next(course)
        return pd.DataFrame({"score": [1.0], "p_value": [p_value], "flagged": [flagged]})

    monkeypatch.setattr(Inspector, "judge", verdict)
    found = judge.judge(recording(tmp_path, machine(14, 1)), hop=2.0)
    assert [v.alarm for v in found] == [False, False, True, True, True, False, False]


def test_the_rate_is_a_share_of_the_windows(model, night, tmp_path):
    path = recording(tmp_path, night)
    few, many = (sum(v.alarm for v in WindowJudge(model, rate).judge(path, hop=2.0)) for rate in (0.05, 0.5))
    assert few < many
    assert opened(model, path, StreamOptions(rate=0.001)).reason.startswith("30 calibrating parts can promise no")


def test_a_remark_is_said_once_and_not_of_every_window(model, tmp_path, caplog):
    sound = machine(12, 3)
    dead = np.where(np.arange(len(sound)) < 4 * FILE_RATE, sound, 0)
    soundfile.write(tmp_path / "two.wav", np.stack([sound, dead], 1), FILE_RATE)
    with caplog.at_level(logging.WARNING):
        list(WindowJudge(model).judge(tmp_path / "two.wav", hop=1.0))
    assert len(caplog.messages) == 1
    assert "two.wav from 4.0 s: channel 2 of 2 is silent and left out" in caplog.text


def test_the_command_line_words_of_a_recording(model, night, tmp_path):
    path = recording(tmp_path, night)
    running = opened(model, path, StreamOptions(hop=2.0))
    first = next(running.verdicts)
    assert running.where(first) == "seconds     0.0 to     2.0"
    assert running.promise == (
        "Of the windows of a sound machine at most 5 % are flagged: on average 90 of the 1800 an hour, one every 2 s. "
        "For one an hour 1799 held-out clips are needed, and --rate=0.000556; there are 30."
    )
    assert "on average 180 of the 3600 an hour, one every 1 s" in opened(model, path, StreamOptions()).promise
    assert running.hysteresis.on == model.calibration.threshold > running.hysteresis.off
    assert re.fullmatch(r"alarm on above -?\d+\.\d{3}, off at -?\d+\.\d{3}", running.limits)
    together = replace(running, folds=5).limits
    assert re.fullmatch(r"alarm on above about .*, off at about .* \(5 folds of the model decide together\)", together)
    with pytest.raises(EndlineError, match="window=16 is of cycles, and one of machine_audio is as long as the clips"):
        opened(model, path, StreamOptions(window=16))
    with pytest.raises(EndlineError, match="hop=0 s: choose more than 0 s and at most 2 s"):
        next(opened(model, path, StreamOptions(hop=0.0)).verdicts)
    with pytest.raises(EndlineError, match="rate=2 must lie between 0 and 1"):
        opened(model, path, StreamOptions(rate=2))


def test_a_recording_that_is_still_written_is_judged_until_ctrl_c(model, night, tmp_path, monkeypatch, capsys):
    path = recording(tmp_path, night)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    waits = 0

    def record(seconds):
        nonlocal waits
        waits += 1
        if waits > 1:
            raise KeyboardInterrupt
        path.write_bytes(whole)

    monkeypatch.setattr(growing.time, "sleep", record)
    run_stream(model, path, StreamOptions(hop=2.0, follow=600.0))
    starts = [float(line.split("seconds")[1].split()[0]) for line in capsys.readouterr().out.splitlines()[2:]]
    assert starts == list(range(0, 23, 2))


def test_other_stations_judge_no_windows(model):
    images = PublishedModel(IMAGES.name, "run", model.detectors, model.preparation, model.calibration)
    with pytest.raises(EndlineError, match="The station surface_image judges no windows of something longer"):
        WindowJudge(images)
