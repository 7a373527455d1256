"""Bring the committed tables of sweeps to the names and digests of this code, without running anything again.

Settings, detectors and columns that were renamed get their new names, in `benchmarks/results/*.csv` and in the pages
beside them. A finished row gets this code's `settings_digest` where both hold: the digest that stands in the row is the
one that the old code gives for that point (a checkout of it is asked, in a process of its own), and the old settings,
renamed, are this code's. Every other row is left as it is, and listed with the reason. A second run changes nothing.

Without an old checkout a row gets it where its digest is that of this code's settings without those that were added
since (`SINCE`), at values under which this code computes the same.

Run: `.venv/bin/python benchmarks/migrate_results.py --checkout=/path/to/old/code`; `--check` writes nothing, names of
sweeps restrict it to them.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from kedro.framework.project import configure_project

from endline.detectors.cross_fitting import PARTS
from endline.detectors.registry import build_detector
from endline.dotted import flatten, nest
from endline.files import write_whole
from endline.operations.sweep.definitions import find_sweep, projects
from endline.operations.sweep.job import DONE
from endline.operations.sweep.resolved import digest, settings_content
from endline.operations.sweep.results import read_table, text, write_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
RENAMED = {  # last part of a setting's dotted name -> its new one; taken where this code has the old one no longer
    "members": "ensemble_size",
    "training_gain": "train_fraction",
    "stretches": "segments",
    "least_steps": "min_steps",
    "least_epochs": "min_epochs",
    "least_hidden": "min_hidden",
    "every": "downsampling",
}
MOVED = {  # start of a setting's name in `settings_content` -> its new one
    "settings.sound.": "settings.preparation.",
    "settings.images.": "settings.preparation.",
    "settings.cycles.": "settings.preparation.",
    "settings.formats.": "settings.preparation.formats.",
}
VALUES = {"stretch_gaussian": "segment_gaussian", "alike": "shared"}  # detectors and choices; taken likewise
GONE = {  # settings that this code has elsewhere or nowhere, and that change no figure by that
    "detector.type": "the class may move",
    "detector.backbone": "stated once, by the station",
    "detector.weights": "stated once, by the station",
    "settings.run.title": "a heading",
    "settings.run.evidence": "said by the station's record",
    "settings.run.checkpoints": "a folder",
}
ADDED: dict[str, Any] = {  # settings that the old code had not -> the value under which this code computes the same
    "settings.run.precision": "float32",
    "detector.pretrained": True,
}
SINCE: dict[str, Any] = {  # likewise, since digests have been what they are, the oldest first: dotted name -> value
    "settings.preparation.light": "auto",  # the detector's own, which is as_is for all that had been there
    "settings.simulation.pose": "whole",
    "settings.simulation.exposure": 0.0,
    "settings.preparation.formats.cycles.time": "time",
    "settings.preparation.formats.cycles.signals": None,
    "settings.preparation.formats.cycles.ignore": [],
    "settings.preparation.formats.cycles.cycle": "cycle",
    "settings.preparation.formats.cycles.label": "label",
    "settings.preparation.formats.cycles.normal": [],
    "settings.preparation.formats.recordings.time": "time",
    "settings.preparation.formats.recordings.signals": None,
    "settings.preparation.formats.recordings.ignore": [],
    "settings.preparation.formats.recordings.window": 60,
    "settings.preparation.formats.recordings.label": "label",
    "settings.preparation.formats.recordings.share": 0,
    "settings.preparation.formats.recordings.normal": [],
    "settings.preparation.alignment": "auto",  # of sets whose parts are not aligned by it
    "detector.depth_channels": 0,  # of ast
    "detector.masked": True,
    "detector.share": 0.0,  # of ast, as is the next
    "detector.top_share": 0.02,
    "settings.preparation.shape": "auto",  # of sets whose photographs are square, or of several shapes
    "detector.zero_padding": False,  # of what is like patchcore
    "detector.map_regularisation": 1.0,  # of position_gaussian on sets without masks: it changes maps alone
}

# Run by the old code (commit b5037c1): each point's digest, and the content that it is a digest of.
ASK_OLD = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from kedro.framework.project import configure_project
from endline.operations import sweep_run
from endline.operations.sweep_grid import parse_sweep
configure_project("endline")
seen = []
def dumps(content, **options):
    seen.append(content)
    return json.dumps(content, **options)
sweep_run.json = SimpleNamespace(dumps=dumps, loads=json.loads)
project, answer, names = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
sweeps = sweep_run.configuration(project, None, {})["sweeps"]
found = {}
for name in names:
    sweep = parse_sweep(name, sweeps)
    for point in sweep.points():
        own = sweep_run.settings_digest(project, None, sweep.station, sweep.parameters(point))
        station, settings, detector = seen[-1]
        content = {"station": station, "settings": settings, "detector": detector}
        found.setdefault(name, []).append({"point": point, "digest": own, "content": content})
answer.write_text(json.dumps(found, default=str))
"""


class Names:
    """The renames that this code asks for: a name that it still has is not renamed."""

    def __init__(self) -> None:
        trees = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "conf/base/parameters").glob("*.yml"))]
        words = {part for tree in trees for name in flatten(tree) for part in name.split(".")}
        detectors = next(tree["detectors"] for tree in trees if "detectors" in tree)
        for name in detectors:
            words |= set(asdict(build_detector(name, detectors).config))
        words |= set(PARTS)
        self.settings = {old: new for old, new in RENAMED.items() if old not in words and new in words}
        self.values = {old: new for old, new in VALUES.items() if new in words}

    def setting(self, name: str) -> str:
        """New dotted name of a setting or a column."""
        for start, new in MOVED.items():
            name = new + name.removeprefix(start) if name.startswith(start) else name
        head, dot, last = name.rpartition(".")
        return head + dot + self.settings.get(last, last)

    def value(self, value: Any) -> Any:
        """New name of a value that is a name."""
        return self.values.get(value, value) if isinstance(value, str) else value

    def page(self, content: str) -> str:
        """A page with the names of detectors and settings changed, prose left alone."""
        for old, new in self.values.items():
            content = re.sub(rf"(?<![\w.]){old}(?=[ ,|*])", new, content) if "_" in old else content
            content = content.replace(f"parts={old}", f"parts={new}")
        for old, new in self.settings.items():
            content = re.sub(rf"(?<=\.){old}(?==)|\b{old}\b(?=[=: ]\d)", new, content)
        return content


def old_points(checkout: Path, names: list[str], answer: Path) -> dict[str, list[dict[str, Any]]]:
    """For each sweep its points as the old code sees them: `point`, `digest`, `content`."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "DO_NOT_TRACK": "1"}
    command = [sys.executable, "-c", ASK_OLD, str(checkout), str(answer), *names]
    subprocess.run(command, cwd=checkout, env=environment, check=True)
    points: dict[str, list[dict[str, Any]]] = json.loads(answer.read_text())
    answer.unlink()
    return points


def difference(old: Mapping[str, Any], new: Mapping[str, Any], names: Names) -> list[str]:
    """Settings in which the old content, renamed, is not the new one."""
    before = {names.setting(key): names.value(value) for key, value in flatten(old).items() if key not in GONE}
    after = {key: value for key, value in flatten(json.loads(json.dumps(new, default=str))).items() if key not in GONE}
    before = {**{key: value for key, value in ADDED.items() if key in after}, **before}
    return sorted(
        key for key in before.keys() | after.keys() if key not in GONE and before.get(key, ...) != after.get(key, ...)
    )


def migrate(name: str, points: list[dict[str, Any]], names: Names) -> tuple[pd.DataFrame, Counter[str]]:
    """The table of a sweep, migrated, and what became of its rows: sentence -> number of rows."""
    sweep = find_sweep(name, ROOT)
    varied = list(sweep.grid)
    columns = list(map(str, pd.read_csv(RESULTS / f"{name}.csv", nrows=0).columns))
    table = read_table(RESULTS / f"{name}.csv", [column for column in columns if names.setting(column) in varied])
    table = table.rename(columns={column: names.setting(column) for column in columns})
    for column in {*varied, "detector"} & set(table):
        table[column] = table[column].map(names.value).astype("string")
    old = {
        tuple(text(names.value(value)) for value in each["point"].values()): (each["digest"], each["content"])
        for each in points
    }
    current = {tuple(text(value) for value in point.values()): point for point in sweep.points()}
    said: Counter[str] = Counter()
    for row in table.index[table["status"] == DONE]:
        key = tuple(table.loc[row, varied])
        own = table.loc[row, "settings_digest"]
        if key not in current or key not in old:
            said["left: the grid has no such point"] += 1
            continue
        content = settings_content(ROOT, None, sweep.station, sweep.parameters(current[key]))
        old_digest, old_content = old[key]
        changed = difference(old_content, content, names)
        if own == digest(content):
            said["up to date"] += 1
        elif own != old_digest:
            said["left: made by still older code, whose digest the old code does not give"] += 1
        elif changed:
            said[f"left: settings differ in {', '.join(changed)}"] += 1
        else:
            table.loc[row, "settings_digest"] = digest(content)
            said["migrated"] += 1
    return table, said


def completed(name: str) -> tuple[pd.DataFrame, Counter[str]]:
    """The table of a sweep with this code's digests where only `SINCE` lies between, and what became of its rows."""
    sweep = find_sweep(name, ROOT)
    table = read_table(RESULTS / f"{name}.csv", list(sweep.grid))
    current = {tuple(text(value) for value in point.values()): point for point in sweep.points()}
    said: Counter[str] = Counter()
    for row in table.index[table["status"] == DONE]:
        point = current.get(tuple(table.loc[row, list(sweep.grid)]))
        if point is None:
            said["left: the grid has no such point"] += 1
            continue
        content = settings_content(ROOT, None, sweep.station, sweep.parameters(point))
        added = list(SINCE)
        before = {digest(_without(content, added[number:])) for number in range(len(added))}
        if table.loc[row, "settings_digest"] == digest(content):
            said["up to date"] += 1
        elif table.loc[row, "settings_digest"] in before:
            table.loc[row, "settings_digest"] = digest(content)
            said["migrated"] += 1
        else:
            said["left: other settings"] += 1
    return table, said


def _without(content: Mapping[str, Any], added: list[str]) -> dict[str, Any]:
    """Content without those of the added settings that have the value of `SINCE`."""
    return nest({key: value for key, value in flatten(content).items() if key not in added or value != SINCE[key]})


def main() -> None:
    """Migrate every sweep that has a table, and say what became of its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, help="folder of the old code")
    parser.add_argument("sweeps", nargs="*", help="names; all that have a table, if none is given")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    configure_project("endline")
    single = [name for name, given in projects(ROOT).items() if "of" not in given]  # the joined ones are made of these
    sweeps = options.sweeps or [name for name in single if (RESULTS / f"{name}.csv").exists()]
    names, points = Names(), {}
    if options.checkout:
        points = old_points(options.checkout.resolve(), sweeps, RESULTS / ".migration.json")
    for name in sweeps:
        table, said = migrate(name, points[name], names) if points else completed(name)
        print(name, *(f"  {count:4d} {what}" for what, count in said.items()), sep="\n")
        if not options.check:
            write_table(RESULTS / f"{name}.csv", table)
    if points and not options.check:
        rename_elsewhere(names, [RESULTS / f"{name}.csv" for name in single])


def rename_elsewhere(names: Names, sweeps: list[Path]) -> None:
    """Change names in the pages of sweeps, and in the tables of other benchmarks (their first column is a name)."""
    for page in sorted(RESULTS.glob("*.md")):
        write_whole(page, names.page(page.read_text(encoding="utf-8")))
    for file in sorted(set(RESULTS.glob("*.csv")) - set(sweeps)):
        content = file.read_text(encoding="utf-8")
        write_whole(file, re.sub(r"^\w+(?=,)", lambda word: names.value(word.group()), content, flags=re.MULTILINE))


if __name__ == "__main__":
    main()
