"""Checkpoints under several processes: nobody's is written over, taken or removed while its process lives."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from endline.detectors.progress import KEPT_FOR, Progress, clear_checkpoints
from endline.owner import Owner

DEAD = replace(Owner.current(), pid=999_999_999)
OTHERS = [replace(Owner.current(), pid=os.getppid(), started=0), replace(Owner.current(), host="elsewhere")]


def keep(folder: Path, owner: Owner, value: float = 1.0) -> Path:
    """Keep a checkpoint of one fit as another process would."""
    before = set(folder.rglob("*.safetensors"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Owner, "current", lambda: owner)
        Progress(folder / "fit/a.safetensors").keep("fit", {"a": torch.full((2,), value)}, [value])
    return (set(folder.rglob("*.safetensors")) - before).pop()


def test_two_processes_with_the_same_fit_write_two_files(tmp_path: Path) -> None:
    theirs = keep(tmp_path, OTHERS[0])
    content = theirs.read_bytes()
    assert keep(tmp_path, Owner.current(), 2.0) != theirs
    assert theirs.read_bytes() == content


@pytest.mark.parametrize("owner", OTHERS)
def test_the_checkpoint_of_a_process_that_may_live_is_neither_taken_nor_removed(tmp_path: Path, owner: Owner) -> None:
    theirs = keep(tmp_path, owner)
    os.utime(theirs, (0, 0))
    assert Progress(tmp_path / "fit/a.safetensors").kept("fit") is None
    clear_checkpoints(tmp_path, own=True)
    assert theirs.exists()


def test_the_newest_checkpoint_that_a_dead_process_left_is_taken_over(tmp_path: Path) -> None:
    old = keep(tmp_path, replace(DEAD, started=5), 1.0)
    os.utime(old, (time.time() - 60, time.time() - 60))
    new = keep(tmp_path, DEAD, 2.0)
    kept = Progress(tmp_path / "fit/a.safetensors").kept("fit")
    assert kept is not None
    assert kept[1] == [2.0]
    assert not old.exists()
    assert not new.exists()  # it is this process's now
    clear_checkpoints(tmp_path, own=True)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_what_a_dead_process_left_waits_a_week_for_the_same_fit(tmp_path: Path) -> None:
    left, mine = keep(tmp_path, DEAD), keep(tmp_path, Owner.current())
    clear_checkpoints(tmp_path, own=False)
    assert left.exists()
    assert mine.exists()
    os.utime(left, (time.time() - KEPT_FOR - 60,) * 2)
    clear_checkpoints(tmp_path, own=False)
    assert not left.exists()
    assert mine.exists()
