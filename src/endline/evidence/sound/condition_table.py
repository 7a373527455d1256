"""Tables of working conditions beside clips, `attributes_00.csv` of DCASE task 2."""

import re
from pathlib import Path

import pandas as pd

from endline.errors import EndlineError
from endline.evidence.sound.clip_names import NO_ATTRIBUTE
from endline.evidence.tables import read_own_table

PATTERN = "attributes_*.csv"


def read_conditions(folder: Path) -> dict[tuple[str, str], str]:
    r"""Working conditions, as `vel_6_loc_A`, by the folder that a table lies in (a machine) and the name of a file.

    Tables are looked for at any depth. One has `file_name` and pairs of columns `d1p, d1v, d2p, d2v, ...`: parameter
    and value.

    Raises:
        EndlineError: when a table cannot be read or has no column `file_name`.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "attributes_00.csv").write_text("file_name,d1p,d1v\nfan/train/a.wav,vel,6\n")
        >>> read_conditions(folder)
        {('...', 'a.wav'): 'vel_6'}
    """
    found: dict[tuple[str, str], str] = {}
    for path in sorted(folder.rglob(PATTERN)):
        table = read_own_table(path)
        if "file_name" not in table:
            raise EndlineError(f"{path} has no column 'file_name': give it, and pairs d1p, d1v of parameter and value.")
        pairs = sorted(int(match[1]) for name in table if (match := re.fullmatch(r"d(\d+)p", str(name))))
        for row in table.to_dict("records"):
            conditions = "_".join(filter(None, (_pair(pd.Series(row), number) for number in pairs)))
            if conditions:
                found[path.resolve().parent.name, Path(str(row["file_name"])).name] = conditions
    return found


def contradiction(of_name: str | None, of_table: str | None) -> str | None:
    """What name and table say differently of a clip's conditions, as a reason to leave it out; None where they agree.

    Example:
        >>> contradiction("vel_6", "vel_6"), contradiction(None, "vel_6")
        (None, None)
        >>> contradiction("vel_6", "vel_8")
        'its name tells the conditions vel_6, and the table of attributes vel_8'
    """
    if of_name is None or of_table is None or _pieces(of_name) == _pieces(of_table):
        return None
    return f"its name tells the conditions {of_name}, and the table of attributes {of_table}"


def _pair(row: "pd.Series[str]", number: int) -> str:
    parameter, value = (str(row.get(f"d{number}{which}", "") or "").strip() for which in "pv")
    nothing = not parameter or parameter == NO_ATTRIBUTE or parameter.lower() == "nan"
    return "" if nothing else f"{parameter}_{value}".rstrip("_")


def _pieces(conditions: str) -> list[str]:
    return [piece.casefold() for piece in re.split(r"[_\s]+", conditions) if piece]
