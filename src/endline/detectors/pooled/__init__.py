"""Detectors on globally pooled features."""
