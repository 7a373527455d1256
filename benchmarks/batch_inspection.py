"""Seconds to judge a folder of simulated parts by `endline inspect --output`, with one process and with two.

The parts are simulated photographs, good ones and faulty ones, of the size of those that the model has learned from.
The model is that of the newest run of `surface_image`; without one it is run first. Each figure is of a command of its
own, its start and the writing of the table included. The tables must be the same, to the last digit, and some of their
rows those that `Inspector.inspect` gives file by file; `--bad` files that are no photographs have a row with their
reason, and stop nothing. Writes `benchmarks/results/batch_inspection.csv`.
Run on an idle machine: `.venv/bin/python benchmarks/batch_inspection.py [--parts 1000] [--bad 0] [--env smoke]`.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import pandas as pd
import torch
from rich import print

import endline
from endline.operations.verdict_file import read_verdicts
from endline.reporting.provenance import git_commit, machine
from endline.simulation.images.surface_image import SurfaceSimulation, simulate

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/batch_inspection.csv"
STATION, CHECKED = "surface_image", 10


def command(*words: object, status: int = 0) -> tuple[float, float]:
    """Seconds by the clock and of the processor that a command of the project takes; it ends with a status."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run([sys.executable, "-m", "endline", *map(str, words)], cwd=ROOT, check=False)
    assert ended.returncode == status, f"it ended with {ended.returncode}"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, used


def model(env: tuple[str, ...]) -> endline.Inspector:
    """The newest published model of the station."""
    try:
        return endline.Inspector.load(STATION, project=ROOT)
    except endline.EndlineError:
        subprocess.run([sys.executable, "-m", "kedro", "run", f"--pipeline={STATION}", *env], cwd=ROOT, check=True)
        return endline.Inspector.load(STATION, project=ROOT)


def simulated(folder: Path, parts: int, bad: int) -> Path:
    """A folder of as many photographs, half of them of good parts, and of files that are none or are cut off."""
    settings = SurfaceSimulation(normals=0, test_normals=parts - parts // 2, faulty=parts // 2, seed=1)
    files = simulate(folder / "raw", settings, lambda done, total: None) / "surface/test"
    whole = next(files.rglob("*.png")).read_bytes()
    for number in range(bad):
        (files / f"bad_{number}.png").write_bytes((b"", b"no photograph", whole[: len(whole) // 3])[number % 3])
    return files


def measured(inspector: endline.Inspector, parts: int, bad: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each number of processes."""
    files, tables, rows = simulated(folder, parts, bad), [], []
    for workers in (1, 2):
        output = folder / f"{workers}.parquet"
        options = (f"--station={STATION}", f"--output={output}", f"--workers={workers}")
        seconds, used = command("inspect", files, *options, status=int(bad > 0))
        tables.append(read_verdicts(output))
        assert len(tables[-1]) == parts + bad, f"{len(tables[-1])} rows of {parts + bad} files"
        refused = [row for row in tables[-1] if row.reason]
        assert len(refused) == bad, f"{len(refused)} files were refused"
        rows.append(
            {
                "parts": parts,
                "workers": workers,
                "seconds": round(seconds, 1),
                "seconds_a_part": round(seconds / parts, 3),
                "cpu_seconds_a_part": round(used / parts, 3),
                "flagged": sum(bool(row.flagged) for row in tables[-1]),
                "refused": len(refused),
            }
        )
        print(rows[-1])
    assert [repr(row) for row in tables[0]] == [repr(row) for row in tables[1]], (
        "two processes judge otherwise than one"
    )
    for row in [row for row in tables[0] if not row.reason][:: max(1, parts // CHECKED)]:
        alone = inspector.inspect(files / row.path).iloc[0]
        assert (alone["score"], alone["p_value"]) == (row.score, row.p_value), f"{row.path} alone is judged otherwise"
    return rows


@click.command()
@click.option("--parts", type=click.IntRange(2), default=1000, show_default=True)
@click.option("--bad", type=click.IntRange(0), default=0, show_default=True, help="Files that are no photographs.")
@click.option("--env", help="Overlay of the run, where there is no model yet: smoke.")
def main(parts: int, bad: int, env: str | None) -> None:
    """Measure, show and write."""
    inspector = model(() if env is None else (f"--env={env}",))
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(inspector, parts, bad, Path(folder))
    preparation = inspector.model.preparation.plain()
    about = {
        "detector": inspector.model.about["detector"],
        "image": f"{preparation['height']} x {preparation['width']}",
        "threads": os.environ.get("OMP_NUM_THREADS", str(torch.get_num_threads())),
        "run": inspector.model.run,
        "machine": machine(),
        "torch": torch.__version__,
        "commit": git_commit(),
    }
    table = pd.DataFrame(rows).assign(**about)
    print(table.iloc[:, :8].to_string(index=False))
    if RESULTS.exists():
        earlier = pd.read_csv(RESULTS)
        table = pd.concat([earlier[earlier["parts"] != parts], table], ignore_index=True)
    RESULTS.parent.mkdir(exist_ok=True)
    table.to_csv(RESULTS, index=False)


if __name__ == "__main__":
    main()
