"""The documentation is built strictly, and nothing on its pages is fetched from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?https?:|<link\b[^>]*\brel=[\"']?(?:stylesheet|preload)[^>]*https?:"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", f"--site-dir={folder}"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there_and_fetches_nothing(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    sources = [path for path in (PROJECT / "docs").rglob("*.md") if path.name != "introduction.md"]
    assert len(pages) > len(sources) > 20
    assert [page.name for page in pages if FETCHED.search(page.read_text())] == []


def test_results_stand_on_their_pages(site: Path) -> None:
    overview, tiles, leaking = (
        (site / f"results/{name}.html").read_text() for name in ("index", "photographs", "sweeps/mtd761")
    )
    assert "By part" in overview
    assert "simulated" in overview.lower()
    assert "<!-- sweep" not in tiles
    assert "position_gaussian" in tiles
    assert "These figures leak" in leaking


def test_the_interface_is_described(site: Path) -> None:
    page = (site / "api/inspection.html").read_text()
    assert "endline.operations.inspection.Inspector.inspect" in page
    assert "Everything that a verdict on a new file needs" in page
    assert "&gt;&gt;&gt;" in (site / "api/detectors.html").read_text()


def test_pictures_are_small() -> None:
    sizes = [path.stat().st_size for path in (PROJECT / "docs/pictures").glob("*.png")]
    assert 0 < sum(sizes) < 1_000_000
