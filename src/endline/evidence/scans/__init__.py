"""Scans: reading depth and point clouds, layouts of folders with photographs, and the arrays made of both."""

STATIONS = ("surface_scan",)
