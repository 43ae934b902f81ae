"""Signed distances with colours: ours, exact, against the distance transform of finer voxels.

    python benchmarks/signed_distance.py --directory /usr/share/sweethome3d/furniture

The baseline voxelizes at three times the resolution, fills, and takes the difference of the
distance transforms of both sides at the centres of voxels, as `scipy.ndimage` has it: the way that
needs no distance to a triangle. Processor time of each, and the error of the baseline in voxels
where the exact distance is not cut off. Parametric furniture is measured as well.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from triform.datasets.distances import block_colors
from triform.datasets.listing import list_shapes
from triform.datasets.parametric_dataset import generate_varied_object
from triform.geometry.voxels.signed_distance import TRUNCATION, signed_distance
from triform.geometry.voxels.small_triangles import FINE
from triform.geometry.voxels.voxelize import voxelize


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--directory", type=Path, default=Path("datasets/sweethome3d"))
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--count", type=int, default=20, help="models of each kind")
    args = parser.parse_args()
    kinds = {"parametric": [generate_varied_object(7 * n).mesh for n in range(args.count)]}
    if args.directory.is_dir() and (shapes := list_shapes([args.directory])):
        step = max(1, len(shapes) // args.count)
        kinds["real"] = [shape.load() for shape in shapes[::step][: args.count]]
    block_colors(signed_distance(kinds["parametric"][0], args.resolution, colors=True))  # compiles
    for kind, meshes in kinds.items():
        compare(kind, meshes, args.resolution)


def compare(kind, meshes, resolution):
    ours, theirs, errors = [], [], []
    for mesh in meshes:
        start = time.process_time()
        field = signed_distance(mesh, resolution, colors=True, keep_thin=True)
        block_colors(field)
        ours.append(time.process_time() - start)
        start = time.process_time()
        approximate = transform_distance(mesh, resolution)
        theirs.append(time.process_time() - start)
        exact = signed_distance(mesh, resolution, keep_thin=False).distance
        near = np.abs(exact) < TRUNCATION
        errors.append(np.abs(approximate - exact)[near].mean())
    print(f"{kind}: {resolution}^3, {len(meshes)} models, processor time")
    for name, times in (("ours, with colours", ours), ("distance transform, without", theirs)):
        print(
            f"  {name:28} mean {np.mean(times):.3f} s  median {np.median(times):.3f} s  "
            f"max {max(times):.3f} s"
        )
    ratio = np.median(np.array(theirs) / np.array(ours))
    print(f"  ratio: median {ratio:.2f}; error of the transform {np.mean(errors):.2f} voxels")


def transform_distance(mesh, resolution):
    solid = voxelize(mesh, FINE * resolution)
    distance = distance_transform_edt(~solid) - distance_transform_edt(solid)
    center = slice(FINE // 2, None, FINE)
    return np.clip(distance[center, center, center] / FINE, -TRUNCATION, TRUNCATION)


if __name__ == "__main__":
    main()
