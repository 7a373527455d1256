"""The right half of the house: from any feature set to verdicts and a report. It knows no station."""

from endline.pipelines.detection.pipeline import create_pipeline

__all__ = ["create_pipeline"]
