"""Metrics, thresholds, controls."""
