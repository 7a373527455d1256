"""Station `surface_image`: photographs of parts."""

from endline.pipelines.surface_image.pipeline import create_pipeline

__all__ = ["create_pipeline"]
