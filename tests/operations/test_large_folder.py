"""A folder of a thousand files, three of them bad, has a row for each; ten thousand took 88 CPU-s, once by hand."""

import json

import pandas as pd

from endline.files import write_whole

FILES = 1000


def test_a_thousand_files_with_three_bad_ones(scales, tmp_path):
    text = scales.part("0000.json").read_text()
    for number in range(1, FILES):
        (scales.parts / f"{number:04d}.json").write_text(text)
    for name, content in (("0003.json", "["), ("0700.json", json.dumps([1.0])), ("0900.json", "")):
        (scales.parts / name).write_text(content)
    told = scales.command("inspect", scales.parts, "--run=1", "--output", tmp_path / "v.parquet", "--no-log")
    assert told.exit_code == 1
    assert f"3 of {FILES} files have no verdict, see the column reason of" in told.output
    table = pd.read_parquet(tmp_path / "v.parquet")
    assert len(table) == FILES
    assert table.loc[table["verdict"] == "none", "path"].tolist() == ["0003.json", "0700.json", "0900.json"]
    assert table.loc[table["verdict"] != "none", "score"].nunique() == 1
    write_whole(scales.parts / "0003.json", text)  # mended: the one file is judged, and no other again
    told = scales.command("inspect", scales.parts, "--run=1", "--output", tmp_path / "v.parquet", "--no-log")
    assert f"2 of {FILES} files have no verdict" in told.output
    assert pd.read_parquet(tmp_path / "v.parquet").set_index("path").loc["0003.json", "verdict"] == "normal"
