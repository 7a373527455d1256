"""The Python API: a row an item whatever a file holds, and what a verdict comes from."""

import json
import os

import numpy as np
import pandas as pd
import pytest

import endline
from endline.errors import EndlineError
from endline.files import file_digest
from endline.operations.inspection import Inspector
from endline.operations.verdicts import COLUMNS
from endline.reporting.exhibit import exhibit_of


@pytest.fixture
def inspector(scales) -> Inspector:
    return endline.Inspector.load("scales", project=scales.folder)


def test_a_verdict_is_a_row_with_its_model_and_the_digest_of_its_file(scales, inspector):
    good, bad = scales.part("a/1.json"), scales.part("b/1.json", weight=9.0)
    table = inspector.inspect([str(good), bad])
    assert tuple(table.columns) == COLUMNS
    assert table["path"].tolist() == [str(good), str(bad)]
    assert table["sample_id"].tolist() == ["1.json", "1.json"]
    assert table["digest"].tolist() == [file_digest(good), file_digest(bad)]
    assert table["verdict"].tolist() == ["normal", "anomalous"]
    assert table["flagged"].tolist() == [False, True]
    assert table["reason"].isna().all()
    assert set(zip(table["run"], table["station"], strict=True)) == {("2", "scales")}
    pd.testing.assert_frame_equal(table.iloc[[1]].reset_index(drop=True), inspector.inspect(bad))
    assert inspector.inspect([]).columns.tolist() == list(COLUMNS)


def test_a_file_that_cannot_be_used_has_its_reason(scales, inspector):
    (scales.parts / "bad.json").write_text("[")
    table = inspector.inspect([scales.parts / "bad.json", scales.parts / "absent.json", scales.parts])
    assert table["verdict"].tolist() == ["none"] * 3
    assert table["score"].isna().all()
    assert table["flagged"].isna().all()
    assert table["reason"].iloc[0] == f"{scales.parts}/bad.json: it is no JSON: weigh it again."
    assert table["digest"].iloc[0] == file_digest(scales.parts / "bad.json")
    assert table["reason"].iloc[1] == f"{scales.parts}/absent.json: the file does not exist: restore it."
    assert table["reason"].iloc[2] == (
        f"{scales.parts} is a folder: give its files, or judge them all by `endline inspect {scales.parts}`."
    )
    assert table["digest"].iloc[1:].tolist() == ["", ""]


def test_a_warning_of_an_item_is_the_remark_of_its_row(scales, inspector):
    good, light = (json.loads(scales.part("a.json", weight).read_text()) for weight in (1.0, -1.0))
    (scales.parts / "shift.json").write_text(json.dumps({"7": good, "8": light, "9": good}))
    table = inspector.inspect([scales.parts / "shift.json", scales.part("b.json", weight=-1.0)])
    said = "has weights below zero: set the scales to zero."
    assert table["remark"].tolist() == ["", f"shift.json/8 {said}", "", f"b.json {said}"]
    assert table["reason"].isna().all()
    assert inspector.explain(scales.parts / "b.json").verdict.remark == f"b.json {said}"


def test_one_bad_item_of_a_table_keeps_no_other_from_its_verdict(scales, inspector):
    weights = json.loads(scales.part("a.json").read_text())
    (scales.parts / "shift.json").write_text(json.dumps({"7": weights, "8": [1.0], "9": weights}))
    table = inspector.inspect(scales.parts / "shift.json")
    assert table["sample_id"].tolist() == ["shift.json/7", "shift.json/8", "shift.json/9"]
    assert table["verdict"].tolist() == ["normal", "none", "normal"]
    assert table["reason"].iloc[1] == f"{scales.parts}/shift.json/8 has 1 weights: weigh it again."


def test_what_nobody_has_foreseen_is_a_row_too_and_stands_in_the_log(scales, inspector, caplog):
    (scales.parts / "odd.json").write_text('["a", "b", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]')
    reason = inspector.inspect(scales.parts / "odd.json")["reason"].item()
    assert reason.startswith(f"{scales.parts}/odd.json could not be judged (ValueError: could not convert string")
    assert reason.endswith("): report this, with the file.")
    assert "Traceback" in caplog.text


def test_an_infinite_score_is_no_verdict(scales, inspector):
    (scales.parts / "far.json").write_text(json.dumps([1e39] * 16))
    row = inspector.inspect(scales.parts / "far.json").iloc[0]
    assert row["verdict"] == "none"
    assert "far.json" in row["reason"]


@pytest.mark.parametrize("change", ["grows", "goes"])
def test_a_file_that_changes_while_it_is_read_has_no_verdict(scales, inspector, monkeypatch, change):
    part, cls = scales.part("a.json"), type(inspector.model.preparation)
    read = cls.inspect_each

    def meanwhile(self, path, compute):
        yield from read(self, path, compute)
        if change == "grows":
            os.truncate(path, 9999)
        else:
            path.unlink()

    monkeypatch.setattr(cls, "inspect_each", meanwhile)
    table = inspector.inspect(part)
    assert table["verdict"].tolist() == ["none"]
    assert (
        table["reason"].item()
        == f"{part} changed while it was read, or has gone: inspect it again when it is complete."
    )


def test_an_explanation_has_attribution_map_and_pictures(scales, inspector, monkeypatch):
    weights = json.loads(scales.part("a.json").read_text())
    weights[6] = 9.0  # row 1, column 2 of 4
    (scales.parts / "b.json").write_text(json.dumps(weights))
    explained = inspector.explain(scales.parts / "b.json")
    assert isinstance(explained, endline.Explanation)
    assert (
        explained.verdict
        == inspector.judged(scales.parts / "b.json", str(scales.parts / "b.json"), "b.json")[0].verdict
    )
    assert explained.verdict.verdict == "anomalous"
    assert explained.attribution[["row", "column"]].to_numpy().tolist() == [[1.5 / 4, 2.5 / 4]]
    (anomaly_map,) = explained.maps.values()
    assert np.unravel_index(anomaly_map.argmax(), anomaly_map.shape) == (1, 2)
    assert explained.exhibit() is None  # this station shows nothing
    drawn = lambda shown, preparation: [exhibit_of(row, []) for row in shown.shortlist.to_dict("records")]  # noqa: E731
    from endline.evidence import station as stations

    record = stations.find_station("scales")
    monkeypatch.setitem(stations._REGISTERED, "scales", type(record)(**{**vars(record), "exhibits": drawn}))
    shown = explained.exhibit()
    assert shown is not None
    assert (shown.why, shown.score, shown.flagged) == ("inspected", explained.verdict.score, True)


def test_an_explanation_without_maps_is_empty_and_one_of_a_bad_file_an_error(scales):
    inspector = Inspector.load("1", project=scales.folder)
    explained = inspector.explain(scales.part("a.json"))
    assert explained.maps == {}
    assert explained.attribution.empty
    (scales.parts / "bad.json").write_text("[")
    with pytest.raises(EndlineError, match=r"bad\.json: it is no JSON"):
        inspector.explain(scales.parts / "bad.json")
