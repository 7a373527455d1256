"""The index of a raw folder: labels, and every bad file a row with reason and remedy."""

import hashlib
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from endline.errors import EndlineError
from endline.evidence.near_duplicates import near_duplicates
from endline.evidence.sound.mirror_index import index_recording, index_recordings
from endline.samples import check_samples
from endline.splits import SplitRule, assign_split

RATE = 16_000


def sound(seed: int = 0, motions=((0.2, 1.2), (1.8, 2.8)), seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    """A quiet room with a noisy motor in each motion (start, stop)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    running = sum(((time >= start) & (time < stop)).astype(float) for start, stop in motions)
    return (0.0005 + 0.02 * running) * rng.standard_normal(len(time))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five good recordings: three normal, two with the fault 7."""
    for number in range(5):
        soundfile.write(tmp_path / f"data{number:03d}.wav", sound(number), RATE)
    label(tmp_path)
    return tmp_path


def label(folder: Path, *more: str) -> None:
    rows = [f"data{number:03d}.wav,{'0' if number < 3 else '7'}" for number in range(5)]
    (folder / "labels.csv").write_text("\n".join(["recording,fault", *rows, *more]) + "\n")


def index(folder: Path, simulated: bool = False):
    return index_recordings(folder, group="left", simulated=simulated)


def rejection(folder: Path) -> tuple[str, str]:
    """Reason and remedy of the one rejected file, the five good ones being kept."""
    found = index(folder)
    assert found.samples["path"].nunique() == 5
    assert len(found.rejected) == 1
    row = found.rejected.iloc[0]
    assert row["path"].startswith("bad")
    return row["reason"], row["remedy"]


def test_two_rows_a_recording(folder):
    found = index(folder)
    samples = found.samples
    assert len(samples) == 10
    assert found.rejected.empty
    assert found.rejected.columns.tolist() == ["path", "reason", "remedy"]
    assert samples["sample_id"].tolist()[:2] == ["data000.wav#fold", "data000.wav#unfold"]
    assert samples["unit"].tolist()[:2] == ["data000.wav"] * 2
    assert set(samples["group"]) == {"left"}
    assert not samples["simulated"].any()
    assert samples.drop_duplicates("path")["label"].tolist() == [0, 0, 0, 1, 1]
    assert samples.drop_duplicates("path")["kind"].tolist() == ["normal"] * 3 + ["7"] * 2
    check_samples(assign_split(samples, SplitRule(train=1.0), seed=0))


def test_spans_are_those_of_the_motions(folder):
    rows = index(folder).samples.set_index("part").groupby("part")
    spans = rows[["start", "stop", "rest_start", "rest_stop"]].mean()
    np.testing.assert_allclose(spans.loc["fold", ["start", "stop"]], [0.2, 1.2], atol=0.03)
    np.testing.assert_allclose(spans.loc["unfold", ["start", "stop"]], [1.8, 2.8], atol=0.03)
    assert 1.2 < spans.loc["fold", "rest_start"] < 1.3
    assert 1.7 < spans.loc["unfold", "rest_stop"] < 1.8


def test_digest_is_that_of_the_file(folder):
    row = index(folder).samples.iloc[0]
    assert row["digest"] == hashlib.sha256((folder / row["path"]).read_bytes()).hexdigest()


def test_simulated_recordings_are_marked(folder):
    assert index(folder, simulated=True).samples["simulated"].all()


@pytest.mark.parametrize("word", ["0", "normal", "Good", " OK "])
def test_words_for_normal(folder, word):
    (folder / "labels.csv").write_text("recording,fault\n" + "".join(f"data{n:03d}.wav,{word}\n" for n in range(5)))
    assert set(index(folder).samples["label"]) == {0}
    assert set(index(folder).samples["kind"]) == {"normal"}


def test_faults_by_sub_folder(folder):
    (folder / "labels.csv").unlink()
    for number, name in enumerate(["normal", "good", "scratch", "scratch", None]):
        if name:
            (folder / name).mkdir(exist_ok=True)
            (folder / f"data{number:03d}.wav").rename(folder / name / f"data{number:03d}.wav")
    kinds = index(folder).samples.drop_duplicates("path").set_index("path")
    assert kinds["kind"].isna().tolist() == [True, False, False, False, False]  # beside the folders: no label
    assert kinds["kind"].dropna().to_dict() == {
        "good/data001.wav": "normal",
        "normal/data000.wav": "normal",
        "scratch/data002.wav": "scratch",
        "scratch/data003.wav": "scratch",
    }
    assert kinds["label"].isna().tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("line", ["", "data004.wav,", "data004.wav,   "])
def test_recordings_without_a_label_are_kept_unknown(folder, caplog, line):
    rows = "".join(f"data{number:03d}.wav,0\n" for number in range(4))
    (folder / "labels.csv").write_text(f"recording,fault\n{rows}{line}\n")
    with caplog.at_level(logging.WARNING, "endline"):
        samples = index(folder).samples
    unknown = samples[samples["label"].isna()]
    assert unknown["path"].unique().tolist() == ["data004.wav"]
    assert unknown["kind"].isna().all()
    assert f"1 recordings have no label in {folder}: they are scored, but count in no figure." in caplog.messages
    check_samples(assign_split(samples, SplitRule(train=1.0), seed=0))


def test_labels_that_name_missing_files_are_told(folder, caplog):
    label(folder, "lost.wav,0")
    with caplog.at_level(logging.WARNING, "endline"):
        found = index(folder)
    assert found.rejected.to_numpy().tolist() == [
        ["lost.wav", "labels.csv names it, but there is no such file", "restore it or delete the line"]
    ]
    assert (
        "Left out lost.wav: labels.csv names it, but there is no such file; restore it or delete the line."
        in caplog.messages
    )


def test_labels_may_name_the_path_or_the_bare_name(folder):
    (folder / "deep/er").mkdir(parents=True)
    (folder / "data001.wav").rename(folder / "deep/er/data001.wav")
    soundfile.write(folder / "deep/data002.wav", sound(9), RATE)
    (folder / "labels.csv").write_text("recording,fault\ndata001.wav,2\ndeep/data002.wav,7\ndata002.wav,0\n")
    kinds = index(folder).samples.drop_duplicates("path").set_index("path")["kind"]
    assert kinds["deep/er/data001.wav"] == "2"
    assert kinds["deep/data002.wav"] == "7"
    assert kinds["data002.wav"] == "normal"


def test_an_ambiguous_name_is_told(folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        soundfile.write(folder / name / "twin.wav", sound(ord(name)), RATE)
    label(folder, "twin.wav,0")
    rejected = index(folder).rejected
    assert rejected.to_numpy().tolist() == [
        ["twin.wav", "labels.csv names it, but 2 files have this name", "write its path in the folder"]
    ]


def test_contradicting_labels_leave_the_recording_out(folder):
    label(folder, "data000.wav,7")
    found = index(folder)
    assert found.rejected.to_numpy().tolist() == [
        [
            "data000.wav",
            "labels.csv contradicts itself (normal in row 2, 7 in row 7)",
            "keep the right line and delete the others",
        ]
    ]
    assert found.samples["path"].unique().tolist() == [f"data{number:03d}.wav" for number in range(1, 5)]


def test_the_same_label_twice_does_no_harm(folder):
    label(folder, "data000.wav,0")
    assert index(folder).rejected.empty


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name,class\na,b\n", r"labels\.csv has the columns name, class: it needs recording,fault"),
        ("", r"labels\.csv cannot be read \(the file is empty \(0 bytes\)\): export it again\."),
        ('recording,fault\n"a,b\n', r"labels\.csv cannot be read"),
        ("recording,fault\na,b,c\na,b,c,d\n", r"labels\.csv cannot be read"),
    ],
)
def test_a_label_table_that_cannot_be_read_is_told(folder, content, told):
    (folder / "labels.csv").write_text(content)
    with pytest.raises(EndlineError, match=told):
        index(folder)


def test_a_label_table_in_another_encoding_is_read(folder):
    rows = "recording;fault\ndata000.wav;Geräusch\ndata001.wav;i.O.\n"
    (folder / "labels.csv").write_bytes(rows.encode("latin-1"))
    kinds = index(folder).samples.drop_duplicates("path").set_index("path")["kind"]
    assert kinds.dropna().to_dict() == {"data000.wav": "Geräusch", "data001.wav": "normal"}


def test_a_label_table_of_a_spreadsheet_is_read(folder):
    text = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert index(folder).samples["label"].notna().all()


def test_zero_bytes(folder):
    (folder / "bad.wav").touch()
    assert rejection(folder) == ("the file is empty (0 bytes)", "record it again")


def test_zero_samples(folder):
    soundfile.write(folder / "bad.wav", np.zeros(0), RATE)
    assert rejection(folder) == ("the recording holds no samples", "record it again")


def test_truncated(folder):
    data = (folder / "data000.wav").read_bytes()
    (folder / "bad.wav").write_bytes(data[: len(data) // 2])
    reason, remedy = rejection(folder)
    assert reason == f"the file is truncated, {len(data) - len(data) // 2} bytes that its header promises are missing"
    assert remedy == "copy it again from its source"


@pytest.mark.parametrize("content", [b"this is a letter\n" * 500, b"RIFF", os.urandom(4000)])
def test_text_named_wav(folder, content):
    (folder / "bad.wav").write_bytes(content)
    reason, remedy = rejection(folder)
    assert reason == "no sound file that libsndfile can read"
    assert remedy == "export it as WAV, FLAC or another sound format"


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_silent(folder, level):
    soundfile.write(folder / "bad.wav", level * sound(7), RATE, subtype="FLOAT")
    assert rejection(folder) == ("the recording is silent", "check the microphone and record it again")


def test_clipped(folder):
    soundfile.write(folder / "bad.wav", np.clip(200 * sound(7), -1, 1), RATE)
    reason, remedy = rejection(folder)
    assert reason.endswith("% of the samples are clipped at full scale")
    assert remedy == "lower the gain and record it again"


@pytest.mark.parametrize(
    ("motions", "reason"),
    [
        ([(0.5, 2.5)], "one motion only found where one fold and one unfold are needed"),
        ([], "no motion found where one fold and one unfold are needed"),
        ([(0.1, 0.8), (1.1, 1.8), (2.1, 2.8)], "3 motions found where one fold and one unfold are needed"),
    ],
)
def test_not_two_motions(folder, motions, reason):
    soundfile.write(folder / "bad.wav", sound(7, motions), RATE)
    found, remedy = rejection(folder)
    assert found == reason
    assert remedy.startswith("record one fold and one unfold with a rest between")


def test_8_khz(folder):
    soundfile.write(folder / "bad.wav", sound(7, rate=8000), 8000)
    reason, remedy = rejection(folder)
    assert reason == "the sampling rate of 8000 Hz is below 16000 Hz"
    assert remedy.startswith("record it at 44100 Hz")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_a_float_wav(folder, value):
    samples = sound(7)
    samples[1000] = value
    soundfile.write(folder / "bad.wav", samples, RATE, subtype="FLOAT")
    assert rejection(folder) == ("1 samples are NaN or infinite", "export it again from its source")


def test_a_duplicate_recording(folder):
    (folder / "z.wav").write_bytes((folder / "data000.wav").read_bytes())
    found = index(folder)
    assert found.rejected.to_numpy().tolist() == [
        ["z.wav", "the same recording as data000.wav", "keep one of them, with the right label"]
    ]
    assert found.samples["path"].nunique() == 5


def test_an_unreadable_file_is_a_row_too(folder, monkeypatch):
    def denied(self, *arguments, **options):
        if self.name.startswith("bad"):
            raise PermissionError(13, "Permission denied")
        return original(self, *arguments, **options)

    original = Path.open
    monkeypatch.setattr(Path, "open", denied)
    soundfile.write(folder / "bad.wav", sound(7), RATE)
    assert rejection(folder) == ("it cannot be read (Permission denied)", "check the file's rights and the disk")


def test_an_unreadable_new_recording_is_a_sentence(folder, monkeypatch):
    def denied(self, *arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(EndlineError) as caught:
        index_recording(folder / "data000.wav")
    assert str(caught.value) == (
        f"{folder}/data000.wav: it cannot be read (Permission denied): check the file's rights and the disk."
    )


@pytest.mark.parametrize("name", ["fan.wav", "hum.wav"])
def test_a_steady_sound_is_rejected_by_the_index_and_by_a_verdict(folder, name):
    rate, time = 44_100, np.arange(6 * 44_100) / 44_100
    noise = np.random.default_rng(0).standard_normal(len(time))
    fan = 0.02 * noise * (1 + 0.5 * np.sin(2 * np.pi * time / 3))
    soundfile.write(folder / f"bad {name}", fan if name == "fan.wav" else 0.2 * np.sin(2 * np.pi * 50 * time), rate)
    reason, remedy = rejection(folder)
    assert reason.startswith(("no standstill found, the sound swells and fades", "no motion found"))
    assert remedy.startswith("record one fold and one unfold with a rest between, in a room")
    with pytest.raises(EndlineError) as caught:
        index_recording(folder / f"bad {name}")
    assert str(caught.value) == f"{folder}/bad {name}: {reason}: {remedy}."


def test_what_else_lies_in_the_folder_is_a_row_and_notes_are_not(folder):
    soundfile.write(folder / "new.wav", sound(9), RATE)
    (folder / "folder.wav").mkdir()
    (folder / "lost.wav").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.wav")
    for name in ("notes.txt", "README.md", "a.m4a", "b.xlsx", ".ipynb_checkpoints/c.wav", "deep/labels.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    found = index(folder)
    assert found.samples["path"].nunique() == 6
    unread = "export it as WAV, FLAC or another sound format, or take it away"
    assert found.rejected.to_numpy().tolist() == [
        ["folder.wav", "a folder, named like a file of data", "rename it"],
        ["lost.wav", "a link to something that is not there", "restore what it leads to, or delete the link"],
        ["pipe.wav", "neither a file nor a folder, but a pipe, socket or device", "take it away"],
        ["a.m4a", "the ending '.m4a' is not one that is read here", unread],
        ["b.xlsx", "the ending '.xlsx' is not one that is read here", unread],
        ["deep/labels.csv", "a table of labels is read in the raw folder itself alone", "move it there"],
    ]


def test_a_name_that_is_no_utf8_is_a_row_that_parquet_holds(folder, tmp_path):
    (folder / os.fsdecode(b"M\xfcll.wav")).write_bytes((folder / "data000.wav").read_bytes())
    found = index(folder)
    assert found.rejected.to_numpy().tolist() == [["M\\xfcll.wav", "its name is no UTF-8", "rename it"]]
    found.samples.to_parquet(tmp_path / "samples.parquet")
    found.rejected.to_parquet(tmp_path / "rejected.parquet")


def test_recordings_in_linked_folders_are_read(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    soundfile.write(elsewhere / "new.wav", sound(9), RATE)
    (folder / "linked").symlink_to(elsewhere)
    (folder / "linked_again").symlink_to(folder)
    label(folder, "new.wav,7")
    found = index(folder)
    assert found.samples.set_index("path")["kind"]["linked/new.wav"].tolist() == ["7", "7"]
    assert found.rejected["path"].tolist() == ["linked_again"]


def test_a_number_sign_in_a_name_keeps_recordings_apart(folder):
    (folder / "labels.csv").unlink()
    for number in range(5):
        (folder / "normal").mkdir(exist_ok=True)
        (folder / f"data{number:03d}.wav").rename(folder / f"normal/part#{number}.wav")
    samples = assign_split(index(folder).samples, SplitRule(train=3), seed=0)
    assert samples["unit"].nunique() == 5
    assert (samples["split"] == "train").sum() == 2 * 3


@pytest.mark.parametrize(("top", "label"), [("healthy", 0), ("i.O.", 0), ("Gut", 0), ("NA", None), ("abnormal/7", 1)])
def test_words_of_folders(folder, top, label):
    (folder / "labels.csv").unlink()
    (folder / top).mkdir(parents=True)
    for number in range(5):
        (folder / f"data{number:03d}.wav").rename(folder / top / f"data{number:03d}.wav")
    samples = index(folder).samples
    assert samples["label"].astype(object).where(samples["label"].notna(), None).tolist() == [label] * 10
    assert samples["kind"].tolist() == [{0: "normal", 1: "7", None: None}[label]] * 10


def test_a_doubtful_folder_is_told_and_can_be_mapped(folder):
    (folder / "labels.csv").unlink()
    (folder / "normal_test").mkdir()
    for number in range(5):
        (folder / f"data{number:03d}.wav").rename(folder / "normal_test" / f"data{number:03d}.wav")
    with pytest.raises(EndlineError, match=r"by the names of its folders, labels .* not: 'normal_test' \(5\)\. Say"):
        index(folder)
    samples = index_recordings(folder, group="g", simulated=False, labels={"normal_test": "normal"}).samples
    assert set(samples["label"]) == {0}


def test_recordings_of_other_formats_alone_are_named(tmp_path):
    for name in ("a.m4a", "b.M4A", "c.gif"):
        (tmp_path / name).touch()
    with pytest.raises(EndlineError, match=r"no recording, but 3 files that are not read here \(\.gif, \.m4a\): put"):
        index(tmp_path)


@pytest.mark.parametrize("name", ["a.WAV", "a.flac", "a.ogg", "a.aiff"])
def test_every_format_of_libsndfile_counts(tmp_path, name):
    soundfile.write(tmp_path / name, sound(1), RATE)
    assert index(tmp_path).samples["path"].tolist() == [name] * 2


def test_missing_and_empty_folders_are_told(tmp_path):
    with pytest.raises(EndlineError, match=r"There is no folder .*absent: give the folder of the recordings"):
        index(tmp_path / "absent")
    with pytest.raises(EndlineError, match=r"holds no recording: put sound files there \(wav, flac, \.\.\.\)"):
        index(tmp_path)
    (tmp_path / "labels.csv").write_text("recording,fault\na.wav,0\n")
    with pytest.raises(EndlineError, match="holds no recording"):
        index(tmp_path)


def test_no_usable_recording_is_told_with_the_first_reason(tmp_path):
    (tmp_path / "a.wav").touch()
    with pytest.raises(EndlineError) as caught:
        index(tmp_path)
    assert str(caught.value) == (
        f"None of the 1 recordings in {tmp_path} can be used; a.wav: the file is empty (0 bytes) (record it again)."
    )


def test_a_copy_at_another_gain_and_a_little_later_looks_like_its_original(folder):
    for number in range(3):  # motors whose sound swells by bands, each in its own way
        rng = np.random.default_rng(number)
        time = np.arange(3 * RATE) / RATE
        tones = sum(
            rng.random()
            * np.sin(2 * np.pi * rng.uniform(200, 7000) * time)
            * (1 + np.sin(2 * np.pi * rng.random() * time))
            for _ in range(40)
        )
        running = ((time >= 0.2) & (time < 1.2)) | ((time >= 1.8) & (time < 2.8))
        heard = 0.01 * tones * running + 0.0003 * rng.standard_normal(len(time))
        soundfile.write(folder / f"data{number:03d}.wav", heard, RATE)
        if number == 1:
            copy = 0.3 * np.r_[heard[-RATE // 50 :], heard[: -RATE // 50]]
            soundfile.write(folder / "copy.wav", copy, RATE)
    label(folder, "copy.wav,0")
    samples = index(folder).samples
    assert samples["look_hash"].notna().tolist() == [True, False] * 6
    split = samples["path"].map({"copy.wav": "test"}).fillna("train")
    pairs = near_duplicates(samples.assign(split=split))
    assert pairs[["training", "tested"]].to_numpy().tolist() == [["data001.wav#fold", "copy.wav#fold"]]
