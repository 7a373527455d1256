"""Arrays of clips: those that the detectors read and no others, the same by file and by signal; the control."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from endline.array_store import ArrayStore
from endline.backbones.pyramids import PyramidSettings
from endline.evaluation.controls import control_auroc, item_numbers, missing_for_control
from endline.evidence.image_parts import ArraySettings
from endline.evidence.sound import machine_features
from endline.evidence.sound.machine_features import ClipPreparation
from endline.evidence.sound.machine_index import Reading, index_clips

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


def clips(folder: Path, subtype: str) -> None:
    """A machine of four training clips and two tested ones of each label, the anomalies in a format of their own."""
    rng = np.random.default_rng(0)
    for number in range(8):
        train, label = number < 4, "anomaly" if number > 5 else "normal"
        part = "train" if train else "test"
        path = folder / f"fan/{part}/section_00_source_{part}_{label}_{number:04d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        own = subtype if label == "anomaly" else "PCM_16"
        soundfile.write(path, 0.1 * rng.standard_normal(RATE), RATE, subtype=own)


def test_the_backbone_is_told_to_detectors_that_read_no_maps():
    chosen = PyramidSettings("mobilenet_v2", "weights.pth")
    preparation = ClipPreparation(samples=RATE, arrays=ArraySettings(chosen, arrays=()), of_clip=("stft",))
    assert preparation.pyramid == chosen
    assert ClipPreparation.from_plain(preparation.plain()).pyramid == chosen


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_the_control_hears_nothing_and_sees_another_format(tmp_path, subtype):
    clips(tmp_path / "raw", subtype)
    samples = index_clips(tmp_path / "raw", group=None, simulated=False, reading=Reading()).samples
    preparation = ClipPreparation(samples=RATE)
    store = ArrayStore(tmp_path / "store")
    numbers = item_numbers(samples, store.make(preparation.recipe(samples, tmp_path / "raw", store)), "control")
    normal = samples.loc[samples["label"] == 0, "sample_id"].iloc[0]
    assert numbers.loc[normal].tolist() == [1.0, RATE, 1.0, 16.0]
    if subtype == "PCM_16":
        assert missing_for_control(samples, numbers) == "the control numbers are the same for all items"
    else:
        assert control_auroc(samples, numbers).auroc == 1.0
