"""Translates pictures between two kinds without a single pair (requirements CYC-1, CYC-2).

triform cycle_gan translate --pictures photo.png --direction a2b --output translated
"""
