"""Text to image: CLIP text embedding, a prior over the latents of a VAE, and a GAN that refines.

triform text_to_image generate --prompt "a red apple" --output images.png
"""
