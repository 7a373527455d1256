"""Pipeline `robot_cycle`: cycles -> sample table -> feature set -> detection -> report."""

from kedro.pipeline import Pipeline, node, pipeline

from endline.pipelines import detection
from endline.pipelines.robot_cycle import nodes

STATION = "robot_cycle"


def create_pipeline() -> Pipeline:
    """The whole station."""
    cycles = pipeline(
        [
            node(nodes.locate, ["params:run", "params:simulation"], "source", name="locate"),
            node(
                nodes.index,
                ["source", "params:run", "params:cycles", "params:formats", "params:split", "params:detectors"],
                ["samples", "rejected", "inputs", "cycling"],
                name="index",
            ),
            node(nodes.features, ["samples", "source", "cycling"], "features", name="features"),
            node(
                nodes.attribution,
                ["shortlist", "part_scores", "maps", "samples", "features", "cycling"],
                ["attribution", "nearest"],
                name="attribution",
            ),
            node(
                nodes.exhibits,
                ["shortlist", "part_scores", "maps", "attribution", "nearest", "samples", "features", "cycling"],
                "exhibits",
                name="exhibits",
            ),
        ],
        namespace=STATION,
        parameters={"params:detectors": "params:detectors"},
    )
    return cycles + detection.create_pipeline(STATION)
