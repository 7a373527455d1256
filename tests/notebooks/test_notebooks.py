"""Every notebook runs from its first cell to its last, on a copy of the project."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

PROJECT = Path(__file__).parents[2]


@pytest.mark.filterwarnings("ignore")  # the kernel's own; the notebook's code runs in another process
@pytest.mark.parametrize("path", sorted((PROJECT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENDLINE_DATA", raising=False)
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / "src").mkdir()  # Kedro insists on it; the package itself is the installed one
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = str([cell.get("outputs") for cell in notebook.cells])
    assert "auroc" in shown
    assert "image/png" in shown
