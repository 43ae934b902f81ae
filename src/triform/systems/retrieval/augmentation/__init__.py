"""Augmentation of images: backgrounds, degradations, framing."""
