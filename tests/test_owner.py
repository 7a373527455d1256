"""A process is told dead only when it certainly is."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from endline.owner import Owner

SAY = "from endline.owner import Owner; print(Owner.current(), flush=True); input()"


def test_a_process_is_alive_until_it_is_killed() -> None:
    process = subprocess.Popen([sys.executable, "-c", SAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    owner = Owner.read(process.stdout.readline())
    assert owner is not None
    assert owner.pid == process.pid
    assert not owner.is_dead
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner.is_dead  # though it still has its number, until its parent asks for it
    process.communicate()
    assert owner.is_dead


@pytest.mark.parametrize(
    ("changes", "dead"),
    [
        ({}, False),
        ({"pid": 999_999_999}, True),
        ({"started": 1}, True),  # another process has its number now
        ({"started": 0}, False),  # its system told no start
        ({"host": "elsewhere", "pid": 999_999_999}, False),
    ],
)
def test_what_cannot_be_seen_from_here_counts_as_alive(changes: dict[str, object], dead: bool) -> None:
    assert replace(Owner.current(), **changes).is_dead == dead  # type: ignore[arg-type]


def test_an_owner_is_found_in_the_name_of_a_file() -> None:
    owner = Owner("line4", 71, 1200)
    assert Owner.read(f".scores.{owner}-0a0a0a0a.partial.csv") == owner
    assert Owner.read(".scores.4711-0a0a0a0a.partial.csv") is None
