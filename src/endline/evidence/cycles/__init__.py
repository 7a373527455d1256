"""Cycles of signals: reading them, layouts, resampling, and the arrays made of them."""

STATIONS = ("robot_cycle",)
