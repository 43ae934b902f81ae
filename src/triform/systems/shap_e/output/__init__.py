"""Meshes and images of decoded latents, and their files."""
