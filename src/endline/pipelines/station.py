"""The one factory of a station's pipeline, made from its record: raw files -> sample table -> arrays -> detection."""

from typing import Any

from kedro.pipeline import Pipeline, node, pipeline

from endline.evidence.station import Station
from endline.pipelines import detection, station_nodes
from endline.pipelines.bound import bound
from endline.pipelines.choosing import choose


def create_pipeline(station: Station) -> Pipeline:
    """The whole pipeline of a station, under the namespace of its name."""

    def own(function: Any) -> Any:
        return bound(function, station)

    evidence = pipeline(
        [
            node(own(station_nodes.locate), ["params:run", "params:simulation"], "source", name="locate"),
            node(
                own(station_nodes.index),
                ["source", "params:run", "params:split", "params:preparation"],
                ["samples", "rejected", "inputs"],
                name="index",
            ),
            node(station_nodes.look_alikes, "samples", "near_duplicates", name="look_alikes"),
            node(
                own(choose),
                [
                    "samples",
                    "source",
                    "inputs",
                    "params:run",
                    "params:auto",
                    "params:preparation",
                    "params:fit",
                    "params:verdict",
                    "params:detectors",
                ],
                "choice",
                name="choose",
            ),
            node(
                own(station_nodes.prepare),
                ["samples", "source", "inputs", "choice", "params:preparation", "params:detectors"],
                "preparation",
                name="prepare",
            ),
            node(station_nodes.extract, ["samples", "source", "preparation", "params:run"], "features", name="extract"),
            *(
                [
                    node(
                        own(station_nodes.masks),
                        ["part_scores", "source", "preparation", "params:run"],
                        "masks",
                        name="masks",
                    )
                ]
                if station.masks
                else []
            ),
            node(
                own(station_nodes.attribute),
                ["shortlist", "samples", "features", "part_scores", "maps", "source", "preparation"],
                ["attribution", "nearest"],
                name="attribute",
            ),
            node(own(station_nodes.remarks), ["samples", "scores", "preparation"], "remarks", name="remarks"),
            node(
                own(station_nodes.exhibits),
                [
                    "shortlist",
                    "samples",
                    "features",
                    "part_scores",
                    "maps",
                    "source",
                    "attribution",
                    "nearest",
                    "preparation",
                    "remarks",
                ],
                "exhibits",
                name="exhibits",
            ),
            node(
                own(station_nodes.publish),
                [
                    "detectors",
                    "preparation",
                    "calibration",
                    "samples",
                    "features",
                    "held_out",
                    "metrics",
                    "report",
                    "choice",
                    "params:run",
                ],
                "model",
                name="publish",
            ),
        ],
        namespace=station.name,
        parameters={"params:detectors": "params:detectors"},
    )
    return evidence + detection.create_pipeline(
        station.name, title=station.title, evidence=station.evidence, masks=station.masks is not None
    )
