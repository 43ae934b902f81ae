"""Image captioning with an LSTM and attention.

triform captioner train --config scenes
"""
