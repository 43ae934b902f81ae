"""Captions of pictures: a sentence about each.

triform captioner train --config scenes
"""
