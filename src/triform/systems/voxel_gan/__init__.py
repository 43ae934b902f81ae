"""Text to 3D shape by a text-conditioned voxel VAE-GAN (requirements VOX-1 to VOX-11)."""
