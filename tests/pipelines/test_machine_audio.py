"""The station `machine_audio`, from clips to the report, on a simulated set in a project of its own."""

import base64
import contextlib
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from endline.cli import cli
from endline.detectors.sound.stack_rows import row_names
from endline.errors import EndlineError
from endline.evaluation.summary import METRICS
from endline.evidence.sound.machine_audio import reading_of
from endline.samples import check_samples


@pytest.fixture(scope="session")
def machines(project):
    """The project at the station of running machines."""
    return replace(project, station="machine_audio")


@pytest.fixture(scope="session")
def run(machines) -> str:
    return machines.run(exhibits=1, group="valve")


def test_the_embedded_default_is_one_machine_of_a_simulated_set(machines, run):
    samples = check_samples(machines.load("samples"))
    assert samples["group"].unique().tolist() == ["valve"]
    assert samples["split"].value_counts().to_dict() == {"test": 12, "train": 12}
    assert samples.groupby("domain")["split"].value_counts().loc[("target", "train")] == 4
    assert samples["simulated"].all()
    assert samples["attributes"].notna().all()


def test_the_metrics_are_those_of_every_station(machines, run):
    metrics = machines.load("metrics")
    assert tuple(metrics) == METRICS
    assert metrics["station"] == "machine_audio"
    assert metrics["detector"] == "ranked_neighbour"
    assert metrics["baseline_auroc"] is not None
    assert set(metrics["auroc_by_domain"]) == {"source", "target"}
    assert metrics["control_auroc_reason"] == "the control numbers are the same for all items"


def test_the_report_shows_picture_map_and_sound(machines, run):
    page = machines.load("report")
    assert "SIMULATED DATA" in page
    assert "<figcaption>log-mel picture" in page
    assert "<audio" in page
    assert "share of each band in the map" in page
    assert 'id="detector"' not in page
    attribution = machines.load("attribution")
    assert list(attribution.columns[:4]) == ["sample_id", "band", "second", "share"]
    assert attribution["row"].between(0, 1).all()
    assert attribution["sample_id"].value_counts().tolist() == [128] * 12
    assert attribution["band"].str.fullmatch(r"\d+ Hz").all()
    assert attribution["second"].between(0, 3).all()
    np.testing.assert_allclose(attribution.groupby("sample_id")["share"].sum(), 1.0)


def test_the_sound_in_the_report_is_the_clip_raised_to_full_scale(machines, run):
    page = machines.load("report")
    cards = re.findall(r'<audio [^>]*aria-label="([^"]+)" src="data:audio/flac;base64,([^"]+)"', page)
    assert len(cards) == machines.load("shortlist")["sample_id"].nunique() > 0
    for name, encoded in cards:
        played, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)))
        clip, clip_rate = soundfile.read(machines.folder / "data/01_raw/machine_audio_simulated" / name)
        assert (rate, played.shape) == (clip_rate, clip.shape)
        np.testing.assert_allclose(played, 0.99 * clip / np.abs(clip).max(), atol=2e-3)


def test_a_new_clip_gets_its_verdict_and_a_longer_one_a_sentence(machines, run, tmp_path):
    folder = machines.folder / "data/01_raw/machine_audio_simulated/valve/test"
    clip = next(iter(sorted(folder.glob("*anomaly*.wav"))))
    longer = tmp_path / "long.wav"
    signal, rate = soundfile.read(clip)
    soundfile.write(longer, np.tile(signal, 2), rate)
    with contextlib.chdir(machines.folder):
        results = [
            CliRunner().invoke(cli, ["inspect", "--env=smoke", "--station=machine_audio", str(each)])
            for each in (clip, longer)
        ]
    assert results[0].exit_code == 0, results[0].output
    stored = machines.load("scores").set_index("sample_id")["score"]
    assert f"{stored[f'valve/test/{clip.name}']:.4g}" in results[0].output
    assert machines.shown(clip).figures
    assert results[1].exit_code == 1
    assert "lasts 6 s, and its model has learned from clips of 3 s" in " ".join(results[1].output.split())


def test_a_recording_of_several_clips_is_streamed(machines, run, tmp_path):
    folder = machines.folder / "data/01_raw/machine_audio_simulated/valve/test"
    clips = sorted(folder.glob("*source*normal*.wav")) + sorted(folder.glob("*source*anomaly*.wav"))
    signals, (rate, *_) = zip(*map(soundfile.read, clips), strict=True)
    joined = np.concatenate(signals)
    soundfile.write(tmp_path / "shift.wav", joined, rate)
    broken = joined.copy()
    broken[round(4.5 * rate)] = np.nan
    soundfile.write(tmp_path / "broken.wav", broken, rate, subtype="FLOAT")
    command = ["stream", "--env=smoke", "--station=machine_audio", "--hop=3"]
    with contextlib.chdir(machines.folder):
        whole, faulty, steps = (
            CliRunner().invoke(cli, [*command, *more])
            for more in ([str(tmp_path / "shift.wav")], [str(tmp_path / "broken.wav")], ["--window=4", str(clips[0])])
        )
        followed = CliRunner().invoke(cli, [*command, "--follow=0", str(tmp_path / "shift.wav")])
    assert whole.exit_code == 0, whole.output
    lines = whole.stdout.splitlines()
    assert lines[0].startswith("alarm on above")
    assert whole.stderr.startswith("By the run ")
    stored = machines.load("scores").set_index("sample_id")["score"]
    shown = [float(re.search(r"score +(-?[\d.]+)", line)[1]) for line in lines if "  score " in line]
    assert shown == pytest.approx([stored[f"valve/test/{clip.name}"] for clip in clips], abs=6e-4)
    scores = re.compile(r"score +-?[\d.]+")
    assert scores.findall(followed.output) == scores.findall(whole.output)
    assert faulty.exit_code == 1
    said = " ".join(faulty.output.split())
    assert "NONE seconds 3.0 to 6.0 1 samples are NaN or infinite, at 4.500 s: look for a loose plug." in said
    assert "1 windows of" in said
    assert "leave out --window" in steps.output


@pytest.mark.parametrize("detector", ["gaussian", "padim"])
def test_detectors_of_other_stations_judge_the_mel_picture(machines, run, detector):
    machines.run(detector=detector, group="fan", exhibits=1)
    assert np.isfinite(machines.load("scores")["score"]).all()
    assert machines.load("metrics")["detector"] == detector


def test_a_map_of_the_stack_names_its_rows(machines, run):
    machines.run(detector="stack_cflow", group="valve", exhibits=1)
    assert set(machines.load("attribution")["band"]) == set(row_names())
    page, importances = machines.load("report"), machines.load("importances")
    assert "<figcaption>log-mel picture" in page
    assert "Which inputs count" in page
    assert machines.load("embedding").empty
    assert importances.sort_values("rank")["input"].tolist() != row_names()
    assert set(importances["input"]) == set(row_names())


def test_outlier_exposure_learns_from_another_machine(machines, run, sentence):
    machines.run(detector="autoencoder_outlier_exposure", group="valve", outliers="fan")
    samples = machines.load("samples")
    assert samples["split"].value_counts().to_dict() == {"outlier": 18, "test": 12, "train": 12}
    assert np.isfinite(machines.load("scores")["score"]).all()
    assert "outliers=" in sentence(machines.command(detector="autoencoder_outlier_exposure", group="valve"))


def test_a_folder_without_train_is_divided_by_domain_and_shots_are_drawn(machines, run):
    raw = machines.folder / "data/01_raw/machine_audio_simulated/fan/train"
    machines.run(raw=str(raw), train=0.8, shots=3)
    samples = machines.load("samples")  # of eight source and four target clips six and three would train
    assert samples.groupby("domain")["split"].value_counts().to_dict() == {
        ("source", "train"): 3, ("source", "test"): 2, ("target", "train"): 3, ("target", "test"): 1
    }  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"sample_rate": 100, "channel": "mean"}, "sample_rate=100 is no rate of clips"),
        (
            {"sample_rate": 16_000, "channel": "left"},
            "There is no channel 'left': give mean, difference, or its number",
        ),
        ({"sample_rate": 16_000, "channel": 0}, "There is no channel '0'"),
    ],
)
def test_settings_that_cannot_be_are_sentences(parameters, said):
    with pytest.raises(EndlineError, match=said):
        reading_of(parameters)


def test_an_unknown_machine_is_a_sentence(machines, run, sentence):
    assert "holds no machine 'pump': choose one of" in sentence(machines.command(group="pump"))
    assert "There is no other machine 'pump' beside 'fan'" in sentence(machines.command(group="fan", outliers="pump"))
