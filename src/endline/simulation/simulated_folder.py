"""How every simulation writes its folder: whole or not at all, and never over files that are not its own."""

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from endline.errors import EndlineError
from endline.files import clear_partials, locked, partial_name, remove

MARKER = "simulation.json"
log = logging.getLogger(__name__)
_read: dict[Path, ExitStack] | None = None  # sets that the run in this process reads, each with its lock


@contextmanager
def reading() -> Iterator[None]:
    """Keep every set that is filled, or found filled, in here from being replaced by other processes until the end."""
    global _read
    _read, before = {}, _read
    try:
        yield
    finally:
        for held in _read.values():
            held.close()
        _read = before


def check_least(simulation: object, **least: float) -> None:
    """Refuse settings of a simulation below their least values, or NaN.

    Args:
        simulation: the settings.
        least: smallest value of each attribute that has one.

    Raises:
        EndlineError: naming the first such attribute, its value and the bound.

    Example:
        >>> from types import SimpleNamespace
        >>> check_least(SimpleNamespace(faulty=3), faulty=0)
    """
    for name, bound in least.items():
        value = getattr(simulation, name)
        if not value >= bound:  # also refuses NaN
            raise EndlineError(f"The simulation's {name} is {value}; give at least {bound}.")


@dataclass(frozen=True)
class SimulatedFolder:
    """What a simulated set is: enough to tell whether a folder holds it, and whether it may be replaced.

    Attributes:
        contents: what the files are, in the user's words: "recordings".
        note: one line on the simulation, written into `simulation.json`.
        recipe: number of the recipe; another number makes the same settings another set.
        settings: the simulation's settings, plain JSON values.
        files: every file of the set, POSIX paths relative to the folder, without `simulation.json`.
        pattern: regular expression that matches the whole path of any file that this simulation may have
            written, under any settings.
        megabytes: room that the set needs on the disk.
        details: further entries of `simulation.json`, plain JSON values: what is known of the files beyond their names.

    Example:
        >>> SimulatedFolder("photographs", "Simulated.", 1, {"seed": 0}, ("a.png",), r".*[.]png", 1).contents
        'photographs'
    """

    contents: str
    note: str
    recipe: int
    settings: Mapping[str, Any]
    files: tuple[str, ...]
    pattern: str
    megabytes: int
    details: Mapping[str, Any] = field(default_factory=dict)

    def fill(self, folder: Path, write: Callable[[Path], None]) -> Path:
        """Make `folder` hold the set and return it; a complete set of the same settings is left alone.

        The set is written beside `folder` and moved there when it is complete, so that a killed simulation
        leaves nothing that is ever read. Of several processes that want the same set one writes it, and the others
        wait. A simulated set of other settings is replaced when no run reads it any more (`reading`), since its own
        settings bring it back; a folder with any other file is never touched.

        Args:
            folder: where the set shall lie; its parents are made.
            write: writes `files`, and the folders that they lie in, into the empty folder that it is given.

        Raises:
            EndlineError: `folder` holds files that no simulation wrote, or the disk cannot be written.
        """
        if _read is None:
            if not self.is_complete(folder):
                self._fill_alone(folder, write)
            return folder
        place = folder.absolute()
        if place in _read:
            _read.pop(place).close()
        if not os.access(folder.parent, os.W_OK) and self.is_complete(folder):
            return folder  # nobody can replace it
        while True:
            with ExitStack() as held:
                held.enter_context(locked(_lock(folder), shared=True))
                if self.is_complete(folder):
                    _read[place] = held.pop_all()
                    return folder
            self._fill_alone(folder, write)

    def _fill_alone(self, folder: Path, write: Callable[[Path], None]) -> None:
        """Write the set while no other process reads or writes the folder, unless one has just written it."""
        self._refuse_foreign_files(folder)
        with ExitStack() as held:
            try:
                held.enter_context(locked(_lock(folder), "busy"))
            except EndlineError:
                log.info("Another run reads or writes the simulated %s in %s: waiting for it.", self.contents, folder)
                held.enter_context(locked(_lock(folder)))
            if self.is_complete(folder):
                return
            self._refuse_foreign_files(folder)
            try:
                self._write_beside(folder, write)
            except OSError as error:
                raise EndlineError(
                    f"The simulated {self.contents} cannot be written to {folder} ({error}); "
                    f"make the folder writable and free {self.megabytes} MB, or give another folder."
                ) from error

    def is_complete(self, folder: Path) -> bool:
        """Tell whether `folder` holds the whole set of these settings, made by this recipe, and no file more of it."""
        try:
            content = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        known = isinstance(content, dict) and content.get("recipe") == self.recipe
        same = known and content.get("settings") == dict(self.settings)
        return same and {name for name in _files(folder) if re.fullmatch(self.pattern, name)} == set(self.files)

    def _write_beside(self, folder: Path, write: Callable[[Path], None]) -> None:
        """Write the set to a hidden folder beside `folder`, then move it there; remove what dead processes left."""
        clear_partials(folder.parent)
        beside = partial_name(folder)
        try:
            beside.mkdir(parents=True)
            write(beside)
            (beside / MARKER).write_text(self._description(), encoding="utf-8")
            if folder.exists():
                old = beside / "replaced"  # goes with the hidden folder, should the next line not be reached
                folder.rename(old)
                remove(old)
            beside.replace(folder)
        finally:
            remove(beside)

    def _description(self) -> str:
        made_by = {"recipe": self.recipe, "endline": version("endline"), "settings": dict(self.settings)}
        return json.dumps({"simulated": True, "note": self.note, **made_by, **self.details}, indent=2) + "\n"

    def _refuse_foreign_files(self, folder: Path) -> None:
        """Raise unless everything in `folder` was written by this simulation, and so can be made again."""
        if not folder.exists():
            return
        if not folder.is_dir():
            raise EndlineError(f"{folder} is a file; give a folder for the simulated {self.contents}.")
        files = _files(folder)
        marked = MARKER in files
        for name in files:
            if not (marked and (name == MARKER or re.fullmatch(self.pattern, name))):
                raise EndlineError(
                    f"{folder} holds {name}, which no simulation wrote, and is left as it is; "
                    f"give another folder for the simulated {self.contents}, or move this file away."
                )


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _lock(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.lock"
