"""Image generation by denoising diffusion.

triform diffusion generate --sampler dpm --steps 20
"""
