"""Meshes to voxels, and voxels to closed meshes."""
