"""Making of shape libraries from meshes."""
