"""Image autoencoder: plain, denoising or sparse.

triform autoencoder reconstruct --output reconstructions.png
"""
