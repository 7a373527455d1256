"""The registered pipelines."""

from kedro.pipeline import Pipeline

from endline.pipelines import mirror_audio, robot_cycle, surface_image


def register_pipelines() -> dict[str, Pipeline]:
    """Every station under its name; `__default__` is the main job."""
    stations = {
        "mirror_audio": mirror_audio.create_pipeline(),
        "robot_cycle": robot_cycle.create_pipeline(),
        "surface_image": surface_image.create_pipeline(),
    }
    return {**stations, "__default__": stations["mirror_audio"]}
