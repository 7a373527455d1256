"""Station `robot_cycle`: cycles of many signals, of a robot or another machine."""

from endline.pipelines.robot_cycle.pipeline import create_pipeline

__all__ = ["create_pipeline"]
