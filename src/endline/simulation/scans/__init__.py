"""Simulated pairs of a photograph and a scan."""
