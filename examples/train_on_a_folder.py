"""Train on a folder of meshes; a preset and flags may follow, as on the command line.

python examples/train_on_a_folder.py path/to/meshes --config tiny --epochs 3
"""

import sys
from pathlib import Path

from triform.base.settings.config import parse
from triform.engine.verbs import train
from triform.systems.voxel_gan import system
from triform.systems.voxel_gan.config import Config

folder, *flags = sys.argv[1:]
presets = Path(system.__file__).parent / "presets"
result = train(system.System, parse(Config, ["--dataset", folder, *flags], presets))
print(f"{result['run']}: held-out IoU {result['val/iou']:.3f}")
