"""Cameras, rasteriser, shading and views."""
