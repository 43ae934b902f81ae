"""Meshes, voxels, points and pictures of polygon soups: pure functions on arrays, no networks."""
