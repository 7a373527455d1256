"""Ranks that are kept beside a sweep's table, and who is ahead by them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from endline.operations.sweep.command import run_sweep
from endline.operations.sweep.grid import parse_sweep
from endline.operations.sweep.job import Job, Outcome
from endline.operations.sweep.scores import BASELINE, ahead, kept_columns, read_scores, write_scores
from endline.operations.sweep.table import render_leaders

SWEEP = parse_sweep(
    "s", {"station": "a", "description": "b", "grid": {"detector": ["poor", "good"], "seed": [0, 1]}}, "sweeps.yml"
)


def run(seed: int, quality: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    label = np.repeat([0, 1], 30)
    units = [f"part {number}" for number in range(60)]
    score = quality * label + rng.normal(size=60)
    return kept_columns(pd.DataFrame({"unit": units, "label": label, "score": score}))


def table(versions: dict[tuple[str, int], str]) -> pd.DataFrame:
    rows = [{"detector": name, "seed": seed, "version": version} for (name, seed), version in versions.items()]
    return pd.DataFrame(rows)


def test_what_is_kept_comes_back_and_names_no_part(tmp_path: Path) -> None:
    kept = {"first": run(0, 1.0), "second": run(1, 1.0)}
    write_scores(tmp_path / "s.scores.parquet", kept)
    back = read_scores(tmp_path / "s.scores.parquet")
    assert list(back) == ["first", "second"]
    for version, own in kept.items():
        pd.testing.assert_frame_equal(back[version], own, check_dtype=False)
    assert own["unit"].str.fullmatch("[0-9a-f]{8}").all()
    assert read_scores(tmp_path / "none.parquet") == {}


def test_scores_of_unknown_label_are_left_out_and_ties_stay_ties() -> None:
    label = pd.array([0, None, 1, 0], dtype="Int8")
    kept = kept_columns(pd.DataFrame({"unit": list("abcd"), "label": label, "score": [1.0, 9.0, 1.0, 0.0]}))
    assert kept["rank"].tolist() == [2.5, 2.5, 1.0]
    assert kept["anomalous"].tolist() == [False, True, False]
    assert kept["baseline"].isna().all()
    scores = pd.DataFrame({"unit": list("abcd"), "label": label, "score": 0.0, "baseline": [3.0, 0.0, 4.0, 5.0]})
    assert kept_columns(scores)["baseline"].tolist() == [1.0, 2.0, 3.0]


def test_files_from_before_there_was_a_baseline_are_read(tmp_path: Path) -> None:
    path = tmp_path / "s.scores.parquet"
    write_scores(path, {"first": run(0, 1.0)})
    pd.read_parquet(path).drop(columns="baseline").to_parquet(path)
    assert read_scores(path)["first"]["baseline"].isna().all()


def test_cells_are_compared_over_the_seeds_that_both_have() -> None:
    versions = {("poor", 0): "a", ("poor", 1): "b", ("good", 0): "c", ("good", 1): "d"}
    kept = {"a": run(0, 0.2), "b": run(1, 0.2), "c": run(0, 2.0)}
    found = ahead(table(versions), ["detector"], ["seed"], kept)
    assert found.index.tolist() == [("poor",), ("good",)]
    assert found["runs"].tolist() == [1, 1]
    assert found.loc[[("poor",)], "behind_low"].item() > 0
    assert ahead(table(versions), ["detector"], ["seed"], {"a": run(0, 1)}).empty
    page = render_leaders(SWEEP, found).splitlines()
    assert page[4].startswith("| good | 0.9")
    assert page[4].endswith("| – | – | – |")
    assert page[5].startswith("| poor | ")
    assert page[5].endswith("| surely |")


def with_baseline(seed: int, quality: float) -> pd.DataFrame:
    own = run(seed, quality)
    ranks = np.random.default_rng(seed + 10).permutation(len(own)) + 1.0  # tells nothing
    return own.assign(baseline=ranks)


def test_the_baseline_is_compared_where_all_runs_have_one() -> None:
    versions = {("poor", 0): "a", ("good", 0): "b"}
    kept = {"a": with_baseline(0, 0.2), "b": with_baseline(0, 2.0)}
    found = ahead(table(versions), ["detector"], ["seed"], kept)
    assert found.index.tolist() == [("poor",), ("good",), (BASELINE,)]
    assert found.loc[[(BASELINE,)], "behind_low"].item() > 0
    assert "| baseline of ignorance | 0." in render_leaders(SWEEP, found)
    alone = ahead(table({("good", 0): "b"}), ["detector"], ["seed"], kept)
    assert alone.index.tolist() == [("good",), (BASELINE,)]
    without = ahead(table(versions), ["detector"], ["seed"], {**kept, "a": run(0, 0.2)})
    assert BASELINE in {name for (name,) in without.index}  # the other method's run tells it of the same test


def test_machines_are_averaged_over_and_never_compared_with_each_other() -> None:
    rows = [
        {"detector": name, "group": group, "version": f"{name} {group}"}
        for name in ("poor", "good")
        for group in ("fan", "valve")
    ]
    kept = {row["version"]: run(len(row["group"]), 2.0 if row["detector"] == "good" else 0.2) for row in rows}
    found = ahead(pd.DataFrame(rows), ["detector", "group"], [], kept)
    assert found.index.tolist() == [("poor",), ("good",)]
    assert found["runs"].tolist() == [2, 2]
    assert found["auroc"].iloc[1] > 0.85


def test_other_tested_parts_are_not_compared() -> None:
    versions = {("poor", 0): "a", ("good", 0): "b"}
    kept = {"a": run(0, 0.2), "b": run(0, 2.0).iloc[:-3]}
    assert ahead(table(versions), ["detector"], ["seed"], kept).empty


@pytest.mark.usefixtures("parents")
def test_a_sweep_says_who_is_ahead_and_says_it_again_when_it_goes_on(project: Path) -> None:
    def work(jobs: Any, workers: int) -> Any:
        for number, job in jobs:
            assert isinstance(job, Job)
            quality = 2.0 if job.parameters["noise_floor"] == "raw" else 0.1
            yield number, Outcome({"auroc": 0.9}, version=job.version, scores=run(job.parameters["fold"], quality))

    page = project / "benchmarks/results/tiny.md"
    run_sweep("tiny", project, run=work)
    first = page.read_text()
    assert "| raw | 0.9" in first
    assert "| surely |" in first
    page.unlink()
    run_sweep("tiny", project, run=work)  # all is finished: nothing runs
    assert page.read_text() == first
