"""Which part each file shows: by table, by expression, and what is said where it is not known."""

import logging

import pytest

from endline.errors import EndlineError
from endline.evidence.units import units_on_both_sides, with_units, without_mixed_units
from endline.samples import sample_table

NAMES = ["free/exp1_num_7.jpg", "free/exp2_num_7.jpg", "free/exp1_num_8.jpg", "crack/exp1_num_9.jpg"]


def samples(names=NAMES):
    rows = [{"sample_id": name, "path": name, "group": "g", "label": int("crack" in name)} for name in names]
    return sample_table(rows)


def test_without_a_table_each_item_is_a_part(tmp_path):
    assert with_units(samples(), tmp_path, None)["unit"].tolist() == NAMES


@pytest.mark.parametrize(
    ("setting", "units"),
    [
        (r"exp\d_num_(\d+)", ["7", "7", "8", "9"]),
        ("([^/]+)/[^/]+$", ["free", "free", "free", "crack"]),
        (r"(\w+)/exp\d_num_(\d+)", ["free/7", "free/7", "free/8", "crack/9"]),
    ],
)
def test_an_expression_names_the_part_by_its_groups(tmp_path, setting, units):
    assert with_units(samples(), tmp_path, setting)["unit"].tolist() == units


def test_a_table_beside_the_files_names_the_part(tmp_path):
    rows = "\n".join(f"{name},tile_{name[-5]},1" for name in NAMES)
    (tmp_path / "units.csv").write_text(f"path,unit,exposure\n{rows}\nelse.jpg,tile_1,1\n")
    assert with_units(samples(), tmp_path, None)["unit"].tolist() == ["tile_7", "tile_7", "tile_8", "tile_9"]
    assert with_units(samples(), tmp_path, "item")["unit"].tolist() == NAMES
    assert with_units(samples(), tmp_path, r"num_(\d)")["unit"].tolist() == ["7", "7", "8", "9"]


@pytest.mark.parametrize(
    ("head", "mark", "encoding"), [("", ";", "utf-8-sig"), ("sep=;\n", ";", "cp1252"), ("", "\t", "utf-16")]
)
def test_the_table_is_read_as_users_export_it(tmp_path, head, mark, encoding):
    """As the label table is: any dialect; a part keeps its zeros."""
    rows = "".join(f"{name}{mark}0{name[-5]}\n" for name in NAMES)
    (tmp_path / "units.csv").write_text(f"{head}path{mark}unit\n{rows}", encoding=encoding)
    assert with_units(samples(), tmp_path, None)["unit"].tolist() == ["07", "07", "08", "09"]


def test_a_table_that_cannot_be_read_is_a_sentence(tmp_path):
    (tmp_path / "units.csv").touch()
    with pytest.raises(
        EndlineError, match=r"units.csv cannot be read \(the file is empty \(0 bytes\)\): export it again"
    ):
        with_units(samples(), tmp_path, None)


def test_both_motions_of_a_recording_show_its_part(tmp_path):
    (tmp_path / "units.csv").write_text("path,unit\na.wav,motor 1\nb.wav,motor 1\n")
    rows = [{"sample_id": f"{name}#{part}", "path": name, "group": "g", "part": part}
            for name in ("a.wav", "b.wav") for part in ("fold", "unfold")]  # fmt: skip
    assert set(with_units(sample_table(rows), tmp_path, None)["unit"]) == {"motor 1"}


def test_cycles_of_one_file_have_units_of_their_own(tmp_path):
    (tmp_path / "units.csv").write_text("path,unit\nlog.parquet/1,can 1\nlog.parquet/2,can 2\n")
    rows = [{"sample_id": f"log.parquet/{number}", "path": "log.parquet", "group": "g"} for number in (1, 2)]
    assert with_units(sample_table(rows), tmp_path, None)["unit"].tolist() == ["can 1", "can 2"]


def test_a_file_that_the_table_does_not_name_is_said(tmp_path, caplog):
    (tmp_path / "units.csv").write_text(f"path,unit\n{NAMES[0]},a\n{NAMES[1]},a\n{NAMES[3]},\n")
    with caplog.at_level(logging.WARNING):
        assert with_units(samples(), tmp_path, None)["unit"].tolist() == ["a", "a", NAMES[2], NAMES[3]]
    assert f"Of 2 file(s) it is not known which part they show ({NAMES[2]}, {NAMES[3]})" in caplog.text


@pytest.mark.parametrize(
    ("setting", "table", "sentence"),
    [
        ("num_(", None, r"unit=num_\( is no regular expression .*: correct it"),
        ("num_", None, "unit=num_ has no group: bracket what names the part"),
        ("tile(\\d)", None, r"unit=tile\(\\d\) matches no path, the first of which is free/exp1_num_7.jpg: correct it"),
        (None, "name,unit\na,b\n", "units.csv has no column 'path': it needs the columns path and unit"),
        (None, "path,unit\nother.jpg,b\n", "units.csv names none of the files, the first of which is free/exp1"),
        (None, f"path,unit\n{NAMES[0]},a\n{NAMES[0]},b\n", "says that free/exp1_num_7.jpg shows the parts a, b: keep"),
    ],
)
def test_what_names_no_part_is_a_sentence(tmp_path, setting, table, sentence):
    if table is not None:
        (tmp_path / "units.csv").write_text(table)
    with pytest.raises(EndlineError, match=sentence):
        with_units(samples(), tmp_path, setting)


def test_normal_pictures_of_a_faulty_part_are_left_out_by_name(tmp_path):
    table = with_units(samples([*NAMES, "free/exp2_num_9.jpg"]), tmp_path, r"num_(\d)")
    kept, left_out = without_mixed_units(table)
    assert kept["path"].tolist() == NAMES
    assert left_out == [
        (
            "free/exp2_num_9.jpg",
            "it is normal, but its part '9' has faulty ones too",
            "nothing is to be done, or correct its label or its part",
        )
    ]


def test_no_part_that_is_only_normal_is_a_sentence(tmp_path):
    table = with_units(samples(), tmp_path, "(exp1|exp2)").assign(unit="one")
    with pytest.raises(EndlineError, match=r"Each of the 1 normal parts has faulty items too, .*give unit=item"):
        without_mixed_units(table)


def test_parts_on_both_sides_of_a_published_split_are_found(tmp_path):
    table = with_units(samples(), tmp_path, r"num_(\d)")
    assert units_on_both_sides(table.assign(split=["train", "test", "train", "test"])) == ["7"]
