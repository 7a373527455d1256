"""The overlays of the configuration change settings, never what a name stands for."""

from pathlib import Path

import pytest
import yaml

CONF = Path(__file__).parents[1] / "conf"


@pytest.mark.parametrize("env", ["paper", "smoke"])
def test_a_detector_is_of_one_class_in_every_overlay(env):
    base, overlay = (
        yaml.safe_load((CONF / name / "parameters/detectors.yml").read_text())["detectors"] for name in ("base", env)
    )
    assert {name: entry["type"] for name, entry in overlay.items() if name in base and "type" in entry} == {
        name: base[name]["type"] for name, entry in overlay.items() if name in base and "type" in entry
    }
