"""Kedro's settings of the project."""

from pathlib import Path

from kedro.config import OmegaConfigLoader
from kedro.utils import find_kedro_project

from endline.hooks.housekeeping import Housekeeping
from endline.hooks.options import Options
from endline.hooks.registering import Registering
from endline.hooks.tracking import Tracking
from endline.versions import RunVersion


def in_project(path: str) -> str:
    """Absolute path of something in the project, from whatever folder of it a command was called."""
    return str((find_kedro_project(Path.cwd()) or Path.cwd()) / path)


HOOKS = (Options(), Housekeeping(), Tracking(), Registering())
SESSION_STORE_CLASS = RunVersion
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "base",
    # An overlay (smoke, paper) holds only what differs from base.
    "merge_strategy": {"parameters": "soft", "sweeps": "soft", "promotion": "soft", "schedule": "soft"},
    "custom_resolvers": {"in_project": in_project},
    "config_patterns": {
        "parameters": ["parameters*", "parameters*/**", "**/parameters*"],
        "sweeps": ["sweeps*"],
        "promotion": ["promotion*"],
        "schedule": ["schedule*"],
        "mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"],  # as kedro-mlflow has it, to read its address before it does
    },
}
