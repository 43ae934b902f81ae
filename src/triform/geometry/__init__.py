"""Meshes, voxels, points and images of polygon soups: pure functions on arrays, no networks."""
