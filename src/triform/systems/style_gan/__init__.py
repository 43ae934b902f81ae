"""Image generation by a style-based GAN, with style mixing.

triform style_gan mix --output mixed.png
"""
