"""Where a run comes from: code, versions, machine, input files."""

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions, version
from typing import Any

KEY_PACKAGES = (
    "endline",
    "kedro",
    "mlflow",
    "torch",
    "torchvision",
    "onnxruntime",
    "numpy",
    "pandas",
    "scikit-learn",
)


def provenance(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader needs to repeat the run.

    Args:
        inputs: `folder` and `digests` (file -> SHA-256) of the raw files.

    Example:
        >>> provenance({"folder": "raw", "digests": {"a.wav": "e3b0c442"}})["input files"]
        1
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "git commit": git_commit(),
        "data folder": inputs["folder"],
        "input files": len(inputs["digests"]),
        "MLflow run": active_run_id(),
        "machine": machine(),
        "versions": {name: version(name) for name in KEY_PACKAGES},
    }


def machine() -> str:
    """Processor and cores in words."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


@cache
def git_commit() -> str:
    """Commit of the code, with `+changes` where files differ from it; `unknown` outside a checkout.

    The folder of measured tables does not count: a sweep that goes on has changed its own.
    """
    changed = ("status", "--porcelain", "--untracked-files=no", "--", ":(top)", ":(top,exclude)benchmarks/results")
    try:
        answers = [
            subprocess.run(["git", *words], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
            for words in (("rev-parse", "HEAD"), changed)
        ]
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answers[0] + ("+changes" if answers[1] else "")


@cache
def package_versions() -> dict[str, str]:
    """Version of every installed package."""
    return dict(sorted((item.metadata["Name"], item.version) for item in distributions() if item.metadata["Name"]))


def active_run_id() -> str | None:
    """Id of the MLflow run that is being recorded, or None."""
    import mlflow  # takes a second to import: only where a run is recorded

    run = mlflow.active_run()
    return None if run is None else str(run.info.run_id)
