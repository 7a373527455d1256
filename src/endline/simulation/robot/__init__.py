"""Simulated cycles of a robot cell."""
