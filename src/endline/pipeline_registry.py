"""The registered pipelines."""

from kedro.pipeline import Pipeline

from endline.evidence.station import find_station, station_names
from endline.pipelines.station import create_pipeline

MAIN = "mirror_audio"


def register_pipelines() -> dict[str, Pipeline]:
    """Every station under its name; `__default__` is the main job."""
    stations = {name: create_pipeline(find_station(name)) for name in station_names()}
    return {**stations, "__default__": stations[MAIN]}
