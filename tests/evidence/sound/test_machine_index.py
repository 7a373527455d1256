"""Clips of running machines: names, layouts and what is left out."""

from zlib import crc32

import numpy as np
import pytest
import soundfile

from endline.errors import EndlineError
from endline.evidence.near_duplicates import near_duplicates
from endline.evidence.sound.clip_names import ClipName
from endline.evidence.sound.machine_index import Reading, index_clip, index_clips
from endline.samples import OUTLIER, TEST, TRAIN
from endline.splits import SplitRule, assign_split

RATE = 16_000


def write(path, seconds=1.2, channels=1, rate=RATE, seed=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(crc32(str(path).encode()) if seed is None else seed)
    soundfile.write(path, 0.1 * rng.standard_normal((int(seconds * rate), channels)), rate)


def machine(folder, *, targets=2, attributes="vel_6"):
    """A machine in the layout of 2023."""
    for number in range(4):
        write(folder / f"train/section_00_source_train_normal_{number:04d}_{attributes}.wav")
    for number in range(targets):
        write(folder / f"train/section_00_target_train_normal_{number:04d}_{attributes}.wav")
    for domain in ("source", "target"):
        for label in ("normal", "anomaly"):
            write(folder / f"test/section_00_{domain}_test_{label}_0000_{attributes}.wav")
    return folder


def index(folder, **changes):
    given = {"group": None, "simulated": False, "reading": Reading(RATE), **changes}
    return index_clips(folder, **given)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("normal_id_02_00000031", ClipName("02", label=0)),
        ("id_05_00000031", ClipName("05")),
        ("section_01_source_train_normal_0003_strength_1", ClipName("01", "source", "train", 0, "strength_1")),
        ("section_02_target_test_anomaly_0049", ClipName("02", "target", "test", 1)),
        ("section_00_0123", ClipName("00")),
        ("section_00_source_train_normal_0001_noAttribute", ClipName("00", "source", "train", 0)),
        ("section_03_test_0012", ClipName("03", role="test")),
        ("section_00_supplemental_normal_0001", ClipName("00", role="supplemental", label=0)),
        ("section_00_source_tset_normal_0001", None),
    ],
)  # fmt: skip
def test_names_of_all_years(stem, expected):
    assert ClipName.of(stem) == expected


def test_a_quieter_copy_of_a_training_clip_is_found_and_outliers_have_no_look(tmp_path):
    folder = machine(tmp_path / "fan")
    machine(tmp_path / "pump")
    known, copy = (folder / name for name in ("train/section_00_source_train_normal_0001_vel_6.wav", "test/section_00_"
        "source_test_normal_0001_vel_6.wav"))  # fmt: skip
    soundfile.write(copy, 0.3 * soundfile.read(known)[0], RATE)
    samples = index(tmp_path, group="fan", outliers=["pump"]).samples
    assert (samples["look_hash"].isna() == (samples["split"] == OUTLIER)).all()
    found = near_duplicates(samples.assign(part=None))
    assert found[["training", "tested"]].to_numpy().tolist() == [
        [path.relative_to(tmp_path).as_posix() for path in (known, copy)]
    ]


def test_the_layout_of_2023_is_read_with_its_split(tmp_path):
    found = index(machine(tmp_path / "fan"))
    table = found.samples.set_index("sample_id")
    assert found.published_split
    assert table["group"].unique().tolist() == ["fan"]
    assert table["split"].value_counts().to_dict() == {TRAIN: 6, TEST: 4}
    assert table.groupby("split")["label"].sum().to_dict() == {TEST: 2, TRAIN: 0}
    row = table.loc["test/section_00_target_test_anomaly_0000_vel_6.wav"]
    assert row[["section", "domain", "attributes", "kind"]].tolist() == ["00", "target", "vel_6", "anomaly"]
    assert row["seconds"] == pytest.approx(1.2)


def test_the_layout_of_2021_tells_the_domain_by_folders(tmp_path):
    write(tmp_path / "fan/train/section_00_source_train_normal_0000.wav")
    for domain in ("source", "target"):
        write(tmp_path / f"fan/{domain}_test/section_00_{domain}_test_normal_0000.wav")
        write(tmp_path / f"fan/{domain}_test/section_00_test_0000_{domain}.wav")
    table = index(tmp_path).samples.set_index("sample_id")
    assert table.loc["fan/target_test/section_00_test_0000_target.wav", "domain"] == "target"
    assert table.loc["fan/target_test/section_00_test_0000_target.wav", "label"] is not 0  # noqa: F632  it is unknown
    assert (table["split"] == TRAIN).sum() == 1


def test_a_folder_of_test_clips_alone_is_divided_in_each_domain(tmp_path):
    for domain in ("source", "target"):
        for number in range(10):
            write(tmp_path / f"section_00_{domain}_test_normal_{number:04d}_pat_0{number % 2}.wav")
        write(tmp_path / f"section_00_{domain}_test_anomaly_0000_pat_00.wav")
    found = index(tmp_path)
    assert not found.published_split
    assert found.samples["group"].unique().tolist() == [tmp_path.name]
    parts = [assign_split(found.samples, SplitRule(folds=5, fold=fold), seed=0) for fold in range(5)]
    for part in parts:
        assert part[part["split"] == TRAIN]["domain"].value_counts().to_dict() == {"source": 8, "target": 8}
    tested = [name for part in parts for name in part[(part["split"] == TEST) & (part["label"] == 0)]["sample_id"]]
    assert sorted(tested) == sorted(found.samples[found.samples["label"] == 0]["sample_id"])
    order = np.random.default_rng(0).permutation(10)  # the protocol valve5
    names = sorted(name for name in tested if "source" in name)
    first = {names[number] for number in np.array_split(order, 5)[0]}
    assert {name for name in parts[0][parts[0]["split"] == TEST]["sample_id"] if "source_test_normal" in name} == first


def test_of_several_machines_one_is_chosen_and_others_lend_their_normals(tmp_path):
    machine(tmp_path / "fan")
    machine(tmp_path / "valve")
    with pytest.raises(
        EndlineError, match=r"holds 2 machines, and one is learned at a time: .*group=fan \(fan, valve\)"
    ):
        index(tmp_path)
    with pytest.raises(EndlineError, match=r"holds no machine 'pump': choose one of fan, valve"):
        index(tmp_path, group="pump")
    with pytest.raises(EndlineError, match=r"no other machine 'pump' beside 'fan': choose among valve"):
        index(tmp_path, group="fan", outliers=["pump"])
    assert index(tmp_path, simulated=True).samples["group"].unique().tolist() == ["fan"]
    table = index(tmp_path, group="fan", outliers=["others"]).samples
    lent = table[table["split"] == OUTLIER]
    assert len(lent) == 8  # six that train, two normal ones of the test
    assert lent["label"].eq(0).all()
    assert lent["section"].unique().tolist() == ["valve/00"]


def test_other_machines_never_train_as_the_own_one_where_no_split_is_published(tmp_path):
    for name in ("fan", "valve"):
        for number in range(5):
            write(tmp_path / f"{name}/test/section_00_source_test_normal_{number:04d}.wav")
    found = index(tmp_path, group="fan", outliers=["valve"])
    assert not found.published_split
    divided = assign_split(found.samples, SplitRule(train=0.8), seed=0)
    assert divided.groupby("split")["path"].count().to_dict() == {OUTLIER: 5, TEST: 1, TRAIN: 4}
    assert set(divided.loc[divided["split"] == OUTLIER, "section"]) == {"valve/00"}


def test_a_unit_of_two_domains_is_on_one_side(tmp_path):
    for domain, first in (("source", 0), ("target", 3)):
        for number in range(first, 10):
            write(tmp_path / f"section_00_{domain}_test_normal_{number:04d}.wav")
    samples = index(tmp_path).samples
    samples = samples.assign(unit=samples["sample_id"].str.extract(r"normal_(\d+)")[0].astype(object))
    for seed in range(5):
        divided = assign_split(samples, SplitRule(train=0.5), seed)
        sides = divided.groupby("unit")["split"].nunique()
        assert sides.eq(1).all()


def test_the_table_of_attributes_tells_what_names_do_not(tmp_path):
    folder = machine(tmp_path / "fan", attributes="noAttribute")
    write(folder / "train/section_00_source_train_normal_0009_vel_8.wav")
    (folder / "attributes_00.csv").write_text(
        "file_name,d1p,d1v\nfan/train/section_00_source_train_normal_0000_noAttribute.wav,vel,6\n"
        "fan/train/section_00_source_train_normal_0009_vel_8.wav,vel,9\n"
    )
    found = index(tmp_path)
    table = found.samples.set_index("sample_id")
    assert table.loc["fan/train/section_00_source_train_normal_0000_noAttribute.wav", "attributes"] == "vel_6"
    assert table.loc["fan/train/section_00_source_train_normal_0001_noAttribute.wav", "attributes"] != "vel_6"
    reason = "its name tells the conditions vel_8, and the table of attributes vel_9"
    assert found.rejected["reason"].tolist() == [reason]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("train/section_00_source_train_anomaly_0000.wav", "an anomalous clip among those that train"),
        ("test/section_0_sorce_test_normal_1.wav", "its name follows no layout, though nearly"),
        ("test/motor.wav", "its name follows no layout, as those beside it do"),
        ("supplemental/section_00_supplemental_normal_0000.wav", "a supplemental clip, no normal operation"),
    ],
)
def test_what_does_not_belong_is_left_out_with_the_reason(tmp_path, name, reason):
    write(machine(tmp_path / "fan") / name)
    found = index(tmp_path)
    assert found.rejected[["path", "reason"]].to_numpy().tolist() == [[f"fan/{name}", reason]]
    assert f"fan/{name}" not in found.samples["sample_id"].tolist()


def test_short_silent_slow_and_damaged_clips_are_left_out(tmp_path):
    folder = machine(tmp_path / "fan") / "test"
    write(folder / "section_00_source_test_normal_0001.wav", seconds=0.5)
    soundfile.write(folder / "section_00_source_test_normal_0002.wav", np.zeros(RATE), RATE)
    write(folder / "section_00_source_test_normal_0003.wav", rate=8_000)
    (folder / "section_00_source_test_normal_0004.wav").write_bytes(b"RIFF")
    reasons = index(tmp_path).rejected["reason"].tolist()
    assert len(reasons) == 4
    assert reasons[0] == "the clip is 0.5 s long"
    assert reasons[1] == "the recording is silent"
    assert reasons[2] == "the sampling rate of 8000 Hz is below 16000 Hz"


def test_few_target_clips_and_unequal_lengths_are_said(tmp_path, caplog):
    folder = machine(tmp_path / "fan", targets=1)
    write(folder / "test/section_00_source_test_normal_0001.wav", seconds=2.0)
    index(tmp_path)
    assert "Section 00 of fan has 1 target clip(s) that train" in caplog.text
    assert "The clips last 1.2 to 2 s" in caplog.text


def test_a_plain_folder_is_labelled_by_its_folders(tmp_path):
    for number in range(4):
        write(tmp_path / f"normal/{number}.wav")
    write(tmp_path / "leak/1.wav", seed=5)
    found = index(tmp_path)
    assert found.samples.set_index("sample_id")["kind"].to_dict()["leak/1.wav"] == "leak"
    assert found.samples["domain"].isna().all()
    with pytest.raises(EndlineError, match=r"clips whose names follow no layout are all of one"):
        index(tmp_path, outliers=["fan"])


@pytest.mark.parametrize(
    "names",
    [
        ["id_07_{}", "id_07_{}"],
        ["section_1_{}", "section_2_{}"],
        ["motor_{}", "id_3_{}"],
        ["motor_{}", "anomaly_id_03_{}"],  # one of many
    ],
)
def test_names_that_look_so_by_chance_override_neither_folders_nor_a_table(tmp_path, names):
    usual, other = names
    for number in range(5):
        write(tmp_path / f"normal/{usual.format(number)}.wav")
    write(tmp_path / f"leak/{other.format(7)}.wav")
    write(tmp_path / f"leak/{usual.format(8)}.wav")
    found = index(tmp_path)
    assert found.samples["kind"].value_counts().to_dict() == {"normal": 5, "leak": 2}
    assert found.samples["section"].isna().all()
    lines = "".join(f"{name},{int(name.startswith('normal'))}\n" for name in found.samples["path"])
    (tmp_path / "labels.csv").write_text(f"recording,fault\n{lines}")
    assert index(tmp_path).samples["label"].value_counts().to_dict() == {1: 5, 0: 2}


@pytest.mark.parametrize("train", ["train", "Train"])
@pytest.mark.parametrize("stem", ["id_07_{}", "section_01_{}"])
def test_names_of_numbers_alone_in_train_and_test_are_of_the_layout(tmp_path, train, stem):
    for number in range(3):
        write(tmp_path / f"fan/{train}/{stem.format(number)}.wav")
    write(tmp_path / f"fan/{train.replace('rain', 'est')}/{stem.format(9)}.wav")
    found = index(tmp_path)
    assert found.published_split
    assert found.samples["group"].unique().tolist() == ["fan"]
    assert found.samples["split"].value_counts().to_dict() == {TRAIN: 3, TEST: 1}


def test_folders_of_labels_are_no_machines(tmp_path):
    for number in range(3):
        write(tmp_path / f"normal/section_00_source_train_normal_{number}.wav")
        write(tmp_path / f"test/good/section_00_{number}.wav")
    write(tmp_path / "anomaly/section_00_source_test_anomaly_4.wav")
    write(tmp_path / "test/NG/section_00_source_test_5.wav")
    write(tmp_path / "normal/section_00_source_test_anomaly_6.wav")
    found = index(tmp_path)
    assert found.samples["group"].unique().tolist() == [tmp_path.name]
    table = found.samples.set_index("path")
    assert table[table["label"] == 1].index.tolist() == [
        "anomaly/section_00_source_test_anomaly_4.wav", "test/NG/section_00_source_test_5.wav",
    ]  # fmt: skip
    assert table["label"].notna().all()
    reason = "its name tells another label than its folder"
    assert found.rejected[["path", "reason"]].to_numpy().tolist() == [
        ["normal/section_00_source_test_anomaly_6.wav", reason]
    ]


def test_two_machines_of_one_name_are_warned_of(tmp_path, caplog):
    for line in ("line A", "line B"):
        machine(tmp_path / line / "gearbox")
    machine(tmp_path / "line B/fan")
    index(tmp_path, group="fan")
    assert "taken as one machine" not in caplog.text
    assert len(index(tmp_path, group="gearbox").samples) == 20
    said = "The clips of line A/gearbox and line B/gearbox are taken as one machine, 'gearbox': if they are not, rename"
    assert any(message.startswith(said) for message in caplog.messages)


def test_one_of_two_channels_is_chosen(tmp_path):
    path = tmp_path / "section_00_0001.wav"
    left, right = np.random.default_rng(0).standard_normal((2, 2 * RATE)) * 0.1
    soundfile.write(path, np.stack([left, right], 1), RATE)
    from endline.evidence.sound.machine_index import clip_signal

    signals = {channel: clip_signal(path, Reading(RATE, channel)) for channel in ("1", "2", "mean", "difference")}
    for channel, expected in (("1", left), ("2", right), ("mean", (left + right) / 2), ("difference", left - right)):
        np.testing.assert_allclose(signals[channel], expected - expected.mean(), atol=2e-3)
    with pytest.raises(Exception, match="it has 2 channels and no channel 3"):
        clip_signal(path, Reading(RATE, "3"))
    assert index_clip(path, Reading(RATE)).loc[0, "section"] == "00"


def test_an_empty_folder_and_none_are_told(tmp_path):
    with pytest.raises(EndlineError, match=r"holds no clip: put sound files there .* named as section_00_source_test"):
        index(tmp_path)
    with pytest.raises(EndlineError, match=r"There is no folder"):
        index(tmp_path / "nowhere")
