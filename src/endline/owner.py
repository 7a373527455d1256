"""Which process made something, so that what a dead one left is told from what a living one still needs."""

import os
import re
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PATTERN = re.compile(r"(?P<host>[A-Za-z0-9]+)_(?P<pid>\d+)_(?P<started>\d+)")


@dataclass(frozen=True)
class Owner:
    """A process, known again by its host, its number and its start: numbers are used again, starts are not.

    Attributes:
        host: name of the machine, its letters and digits alone.
        pid: number of the process there.
        started: its start in clock ticks since the machine's; 0 where the system does not tell.

    Example:
        >>> Owner.current().is_dead, Owner.read(f"left by {Owner.current()}") == Owner.current()
        (False, True)
        >>> str(Owner("line4", 71, 1200))
        'line4_71_1200'
    """

    host: str
    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.host}_{self.pid}_{self.started}"

    @classmethod
    def current(cls) -> "Owner":
        """The process that asks."""
        return cls(_host(), os.getpid(), _started(os.getpid()) or 0)

    @classmethod
    def read(cls, text: str) -> "Owner | None":
        """The first owner named in a text, such as the name of a file; None where there is none."""
        found = PATTERN.search(text)
        return None if found is None else cls(found["host"], int(found["pid"]), int(found["started"]))

    @property
    def is_dead(self) -> bool:
        """Whether the process is certainly gone; never so of another host, whose processes cannot be seen from here."""
        if self.host != _host():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is there, and another user's
            pass
        started = _started(self.pid)
        return started is not None and self.started not in (0, started)


@cache
def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:32] or "host"


def _started(pid: int) -> int | None:
    """Start of a living process in clock ticks since the machine's; None where there is no `/proc`, or no process.

    A dead child that its parent has not asked for yet (a zombie) still has its number: its start is told as -1, which
    is nobody's.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return -1 if fields[0] in "ZX" else int(fields[19])
