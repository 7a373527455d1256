"""Kedro's settings of the project."""

from kedro.config import OmegaConfigLoader

from endline.hooks import Housekeeping, Options, Tracking

HOOKS = (Options(), Housekeeping(), Tracking())
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "base",
    "merge_strategy": {"parameters": "soft"},  # an overlay (smoke, paper) holds only what differs from base
    "config_patterns": {
        "parameters": ["parameters*", "parameters*/**", "**/parameters*"],
        "sweeps": ["sweeps*"],
    },
}
