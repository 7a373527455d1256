"""What a verdict on a cycle comes from, beside the normal cycles that its model has kept, or without any."""

from dataclasses import replace

import pandas as pd

from endline.operations.inspection import Inspector


def test_a_cycle_is_shown_beside_the_nearest_normal_one(cycles, write_cycle, tmp_path):
    path = write_cycle(tmp_path / "a.csv", 0)
    table = pd.read_csv(path)
    table.loc[60:65, "force"] += 9
    table.to_csv(path, index=False)
    explained = Inspector(cycles).explain(path)
    assert explained.verdict.flagged
    assert explained.attribution["signal"].tolist() == ["force"]
    assert 55 < explained.attribution["step"].item() < 70
    assert explained.shown.nearest["nearest"].item().startswith("normal ")
    shown = explained.exhibit()
    assert shown is not None
    assert shown.figures[0][0] == "attribution, and the nearest normal cycle"
    assert shown.figures[0][1].startswith(b"\x89PNG")
    assert shown.remark == explained.verdict.remark == ""
    said = replace(explained, verdict=replace(explained.verdict, remark="It lasts 9 s.")).exhibit()
    assert said is not None
    assert said.remark == "It lasts 9 s."


def test_without_a_kept_cycle_there_is_nothing_to_show_beside(cycles, write_cycle, tmp_path):
    explained = Inspector(replace(cycles, normals=None)).explain(write_cycle(tmp_path / "a.csv", 0))
    assert explained.verdict.verdict == "normal"
    assert explained.exhibit() is None
    assert set(explained.attribution.columns) == {"sample_id", "signal", "share", "step"}
