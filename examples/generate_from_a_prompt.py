"""A sentence becomes a 3D model; a checkpoint of your own may follow.

python examples/generate_from_a_prompt.py "a round table with four legs" table.glb
"""

import sys

from triform.systems.voxel_gan.config import GenerateConfig
from triform.systems.voxel_gan.system import generate

prompt, target, *checkpoint = sys.argv[1:]
settings = GenerateConfig(prompt=prompt, output=target, checkpoint=next(iter(checkpoint), None))
for shape in generate(settings):
    low, high = shape["mesh"].vertices.min(0), shape["mesh"].vertices.max(0)
    print(shape["files"][0], (high - low).round(2), "closed:", shape["watertight"])
