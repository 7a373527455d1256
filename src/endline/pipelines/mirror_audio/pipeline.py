"""Pipeline `mirror_audio`: wav files -> sample table -> feature set -> detection -> report."""

from kedro.pipeline import Pipeline, node, pipeline

from endline.pipelines import detection
from endline.pipelines.mirror_audio import nodes

STATION = "mirror_audio"


def create_pipeline() -> Pipeline:
    """The whole station."""
    sound = pipeline(
        [
            node(nodes.locate, ["params:run", "params:simulation"], "source", name="locate"),
            node(
                nodes.index,
                ["source", "params:run", "params:split"],
                ["samples", "rejected", "inputs"],
                name="index",
            ),
            node(
                nodes.noise_floor,
                ["samples", "source", "params:sound", "params:run", "params:detectors"],
                "noise_floor",
                name="noise_floor",
            ),
            node(nodes.features, ["samples", "source", "noise_floor"], "features", name="features"),
            node(detection.nodes.attribution, ["part_scores", "maps"], "attribution", name="attribution"),
            node(
                nodes.exhibits,
                ["shortlist", "samples", "part_scores", "maps", "attribution", "source", "noise_floor"],
                "exhibits",
                name="exhibits",
            ),
        ],
        namespace=STATION,
        parameters={"params:detectors": "params:detectors"},
    )
    return sound + detection.create_pipeline(STATION)
