"""Text to 3D shape by rectified flows over local latents of signed distances.

triform shape_flow generate --prompt "a round table with four legs" --output table.glb
"""
