"""Image generation by a deep convolutional GAN.

triform dcgan generate --num_samples 64 --output generated.png
"""
