"""Detectors: one file a method, one contract."""
