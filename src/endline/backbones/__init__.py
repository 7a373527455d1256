"""Frozen networks and what is made of their maps: feature pyramids, rotated views."""
