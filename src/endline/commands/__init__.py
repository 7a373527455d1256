"""The commands of endline, as `endline ...` or `kedro ...`, with errors in plain words.

`endline` starts seconds sooner, for Kedro imports all plugins before a command. What a command needs is imported in it.
"""

from endline.commands import judging, models, runs
from endline.commands.shared import check_env, cli, plain_errors, project_folder

__all__ = ["check_env", "cli", "judging", "models", "plain_errors", "project_folder", "runs"]
