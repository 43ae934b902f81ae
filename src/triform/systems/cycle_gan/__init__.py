"""Unpaired image-to-image translation.

triform cycle_gan translate --images photo.png --direction a2b --output translated
"""
