"""Station `mirror_audio`: recordings of one fold and one unfold of a mirror motor."""

from endline.pipelines.mirror_audio.pipeline import create_pipeline

__all__ = ["create_pipeline"]
