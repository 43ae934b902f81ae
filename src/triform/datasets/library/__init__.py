"""The shape library: any meshes as images, cameras, point clouds, voxels and captions."""
