"""The wheel holds what an installed endline needs, and all places name one version."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import yaml

PROJECT = Path(__file__).parents[2]
CODE = {".py", ".pyc"}
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


def test_the_wheel_holds_the_package_and_its_data(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(PROJECT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path)], cwd=source, env=environment, check=True, capture_output=True
    )
    with ZipFile(next(tmp_path.glob("endline-*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if name.startswith("endline/")}
        [commands] = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith("entry_points.txt")]
    there = {
        path.relative_to(source / "src").as_posix() for path in (source / "src/endline").rglob("*") if path.is_file()
    }
    assert held == there
    assert {Path(name).suffix for name in held} - CODE >= {".jinja", ".css", ".js", ".xml", ".typed"}
    assert "endline = endline.commands:cli" in commands


def test_all_places_name_one_version() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    cited = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    released = re.findall(
        r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert cited["cff-version"] == "1.2.0"
    assert (cited["version"], cited["date-released"]) == (version, released[0][1])
    assert released[0][0] == version


def test_the_workflow_runs_what_everybody_runs() -> None:
    job = yaml.safe_load((PROJECT / ".github/workflows/test.yml").read_text())["jobs"]["test"]
    assert [step["run"].split(" PYTHON=")[0] for step in job["steps"] if "run" in step] == ["make test"]
    given = [version.split(".") for version in job["strategy"]["matrix"]["python"]]
    supported = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert supported == f">={'.'.join(given[0])},<3.{int(given[-1][1]) + 1}"
