"""The shape library: any meshes as pictures, cameras, point clouds, voxels and captions."""
