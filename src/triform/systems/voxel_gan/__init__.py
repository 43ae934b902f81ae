"""Text to 3D shape by a text-conditioned voxel VAE-GAN.

triform voxel_gan generate --prompt "a round table with four legs" --output table.obj
"""
