"""Detectors on cycles of signals."""
