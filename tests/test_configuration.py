"""The overlays of the configuration change settings, never what a name stands for."""

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from kedro.framework.project import configure_project, pipelines
from kedro_viz.services.layers import sort_layers

from endline.evidence.station import station_names
from endline.operations.scheduling.tasks import layers_of

configure_project("endline")
CONF = Path(__file__).parents[1] / "conf"


@pytest.mark.parametrize("env", ["paper", "smoke"])
def test_a_detector_is_of_one_class_in_every_overlay(env):
    base, overlay = (
        yaml.safe_load((CONF / name / "parameters/detectors.yml").read_text())["detectors"] for name in ("base", env)
    )
    assert {name: entry["type"] for name, entry in overlay.items() if name in base and "type" in entry} == {
        name: base[name]["type"] for name, entry in overlay.items() if name in base and "type" in entry
    }


@pytest.mark.parametrize("station", sorted(station_names()))
def test_kedro_viz_can_draw_the_layers_of_the_catalog(station):
    """It draws none where a layer comes both before and behind another one, and says so in a log alone."""
    pipeline = pipelines[station]
    entries = yaml.safe_load((CONF / "base/catalog.yml").read_text())
    layers = {name: SimpleNamespace(layer=layer) for name, layer in layers_of(entries, station).items()}
    made = pipeline.datasets() & layers.keys()
    assert made == layers.keys() - unused(station)
    nodes = {node.name: SimpleNamespace() for node in pipeline.nodes} | {name: layers[name] for name in made}
    behind = defaultdict(set)
    for node in pipeline.nodes:
        behind[node.name].update(node.outputs)
        for name in node.inputs:
            behind[name].add(node.name)
    order = sort_layers(nodes, behind)
    shown = [layer for layer in order if layer in {each.layer for each in layers.values()}]
    assert shown == ["raw", "intermediate", "primary", "feature", "models", "model_output", "reporting", "published"]


def unused(station):
    """What the catalog has for all stations and this one does not make."""
    return {f"{station}.{name}" for name in ("maps", "masks", "untrained")} - pipelines[station].datasets()
