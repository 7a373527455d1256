"""Where a result comes from: the commit, and whether the code was that of the commit."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from endline.reporting.provenance import git_commit


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout with one file of code and one measured table, in which this process stands."""
    for name in ("code.py", "benchmarks/results/table.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a\n")
    for words in ("init -q", "add -A", "-c user.name=a -c user.email=a@b.c commit -qm first"):
        subprocess.run(["git", *words.split()], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path / "benchmarks")
    git_commit.cache_clear()
    yield tmp_path
    git_commit.cache_clear()


def test_a_table_that_a_sweep_writes_is_no_change_of_the_code(checkout: Path) -> None:
    (checkout / "benchmarks/results/table.csv").write_text("b\n")
    assert not git_commit().endswith("+changes")


def test_changed_code_is_said(checkout: Path) -> None:
    (checkout / "code.py").write_text("b\n")
    assert git_commit().endswith("+changes")
