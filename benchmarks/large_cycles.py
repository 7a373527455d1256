"""How much memory a large file of cycles takes: index and features of gigabytes in the layout of voraus-AD at 500 Hz.

The file is made of random numbers (no real and no simulated robot), once as a single row group, as the published files
are written, and once in row groups of 100,000 steps. Index and features run in a process of their own, whose highest
resident memory is reported. Writes `benchmarks/results/large_cycles.csv`. Run:
`.venv/bin/python benchmarks/large_cycles.py [gigabytes]` (2 by default; it needs as much room on the disk, and twice as
much memory to write the single row group).
"""

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from endline.array_store import ArrayStore
from endline.evaluation.summary import peak_memory_mb
from endline.evidence.cycles.features import CyclePreparation, common_length
from endline.evidence.cycles.index import CycleIndexing, index_cycles
from endline.reporting.provenance import git_commit, machine
from endline.robot_signals import META, SIGNALS, TRAINING_SETTING

RESULTS = Path(__file__).parent / "results/large_cycles.csv"
STEPS, RATE = 5000, 500  # of a cycle of 10 s


def write(path: Path, cycles: int, group: int) -> None:
    """A file of `cycles` random normal cycles, in row groups of `group` rows."""
    rows = cycles * STEPS
    rng = np.random.default_rng(0)
    labels = {
        "time": np.tile(np.arange(STEPS) / RATE, cycles),
        "sample": np.repeat(np.arange(cycles), STEPS),
        "anomaly": np.zeros(rows, bool),
        "category": np.full(rows, 12),
        "setting": np.full(rows, TRAINING_SETTING),
        "action": np.zeros(rows, int),
        "active": np.zeros(rows, int),
    }
    signals = {name: rng.standard_normal(rows) for name in SIGNALS}
    table = pa.table({name: (labels | signals)[name] for name in (*META, *SIGNALS)})
    pq.write_table(table, path, row_group_size=group, use_dictionary=False, compression="none")


def read(folder: Path, store: Path, results: "multiprocessing.Queue[tuple[float, float, float]]") -> None:
    """Index and features of the folder; puts the seconds of both and the peak memory in MB."""
    start = time.perf_counter()
    cycles = index_cycles(folder, CycleIndexing())
    indexed = time.perf_counter()
    length = common_length(cycles.samples, 50.0)
    preparation = CyclePreparation(tuple(cycles.facts["signals"]), length, 50.0)
    arrays = ArrayStore(store)
    arrays.make(preparation.recipe(cycles.samples, folder, arrays))
    results.put((indexed - start, time.perf_counter() - indexed, peak_memory_mb() or 0.0))


def main() -> None:
    """Measure both kinds of files."""
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    cycles = max(4, round(gigabytes * 1e9 / (STEPS * len(SIGNALS) * 8)))
    context = multiprocessing.get_context("spawn")
    rows = []
    for name, group in (("one row group", cycles * STEPS), ("100,000 steps a row group", 100_000)):
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder) / "raw"
            raw.mkdir()
            writer = context.Process(target=write, args=(raw / "robot.parquet", cycles, group))
            writer.start()
            writer.join()
            size = (raw / "robot.parquet").stat().st_size / 1e9
            results: multiprocessing.Queue[tuple[float, float, float]] = context.Queue()
            reader = context.Process(target=read, args=(raw, Path(folder) / "store", results))
            reader.start()
            index_seconds, feature_seconds, peak = results.get()
            reader.join()
        rows.append(
            {
                "file": name,
                "gigabytes": round(size, 2),
                "cycles": cycles,
                "index_seconds": round(index_seconds, 1),
                "feature_seconds": round(feature_seconds, 1),
                "peak_memory_mb": round(peak),
                "machine": machine(),
                "commit": git_commit(),
            }
        )
    table = pd.DataFrame(rows)
    table.to_csv(RESULTS, index=False)
    print(table.iloc[:, :6].to_string(index=False))


if __name__ == "__main__":
    main()
