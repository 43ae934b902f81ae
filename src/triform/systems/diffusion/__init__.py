"""Makes pictures out of noise, step by step (requirements DIF-1, DIF-2).

triform diffusion generate --sampler dpm --steps 20
"""
