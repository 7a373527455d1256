"""What tests of detectors share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from endline.detectors.base import build_detector

PAPER = Path(__file__).parents[2] / "conf" / "paper" / "parameters" / "detectors.yml"


@pytest.fixture(scope="session")
def published() -> Callable[[str], Any]:
    """Makes the detector of a name with its settings in conf/paper."""
    settings = yaml.safe_load(PAPER.read_text())["detectors"]
    return lambda name: build_detector(name, settings)
