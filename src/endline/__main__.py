"""`python -m endline`: the command line, as `kedro` in the project folder."""

import sys
from pathlib import Path

from kedro.framework.cli.cli import KedroCLI
from kedro.framework.project import configure_project


def main() -> None:
    """Run Kedro's command line with this package's commands."""
    configure_project("endline")
    KedroCLI(project_path=Path.cwd())(sys.argv[1:])


if __name__ == "__main__":
    main()
