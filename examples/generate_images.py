"""New images by the diffusion model whose weights ship, saved and at hand as an array.

python examples/generate_images.py bags.png bag 8
"""

import sys
from pathlib import Path

from triform.systems.diffusion.config import GenerateConfig
from triform.systems.diffusion.system import generate

target, label, count = sys.argv[1:]
settings = GenerateConfig(labels=(label,), num_samples=int(count), output=Path(target), steps=10)
pixels = generate(settings)["pixels"]  # (N, C, H, W) uint8
print(f"{target}: {len(pixels)} images of {pixels.shape[2:]}, mean {pixels.mean():.0f}")
