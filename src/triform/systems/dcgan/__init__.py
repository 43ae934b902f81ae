"""Makes pictures with a convolutional generator and a discriminator (requirements GAN-1, GAN-3).

triform dcgan generate --num_samples 64 --output made.png
"""
