"""Image generation by a variational autoencoder, with interpolation.

triform vae interpolate --output interpolation.png
"""
