"""Makes pictures whose styles can be mixed (requirement GAN-2).

triform style_gan mix --output mixed.png
"""
