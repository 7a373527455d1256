"""Where a station's raw files lie: given, found, or simulated."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.progress import Progress

from endline.errors import EndlineError
from endline.evidence.folders import list_folder

log = logging.getLogger(__name__)
SIMULATED = "simulated"
Simulate = Callable[[Path, Callable[[int, int], None]], Path]


def locate_raw(run: Mapping[str, Any], simulate: Simulate) -> dict[str, Any]:
    """Raw folder of the run: `raw`, else that of `ENDLINE_DATA`, else the station's own, else simulated.

    Args:
        run: `raw` (a folder, `simulated` to simulate whatever else there is, or None), `raw_default` (the station's own
            folder), `raw_simulated` (where simulated files go), `data_set` (the station's folder below `ENDLINE_DATA`).
        simulate: fills a folder, given the folder and a progress (done, all).

    Returns:
        `folder` and `simulated`.

    Raises:
        EndlineError: when a folder that was asked for is not there.
    """
    if run["raw"] == SIMULATED:
        return _simulated(run, simulate)
    if run["raw"] is not None:
        return _real(Path(run["raw"]), "--params=raw=...")
    if os.environ.get("ENDLINE_DATA"):
        return _real(Path(os.environ["ENDLINE_DATA"]) / run["data_set"], "ENDLINE_DATA")
    own = Path(run["raw_default"])
    if own.is_dir() and list_folder(own).files:
        return {"folder": str(own), "simulated": False}
    log.warning("No raw files given and none in %s: working on SIMULATED data.", own)
    return _simulated(run, simulate)


def _simulated(run: Mapping[str, Any], simulate: Simulate) -> dict[str, Any]:
    with Progress(transient=True) as bars:
        task = bars.add_task("Simulating", total=None)
        folder = simulate(Path(run["raw_simulated"]), lambda done, all_: bars.update(task, completed=done, total=all_))
    return {"folder": str(folder), "simulated": True}


def _real(folder: Path, origin: str) -> dict[str, Any]:
    if not folder.is_dir():
        raise EndlineError(f"There is no folder {folder} (from {origin}): correct it, or leave it out.")
    # A simulated set that is given by its path stays a simulated set.
    return {"folder": str(folder), "simulated": (folder / "simulation.json").exists()}
