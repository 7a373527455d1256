"""Each run has a version of its own, reads what it has saved itself, and the rest from one earlier run."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog

from endline.errors import EndlineError
from endline.versions import new_version, pin_versions, read_versions

NOW = "2026-01-01T00.00.00.999Z"
MANY = """
import sys
from pathlib import Path
from endline.versions import new_version
print("\\n".join(new_version(Path(sys.argv[1])) for _ in range(100)))
"""
STRONG = {"type": "endline.datasets.atomic.AtomicDataset", "versioned": True, "dataset": {"type": "text.TextDataset"}}


def test_versions_of_two_processes_differ(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", MANY, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    given = [each.communicate()[0].split() for each in processes]
    assert [len(each) for each in given] == [100, 100]
    assert len({*given[0], *given[1]}) == 200
    assert [sorted(each) for each in given] == given


def test_the_millisecond_after_the_last_of_a_second_is_the_next_second(tmp_path: Path) -> None:
    assert [new_version(tmp_path, NOW) for _ in range(2)] == [NOW, "2026-01-01T00.00.01.000Z"]


def test_two_sessions_of_one_millisecond_save_under_two_versions(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kedro.framework.session.session.generate_timestamp", lambda: "2999-01-01T00.00.00.000Z")
    last = project.folder / "mlruns/last_version"
    before = last.read_text() if last.exists() else None
    try:
        sessions = [KedroSession.create(project.folder, env="smoke") for _ in range(2)]
        assert [session.store["session_id"] for session in sessions] == [
            "2999-01-01T00.00.00.000Z",
            "2999-01-01T00.00.00.001Z",
        ]
    finally:
        last.unlink()
        if before is not None:
            last.write_text(before)


def run(folder: Path, version: str, **saved: str) -> DataCatalog:
    """Catalog of a run that has saved some texts."""
    entries = {name: {**STRONG, "filepath": str(folder / name)} for name in ("samples", "scores", "report")}
    catalog = DataCatalog.from_config(entries, save_version=version)
    for name, text in saved.items():
        catalog.save(name, text)
    return catalog


def pinned(catalog: DataCatalog, told: list[str] | None = None, **given: str) -> DataCatalog:
    tell = [].append if told is None else told.append
    pin_versions(catalog, outputs=["report"], inputs=["samples", "scores", "params:run"], given=given, tell=tell)
    return catalog


def test_a_run_reads_what_it_saved_though_another_has_saved_since(tmp_path: Path) -> None:
    run(tmp_path, "1", samples="of 1", scores="of 1")
    mine = pinned(run(tmp_path, "2"))
    mine.save("report", "of 2")
    run(tmp_path, "3", report="of 3")
    assert mine.load("report") == "of 2"


def test_what_a_part_of_the_pipeline_reads_comes_from_one_run(tmp_path: Path) -> None:
    run(tmp_path, "1", samples="of 1", scores="of 1")
    run(tmp_path, "2", samples="of 2", scores="of 2")
    run(tmp_path, "3", samples="of 3")  # it was killed before it scored
    told: list[str] = []
    mine = pinned(run(tmp_path, "4"), told)
    run(tmp_path, "5", samples="of 5", scores="of 5")  # it began later and was faster
    assert (mine.load("samples"), mine.load("scores")) == ("of 2", "of 2")
    assert told == ["2"]
    assert read_versions(mine, ["samples", "scores"]) == {"2"}
    later = pinned(run(tmp_path, "4"))
    assert later.load("scores") == "of 2"  # 5 is no earlier run


def test_a_version_that_the_user_names_is_kept_and_preferred(tmp_path: Path) -> None:
    for version in "12":
        run(tmp_path, version, samples=f"of {version}", scores=f"of {version}")
    entries = {name: {**STRONG, "filepath": str(tmp_path / name)} for name in ("samples", "scores", "report")}
    catalog = DataCatalog.from_config(entries, save_version="3", load_versions={"samples": "1"})
    mine = pinned(catalog, samples="1")
    assert (mine.load("samples"), mine.load("scores")) == ("of 1", "of 1")


@pytest.mark.parametrize(
    ("kept", "known"), [(("1", "2"), "the newest is 2"), ((), "no run has saved one"), (("4",), "no run has saved one")]
)
def test_a_named_version_that_is_not_there_is_told(tmp_path: Path, kept: tuple[str, ...], known: str) -> None:
    for version in kept:
        run(tmp_path, version, samples=f"of {version}", scores=f"of {version}")
    with pytest.raises(EndlineError) as caught:
        pinned(run(tmp_path, "3"), samples="7")
    assert str(caught.value) == f"There is no version 7 of samples (--load-versions): {known}."


def test_no_run_that_has_all_is_told(tmp_path: Path) -> None:
    run(tmp_path, "1", scores="of 1")
    run(tmp_path, "2", samples="of 2")
    with pytest.raises(EndlineError) as caught:
        pinned(run(tmp_path, "3"))
    assert str(caught.value) == (
        "No earlier run has all that this part of the pipeline reads; the newest, 2, lacks scores: run the whole "
        "pipeline first, or name a version of each by --load-versions."
    )
