"""Simulated sets under several processes: one writes, the others wait, and nobody loses what it reads."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from endline.owner import Owner
from endline.simulation.simulated_folder import SimulatedFolder, reading

SLOW = """
import sys, time
from pathlib import Path
from endline.simulation.simulated_folder import SimulatedFolder, reading

def write(folder):
    with open(sys.argv[1] + ".writers", "a") as file:
        file.write("x")
    time.sleep(1)
    (folder / "a.txt").write_text(sys.argv[2])

with reading():
    SimulatedFolder("texts", "", 1, {"seed": sys.argv[2]}, ("a.txt",), r".*[.]txt", 1).fill(Path(sys.argv[1]), write)
    print("filled", flush=True)
    time.sleep(float(sys.argv[3]))
    print(Path(sys.argv[1], "a.txt").read_text(), time.time(), flush=True)
"""


def folder_of(seed: str) -> SimulatedFolder:
    return SimulatedFolder("texts", "", 1, {"seed": seed}, ("a.txt",), r".*[.]txt", 1)


def process(folder: Path, seed: str, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, str(folder), seed, str(seconds)], stdout=subprocess.PIPE, text=True
    )


def test_of_two_processes_that_want_one_set_one_writes_it(tmp_path: Path) -> None:
    both = [process(tmp_path / "raw", "0", 0) for _ in range(2)]
    assert [each.communicate()[0].split()[:2] for each in both] == [["filled", "0"]] * 2
    assert [each.returncode for each in both] == [0, 0]
    assert (tmp_path / "raw.writers").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "raw.writers"]


def test_a_set_is_not_replaced_while_a_run_reads_it(tmp_path: Path) -> None:
    reader = process(tmp_path / "raw", "old", 1.5)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "filled\n"
    folder_of("new").fill(tmp_path / "raw", lambda folder: (folder / "a.txt").write_text("new") and None)
    replaced = time.time()
    text, at = reader.communicate()[0].split()
    assert text == "old"
    assert replaced >= float(at)
    assert (tmp_path / "raw/a.txt").read_text() == "new"


def test_runs_of_one_process_do_not_wait_for_themselves(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "a.txt").touch()

    for seed in "01":
        with reading():
            folder_of(seed).fill(tmp_path / "raw", write)
            folder_of(seed + "x").fill(tmp_path / "raw", write)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize(
    ("owner", "stays"),
    [
        (Owner.current(), True),
        (replace(Owner.current(), pid=999_999_999), False),
        (replace(Owner.current(), started=1), False),  # its number has been given to another process since
        (replace(Owner.current(), host="elsewhere", pid=999_999_999), True),
    ],
)
def test_half_simulated_sets_of_dead_processes_alone_go(tmp_path: Path, owner: Owner, stays: bool) -> None:
    left = tmp_path / f".raw.{owner}-0a0a0a0a.partial"
    (left / "deep").mkdir(parents=True)
    folder_of("0").fill(tmp_path / "raw", lambda folder: (folder / "a.txt").touch())
    assert left.exists() == stays
