"""What a run's detector decides of the features: which arrays are made, and of which pyramid."""

from collections.abc import Mapping
from typing import Any

from endline.detectors.base import detector_class

Settings = Mapping[str, Any]


def resolved(settings: Settings, run: Settings, detectors: Mapping[str, Settings]) -> dict[str, Any]:
    """Feature settings with `arrays`, the kinds that the run's detector reads, and its `input_type` for `auto`.

    The detector's settings decide its input type where they name one, else its class does.

    Raises:
        EndlineError: for an unknown detector, before anything is extracted.
    """
    detector = detector_class(run["detector"], detectors)
    preferred = detectors[run["detector"]].get("input_type", detector.input_type)
    input_type = preferred if settings["input_type"] == "auto" else settings["input_type"]
    return {**settings, "input_type": input_type, "arrays": list(detector.inputs)}
