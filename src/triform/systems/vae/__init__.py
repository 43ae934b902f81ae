"""Makes pictures from a smooth space of codes (requirements VAE-1, VAE-2).

triform vae interpolate --output between.png
"""
