"""Load a mesh of any format, make it a solid grid of voxels, and save the grid's smooth surface.

python examples/voxelize_a_mesh.py chair.obj chair.glb
"""

import sys

from triform.geometry.io.export import save_mesh
from triform.geometry.io.load import load_mesh
from triform.geometry.voxels.surface import voxels_to_mesh
from triform.geometry.voxels.voxelize import voxelize

source, target = sys.argv[1:]
grid = voxelize(load_mesh(source), 64)  # (64, 64, 64) booleans, +Y up
print(f"{grid.sum()} of {grid.size} voxels are inside")
save_mesh(voxels_to_mesh(grid.astype("float32"), sigma=0.5), target)
