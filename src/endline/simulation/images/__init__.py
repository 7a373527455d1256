"""Simulated photographs."""
