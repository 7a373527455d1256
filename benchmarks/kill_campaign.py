"""Kill runs at random moments, and look for anything half-written that is ever read.

Each attempt is a run of a station (`--env=smoke`), or a sweep of two runs at once, in a process group of its own. A
node is drawn evenly among those of the run (or the time before the first), waited for, and the whole group is ended by
SIGKILL at a random moment of the time that this node has taken in an undisturbed run. After each kill every JSON,
Parquet file, array, detector and published model that a reader would take for whole is read, and the verdict on one
file must be that of the last whole run (seeds 0 and 1 alternate, so that runs differ). After the kills one run of each
seed must give the figures of an undisturbed one, no run may still be called running, and nothing temporary may be left.

Appends one row for each node that runs were killed in, and one for the runs after the kills, to
`benchmarks/results/kill_campaign.csv`: station, node, mean seconds from the start of the run to the kill, kills,
faults, commit, command. The runs lie in temporary projects. Run:
`.venv/bin/python benchmarks/kill_campaign.py --kills=200`.
"""

import argparse
import json
import os
import random
import re
import shlex
import signal
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import chdir, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", COLUMNS="200", DO_NOT_TRACK="1")  # before anything heavy is imported
os.environ.pop("ENDLINE_DATA", None)

import numpy as np
import pandas as pd
import yaml
from rich import print

from main_job import PROJECT, copy_project

STATIONS = ("machine_audio", "mirror_audio", "robot_cycle", "surface_image", "surface_scan")
SWEEP = "sweep"
RESULTS = PROJECT / "benchmarks/results/kill_campaign.csv"
MEASURED = ("seconds", "memory", "_ms_")  # parts of the names of figures that differ from run to run
SMALL_SWEEP = {
    "station": "mirror_audio",
    "description": "Two detectors.",
    "fixed": {"exhibits": 0},
    "grid": {"detector": ["gaussian", "hybrid_flow"]},
    "rows": ["detector"],
}
BEFORE = "before the first node"


def new_project(folder: Path) -> Path:
    """A copy of the project without data, which tells the nodes that it runs and has a small sweep."""
    project = copy_project(folder)
    logs = project / "conf/logging.yml"
    settings = yaml.safe_load(logs.read_text())
    settings["loggers"]["kedro.pipeline.node"] = {"level": "INFO"}
    logs.write_text(yaml.safe_dump(settings))
    (project / "conf/base/sweeps.yml").write_text(yaml.safe_dump({"small": SMALL_SWEEP}, sort_keys=False))
    return project


def arguments(station: str, seed: int) -> list[str]:
    """What follows `kedro` on the command line."""
    if station == SWEEP:
        return ["sweep", "small", "--env=smoke", "--workers=2", *(["--fresh"] if seed else [])]
    return ["run", "--env=smoke", f"--pipelines={station}", f"--params=seed={seed}"]


def figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """Figures that are the same in each run of the same settings."""
    return {key: value for key, value in metrics.items() if not any(part in key for part in MEASURED)}


@dataclass
class Attempt:
    """A run in a process group of its own, watched through what it logs.

    Example:
        `Attempt(project, arguments("mirror_audio", 0), Path("run.log")).finish()`
    """

    project: Path
    words: list[str]
    log: Path
    begun: float = field(default_factory=time.monotonic)
    nodes: list[tuple[str, float]] = field(default_factory=list)
    code: int | None = None

    def __post_init__(self) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            self._run()

    def _run(self) -> None:
        """The run itself, as `kedro` would do it, in a process that has imported everything already."""
        code = 70
        try:
            os.setsid()
            os.chdir(self.project)
            out = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            import logging

            from kedro.framework.project import configure_project

            logging.getLogger("kedro.pipeline.node").setLevel("INFO")
            configure_project("endline")
            from endline.cli import cli

            try:
                cli(self.words, standalone_mode=True)
            except SystemExit as end:
                code = int(end.code or 0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def look(self) -> bool:
        """Take in what has been logged and whether the run has ended; True while it goes on."""
        if self.log.exists():
            told = re.findall(r"Running node:\s+(?:\w+\.)?(\w+)", self.log.read_text(errors="replace"))
            now = time.monotonic() - self.begun
            self.nodes += [(name, now) for name in told[len(self.nodes) :]]
        if self.code is None and (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.code = os.waitstatus_to_exitcode(ended[1])
        return self.code is None

    def finish(self) -> "Attempt":
        """Wait for the end.

        Raises:
            RuntimeError: when the run fails.
        """
        while self.look():
            time.sleep(0.02)
        if self.code:
            raise RuntimeError(f"{self.words} failed:\n{self.log.read_text(errors='replace')[-3000:]}")
        return self

    def kill_in(self, occurrence: int, seconds: float) -> tuple[str, float] | None:
        """Kill the group `seconds` after the n-th node began (0: after the start); node and time, None if too late."""
        while self.look() and len(self.nodes) < occurrence:
            time.sleep(0.005)
        time.sleep(seconds)
        if not self.look():
            return None
        took = time.monotonic() - self.begun
        os.killpg(self.pid, signal.SIGKILL)
        self.look()  # the log says what it was at
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) if self.code is None else self.code
        return (self.nodes[-1][0] if self.nodes else BEFORE), took


class Reader:
    """Reads whatever in a project a reader would take for whole, each version once, and tells what is not.

    Example:
        `Reader(project).faults()`
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self._seen: set[Path] = set()

    def faults(self) -> list[str]:
        """A line for each file that cannot be read."""
        found = []
        for path, read in self._readers():
            if path in self._seen:
                continue
            try:
                read(path)
                self._seen.add(path)
            except Exception as error:
                found.append(f"{path.relative_to(self.project)}: {type(error).__name__} {error}")
        return found

    def _readers(self) -> Iterator[tuple[Path, Callable[[Path], object]]]:
        from endline.array_store import ArrayStore
        from endline.datasets.detectors import DetectorsDataset
        from endline.published import PublishedModel, read_preparation

        store = ArrayStore(self.project / "data/04_feature/store")
        for path in sorted([*self.project.glob("data/0*/**/*"), *self.project.glob("mlruns/artifacts/*/artifacts/*")]):
            parts = path.relative_to(self.project).parts
            linked = parts[0] == "mlruns"
            places = () if linked else (path, *path.parents)
            folder = next((at for at in places if at.name and at.parent.parent.name == at.name), None)
            if any(part.startswith(".") for part in parts) or "checkpoints" in parts or folder not in (None, path):
                continue  # not for readers, or inside a folder that is read as a whole
            if path.name == "model" and path.parent.parent.name == "model" and not linked:
                yield path, PublishedModel.load
            elif path.name == "detectors" and path.parent.parent.name == "detectors" and not linked:
                yield path, lambda folder: DetectorsDataset(str(folder)).load()
            elif path.is_file() and path.name == "preparation.json":
                yield path, read_preparation
            elif path.is_file() and path.name in ("features.json", "maps.json", "masks.json") and not linked:
                yield path, lambda file: store.open(json.loads(file.read_text())["arrays"]).read()
            elif path.is_file() and path.suffix == ".json":
                yield path, lambda file: json.loads(file.read_text())
            elif path.is_file() and path.suffix == ".parquet":
                yield path, pd.read_parquet
            elif path.suffix == ".npy" and store.has(path.stem):
                yield path, lambda file: np.load(file).sum()
        for path in self.project.glob("benchmarks/results/*.csv"):
            self._seen.discard(path)
            yield path, pd.read_csv


class Campaign:
    """Kills of one station's runs (or of the sweep) in a project of its own.

    Example:
        `Campaign("mirror_audio", folder, random.Random(0)).run(kills=10, limit=600)`
    """

    def __init__(self, station: str, folder: Path, rng: random.Random) -> None:
        self.station, self.rng = station, rng
        self.judge = "mirror_audio" if station == SWEEP else station
        self.project, self.log = new_project(folder / station), folder / f"{station}.log"
        self.kills: dict[str, list[float]] = defaultdict(list)
        self.faults: dict[str, int] = defaultdict(int)
        self.reader = Reader(self.project)
        self.expected: dict[int, tuple[Any, Any]] = {}
        self.last, self.model = 0, self._newest_model()

    def run(self, kills: int, limit: float) -> list[dict[str, Any]]:
        """Undisturbed runs, kills, runs after them; rows of the table."""
        begun = time.monotonic()
        for seed in (0, 1):
            calm = self._start(seed).finish()
            self.part = self._any_part()
            self.expected[seed] = self._figures(), self._verdict()
            self.last, self.model = seed, self._newest_model()
        steps = [(BEFORE, 0.0), *calm.nodes]
        durations = np.diff([*(at for _, at in steps), time.monotonic() - calm.begun]).clip(0.01)
        for number in range(kills):
            if time.monotonic() - begun > limit:
                print(f"{self.station}: {number} of {kills} kills, the time is up.")
                break
            occurrence = self.rng.randrange(len(steps))
            seed = number % 2
            attempt = self._start(seed)
            killed = attempt.kill_in(occurrence, self.rng.random() * durations[occurrence])
            node = killed[0] if killed else "after the end"
            if killed:
                self.kills[node].append(killed[1])
            elif attempt.code:
                self._fault(node, [f"ended with {attempt.code}: {self.log.read_text(errors='replace')[-1500:]}"])
            self._check(node, seed, ended=attempt.code == 0)
        begun = time.monotonic()
        self._afterwards()
        return self._rows(time.monotonic() - begun)

    def _start(self, seed: int) -> Attempt:
        self.log.unlink(missing_ok=True)
        return Attempt(self.project, arguments(self.station, seed), self.log)

    def _check(self, node: str, seed: int, *, ended: bool) -> None:
        """What a reader finds now."""
        self._fault(node, self.reader.faults())
        whole = self._newest_model()
        if ended or whole != self.model:  # the kill came after the model had been published
            self.last, self.model = seed, whole
            if self._figures() != self.expected[seed][0]:
                self._fault(node, [f"the figures of a whole run with seed {seed} are others"])
        if self.station != SWEEP and self._verdict() != self.expected[self.last][1]:
            self._fault(node, [f"the verdict is not that of the last whole run, with seed {self.last}"])

    def _fault(self, node: str, faults: list[str]) -> None:
        self.faults[node] += len(faults)
        for fault in faults:
            print(f"[red]{self.station}, killed in {node}: {fault}[/red]")

    def _afterwards(self) -> None:
        """The next runs are as undisturbed ones, and leave nothing of the killed ones."""
        for seed in (0, 1):
            try:
                self._start(seed).finish()
            except RuntimeError as error:
                self._fault("next run", [str(error)])
                return
            if self._figures() != self.expected[seed][0]:
                self._fault("next run", [f"the figures with seed {seed} are others"])
        self._fault("next run", self.reader.faults())
        with sqlite3.connect(self.project / "mlruns/mlflow.db") as database:
            (running,) = database.execute("select count(*) from runs where status = 'RUNNING'").fetchone()
        left = [path for path in self.project.rglob(".*") if re.search(r"[.](partial|lock)\b", path.name)]
        self._fault("next run", [f"{running} run(s) are still called running"] if running else [])
        self._fault("next run", [f"left behind: {path}" for path in left])

    def _newest_model(self) -> Path | None:
        from endline.operations.model_folders import latest_model

        with suppress(Exception):
            return latest_model(self.project, self.judge)
        return None

    def _verdict(self) -> Any:
        from endline.operations.inspection import Inspector

        with chdir(self.project):
            verdict = Inspector.load(self.judge, project=self.project).inspect(self.part)
        return verdict.iloc[0][["score", "p_value", "flagged", "reason"]].to_dict()

    def _any_part(self) -> Path:
        """File of one part of the simulated set, kept apart from it with what belongs to it."""
        kinds = {
            "machine_audio": "*.wav",
            "mirror_audio": "*.wav",
            "robot_cycle": "*.parquet",
            "surface_image": "*.png",
            "surface_scan": "xyz/*.tiff",
        }
        folder = self.project / f"data/01_raw/{self.judge}_simulated"
        source = sorted(path for path in folder.rglob(kinds[self.judge]) if "ground_truth" not in path.parts)[-1]
        kept = self.project / "kept"
        target = kept / (source.relative_to(source.parents[1]) if self.judge == "surface_scan" else source.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.judge == "robot_cycle":  # all cycles lie in one file
            cycles = pd.read_parquet(source)
            cycles[cycles["sample"] == cycles["sample"].max()].to_parquet(target)
        else:
            target.write_bytes(source.read_bytes())
        if self.judge == "surface_scan":  # the photograph of the pair
            photograph = kept / "rgb" / f"{source.stem}.png"
            photograph.parent.mkdir(exist_ok=True)
            photograph.write_bytes((source.parents[1] / "rgb" / photograph.name).read_bytes())
        return target

    def _figures(self) -> Any:
        if self.station == SWEEP:
            table = pd.read_csv(self.project / "benchmarks/results/small.csv")
            return figures(json.loads(table.filter(regex="auroc|detector|rate|recall").to_json()))
        newest = max((self.project / f"data/08_reporting/{self.station}/metrics.json").glob("*/metrics.json"))
        version = newest.parent.name
        scores = self.project / f"data/07_model_output/{self.station}/scores.parquet/{version}/scores.parquet"
        return figures(json.loads(newest.read_text())), pd.read_parquet(scores).drop(columns="path").to_json()

    def _rows(self, seconds: float) -> list[dict[str, Any]]:
        nodes = {*self.kills, *(node for node, count in self.faults.items() if count)} - {"next run"}
        rows = [
            {
                "station": self.station,
                "node": node,
                "seconds": round(float(np.mean(self.kills[node])), 1) if self.kills[node] else None,
                "kills": len(self.kills[node]),
                "faults": self.faults[node],
            }
            for node in sorted(nodes)
        ]
        all_kills = sum(map(len, self.kills.values()))
        after = {"station": self.station, "node": "next run", "seconds": round(seconds, 1), "kills": all_kills}
        return [*rows, {**after, "faults": self.faults["next run"]}]


def append(path: Path, rows: list[dict[str, Any]]) -> None:
    """Add rows to a table, whole or not at all."""
    from endline.files import write_whole

    old = [pd.read_csv(path)] if path.exists() else []
    write_whole(path, pd.concat([*old, pd.DataFrame(rows)]).to_csv(index=False))


def main() -> None:
    """Kill, look, and append to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills, shared by the stations and the sweep")
    parser.add_argument("--minutes", type=float, default=600, help="stop killing after so long, all stations together")
    parser.add_argument("--stations", nargs="+", default=[*STATIONS, SWEEP], choices=[*STATIONS, SWEEP])
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()

    import mlflow  # noqa: F401  imported here once for all runs, which are forked from this process

    import endline.cli
    import endline.detectors.registry  # noqa: F401
    from endline.reporting.provenance import git_commit

    about = {"commit": git_commit(), "command": shlex.join(["benchmarks/kill_campaign.py", *sys.argv[1:]])}
    rng, faults = random.Random(given.seed), 0
    for station in given.stations:
        with tempfile.TemporaryDirectory(prefix="endline_kills_") as folder:
            share = len(given.stations)
            campaign = Campaign(station, Path(folder), rng)
            rows = campaign.run(-(-given.kills // share), 60 * given.minutes / share)
        append(RESULTS, [{**row, **about} for row in rows])
        print(pd.DataFrame(rows).to_string(index=False))
        faults += sum(row["faults"] for row in rows)
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
