"""Detectors on feature maps, views and images."""
