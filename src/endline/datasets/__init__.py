"""Kedro datasets for formats that Kedro lacks."""
