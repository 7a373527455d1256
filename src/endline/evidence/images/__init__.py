"""Photographs: reading them, layouts of folders, masks, and the arrays made of them."""

STATIONS = ("surface_image",)
