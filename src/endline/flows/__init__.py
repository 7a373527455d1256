"""Invertible layers and flows."""
