"""The detection pipeline: feature set -> detectors -> scores -> metrics and report."""

from kedro.pipeline import Pipeline, node, pipeline

from endline.pipelines.bound import bound
from endline.pipelines.detection import nodes, report_nodes

# What a fit is made of, whether it trains or not.
FITTING = [
    "samples",
    "features",
    "preparation",
    "choice",
    "params:run",
    "params:fit",
    "params:verdict",
    "params:detectors",
]


def create_pipeline(station: str, *, title: str, evidence: str, masks: bool = False) -> Pipeline:
    """Detection under the namespace of a station.

    Args:
        station: its name.
        title: of its reports.
        evidence: what its items are, in the plural.
        masks: whether the station gives `masks`, the defect masks row by row with `part_scores`.

    The station gives `samples`, `rejected`, `near_duplicates`, `inputs`, `choice` (of the detector), `preparation`,
    `features`, and `exhibits` made from `shortlist` and `maps`; its parameters are `params:<station>.run`, `.fit`,
    `.verdict` and `.exhibits`; `params:detectors` is shared.
    """
    return pipeline(
        [
            node(
                nodes.fit,
                FITTING,
                ["detectors", "history", "held_out", "fitting"],
                name="fit",
            ),
            node(
                nodes.score,
                ["samples", "features", "detectors", "params:run", "params:exhibits"],
                ["part_scores", "maps", "scoring"],
                name="score",
            ),
            node(
                nodes.untrained,
                FITTING,
                "untrained",
                name="untrained",
            ),
            node(
                nodes.judge,
                ["samples", "features", "held_out", "part_scores", "params:verdict"],
                ["calibration", "scores"],
                name="judge",
            ),
            node(
                nodes.evaluate,
                [
                    "samples",
                    "features",
                    "part_scores",
                    "maps",
                    "scores",
                    "calibration",
                    "untrained",
                    "fitting",
                    "scoring",
                    "choice",
                    "params:run",
                    *(["masks"] if masks else []),
                ],
                ["metrics", "intervals", "curves", "score_groups"],
                name="evaluate",
            ),
            node(report_nodes.shortlist, ["scores", "calibration", "params:exhibits"], "shortlist", name="shortlist"),
            node(
                report_nodes.explain,
                ["samples", "features", "scores", "detectors", "params:run", "params:exhibits"],
                ["embedding", "importances"],
                name="explain",
            ),
            node(
                report_nodes.figures,
                ["score_groups", "metrics", "curves", "history", "embedding", "importances"],
                "figures",
                name="figures",
            ),
            node(
                bound(report_nodes.report, title=title, evidence=evidence),
                [
                    "metrics",
                    "scores",
                    "intervals",
                    "figures",
                    "embedding",
                    "exhibits",
                    "remarks",
                    "rejected",
                    "near_duplicates",
                    "inputs",
                    "choice",
                    "params:station",
                    "params:detectors",
                ],
                "report",
                name="report",
            ),
        ],
        namespace=station,
        parameters={"params:station": f"params:{station}", "params:detectors": "params:detectors"},
    )
