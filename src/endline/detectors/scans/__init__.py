"""Detectors on scans: depth, point feature histograms, or both beside a photograph."""
