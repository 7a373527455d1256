"""Pipeline `surface_image`: photographs -> sample table -> feature set -> detection -> report."""

from kedro.pipeline import Pipeline, node, pipeline

from endline.pipelines import detection
from endline.pipelines.surface_image import nodes

STATION = "surface_image"


def create_pipeline() -> Pipeline:
    """The whole station."""
    images = pipeline(
        [
            node(nodes.locate, ["params:run", "params:simulation"], "source", name="locate"),
            node(
                nodes.index,
                ["source", "params:run", "params:split"],
                ["samples", "rejected", "inputs"],
                name="index",
            ),
            node(nodes.imaging, ["params:images", "params:run", "params:detectors"], "imaging", name="imaging"),
            node(nodes.features, ["samples", "source", "imaging"], "features", name="features"),
            node(nodes.masks, ["part_scores", "source"], "masks", name="masks"),
            node(detection.nodes.attribution, ["part_scores", "maps"], "attribution", name="attribution"),
            node(
                nodes.exhibits,
                ["shortlist", "part_scores", "maps", "attribution", "source"],
                "exhibits",
                name="exhibits",
            ),
        ],
        namespace=STATION,
        parameters={"params:detectors": "params:detectors"},
    )
    return images + detection.create_pipeline(STATION, masks=True)
