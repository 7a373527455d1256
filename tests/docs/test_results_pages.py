"""The pages of results say what the committed tables say."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from mkdocs.exceptions import PluginError

PROJECT = Path(__file__).parents[2]
RESULTS = PROJECT / "benchmarks/results"
PAGE: Any = SimpleNamespace(file=SimpleNamespace(src_uri="results/x.md"))


@pytest.fixture(scope="module")
def pages() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / "benchmarks"))
        yield __import__("results_pages")
        sys.modules.pop("results_pages", None)


def made(pages: ModuleType, text: str) -> str:
    return str(pages.on_page_markdown(text, PAGE, None, None)).replace("\N{NO-BREAK SPACE}", " ")


def test_a_table_holds_the_means_of_the_runs(pages: ModuleType) -> None:
    text = made(pages, "<!-- sweep mtd_tiles -->")
    runs = pd.read_csv(RESULTS / "mtd_tiles.csv")
    for detector, of in runs[runs["status"] == "done"].groupby("detector"):
        mean, deviation = of["auroc"].mean(), of["auroc"].std()
        spread = f" ± {deviation:.3f}" if len(of) > 1 else ""
        assert re.search(rf"\| `{detector}`[^|]*\| {mean:.3f}{spread} \|", text)
    figures = [float(value) for value in re.findall(r"^\| `[^|]*\| (0\.\d+)", text, re.MULTILINE)]
    assert figures == sorted(figures, reverse=True)


def test_the_overview_says_what_is_simulated_and_leads_with_no_leaking_figure(pages: ModuleType) -> None:
    rows = pages.leading_table().splitlines()[2:]
    for row in rows:
        name = re.findall(r"sweeps/(\w+)\.md", row)[0]
        assert ("SIMULATED" in row) == bool(pd.read_csv(RESULTS / f"{name}.csv")["simulated"].any())
        assert name not in pages.LEAKING


def test_what_its_own_page_calls_leaking_is_marked(pages: ModuleType) -> None:
    leaking = {path.stem for path in RESULTS.glob("*.md") if "LEAKS" in path.read_text()}
    split_by_file = {path.stem for path in RESULTS.glob("*.csv") if "n_train_units" not in pd.read_csv(path)}
    assert leaking <= set(pages.LEAKING) <= leaking | split_by_file  # one that was run again by part leaks no more
    marked = pages.warned("mtd761", (RESULTS / "mtd761.md").read_text())
    assert marked.index("These figures leak") < marked.index("Command")


def test_numbers_are_read_by_people(pages: ModuleType) -> None:
    text = made(pages, "<!-- table main_job: case, seconds, peak_memory_mb -->")
    memory = pd.read_csv(RESULTS / "main_job.csv")["peak_memory_mb"].iloc[0]
    assert memory > 1000  # so that it is grouped
    assert f"| {memory:,.0f} |" in text
    assert "e+" not in text


def test_what_looks_like_a_tag_stays_on_the_page(pages: ModuleType) -> None:
    assert pages.warned("x", "# x\n\nMT_<kind> and `MT_<kind>`") == "# x\n\nMT_&lt;kind> and `MT_<kind>`"


def test_mirror_motors_are_shown_with_the_noise_floor_levelled(pages: ModuleType) -> None:
    runs = pd.read_csv(RESULTS / "mirror42.csv")
    level = runs[(runs["noise_floor"] == "level") & (runs["detector"] == "hybrid_flow")]
    assert f"{level['auroc'].mean():.3f} ± " in made(pages, "<!-- sweep mirror42 -->")


def test_false_alarms_are_those_that_were_observed(pages: ModuleType) -> None:
    runs = pd.read_csv(RESULTS / "false_alarms.csv")
    chosen = runs[
        (runs["rate"] == 0.05) & (runs["rule"] == "conformal") & (runs["parts"] == 35) & (runs["pictures"] == 1)
    ]
    low, high = 100 * chosen["observed"].min(), 100 * chosen["observed"].max()
    assert f"{low:.1f} to {high:.1f} %" in made(pages, "<!-- false alarms -->")


@pytest.mark.parametrize("asked", ["<!-- sweep mtd_tilse -->", "<!-- table flow_training: cse -->"])
def test_what_is_not_there_stops_the_build(pages: ModuleType, asked: str) -> None:
    with pytest.raises(PluginError, match=r"results/x\.md: there is nothing for"):
        made(pages, asked)
