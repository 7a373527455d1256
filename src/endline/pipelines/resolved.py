"""What a run's detector decides of the features: which arrays are made, and of which pyramid."""

from collections.abc import Mapping
from typing import Any

from endline.detectors.registry import build_detector

Settings = Mapping[str, Any]


def resolved(settings: Settings, run: Settings, detectors: Mapping[str, Settings]) -> dict[str, Any]:
    """Feature settings with `arrays`, those that the run's detector reads, and its `input_type` for `auto`.

    The detector decides both, by its settings where they name an input type, else by its class.

    Raises:
        EndlineError: for an unknown detector, before anything is extracted.
    """
    detector = build_detector(run["detector"], detectors)
    input_type = detector.input_type if settings["input_type"] == "auto" else settings["input_type"]
    return {**settings, "input_type": input_type, "arrays": list(detector.required)}
