"""Squeezes pictures through a narrow code and back (requirements AE-1, AE-2).

triform autoencoder reconstruct --output again.png
"""
