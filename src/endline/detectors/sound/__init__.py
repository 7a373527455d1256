"""Detectors on clips of sound."""
