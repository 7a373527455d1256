"""Kedro pipelines: one a station, and the detection pipeline they share."""
