"""Solid voxels: ours against trimesh's `voxelized(pitch).fill()`, in one process.

    python benchmarks/voxelize.py --directory /usr/share/sweethome3d/furniture

First the processor time on real models (any folder that the project can list; without one, or where
it is empty, the project's own parametric furniture), each voxelized by both. Then the truth: solids
whose inside is known exactly, whole and with faces removed, flipped and split. The exact voxels are
those that hold any part of the solid ("touched", what ours promises) or those whose centre is in it
("centre"); the figures are intersections over unions.
"""

import argparse
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import trimesh

from triform.datasets.listing import list_shapes
from triform.datasets.testdataset import write_testdataset
from triform.geometry.mesh import Mesh, normalize
from triform.geometry.voxels.voxelize import voxelize


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--directory", type=Path, default=Path("datasets/sweethome3d"))
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--count", type=int, default=40, help="models, spread over all of them")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds per model for trimesh")
    args = parser.parse_args()
    voxelize(trimesh_to_ours(trimesh.creation.box()), 4, parity=True)  # compiles
    compare_speed(load_sample(args.directory, args.count), args.resolution, args.limit)
    compare_truth(args.resolution)


def load_sample(directory, count):
    if directory.is_dir() and (shapes := list_shapes([directory])):
        print(f"{directory}: {count} of {len(shapes)} models")
        step = max(1, len(shapes) // count)
        return [(shape.object_id, shape.load()) for shape in shapes[::step][:count]]
    print(f"no models in {directory}; using the project's parametric furniture")
    with TemporaryDirectory() as folder:
        write_testdataset(Path(folder), count)
        return [(shape.object_id, shape.load()) for shape in list_shapes([Path(folder)])]


def compare_speed(models, resolution, limit):
    ratios, ours_all, theirs_all = [], [], []
    for name, mesh in models:
        ours = min(seconds(lambda mesh=mesh: voxelize(mesh, resolution)) for _ in range(3))
        theirs = np.nan
        try:
            with at_most(limit):
                theirs = seconds(lambda mesh=mesh: trimesh_voxels(mesh, resolution))
        except (TimeoutError, ValueError, MemoryError) as error:
            print(f"  {name}: trimesh gave up ({type(error).__name__})")
        if not np.isnan(theirs):
            ratios.append(theirs / ours)
            theirs_all.append(theirs)
        ours_all.append(ours)
    print(f"{resolution}^3, {len(models)} models, trimesh finished {len(ratios)}")
    print(
        f"  ours     median {np.median(ours_all) * 1e3:8.1f} ms  max {max(ours_all) * 1e3:.0f} ms"
    )
    print(f"  trimesh  median {np.median(theirs_all) * 1e3:8.1f} ms  (of those it finished)")
    print(
        f"  ratio    median {np.median(ratios):8.0f}  "
        f"(lowest {min(ratios):.0f}, highest {max(ratios):.0f})"
    )


def compare_truth(resolution):
    solids = {
        "ball": (trimesh.creation.icosphere(4), in_ball),
        "torus": (trimesh.creation.torus(1.0, 0.3, 128, 64), in_torus),
        "table": (make_table(), in_table),
    }
    print(f"IoU with the exact solid, {resolution}^3: touched / centre")
    print(f"  {'':29} {'trimesh':>13} {'ours':>14} {'ours, parity':>14}")
    for solid, (mesh, inside) in solids.items():
        mesh = normalize(trimesh_to_ours(mesh))
        touched, centre = exact_voxels(inside, resolution)
        for damage, damaged in damages(mesh):
            row = (
                trimesh_voxels(damaged, resolution),
                voxelize(damaged, resolution),
                voxelize(damaged, resolution, parity=True),
            )
            pairs = [f"{iou(voxels, touched):.3f} / {iou(voxels, centre):.3f}" for voxels in row]
            print(f"  {solid:6} {damage:22} {pairs[0]:>13}  {pairs[1]:>13}  {pairs[2]:>13}")


def exact_voxels(inside, resolution, fine=6):
    """Voxels with any of `fine`^3 points in the solid, and those with the centre in it."""
    low = np.arange(resolution) / resolution - 0.5
    touched = np.zeros((resolution,) * 3, dtype=bool)
    for steps in np.ndindex((fine,) * 3):
        shift = np.array(steps) / (fine - 1) / resolution
        touched |= inside(*np.meshgrid(*(low + s for s in shift), indexing="ij"))
    center = low + 0.5 / resolution
    return touched, inside(*np.meshgrid(center, center, center, indexing="ij"))


def iou(voxels, exact):
    return (voxels & exact).sum() / (voxels | exact).sum()


def damages(mesh):
    random = np.random.default_rng(0)
    faces, count = mesh.faces, len(mesh.faces)
    yield "none", mesh
    for share in (0.01, 0.1):
        mask = random.random(count) >= share
        mask[random.integers(count)] = False
        yield f"{share:.0%} of faces removed", Mesh(mesh.vertices, faces[mask])
    flip = random.random(count) < 0.5
    yield "half flipped", Mesh(mesh.vertices, np.where(flip[:, None], faces[:, ::-1], faces))
    loose = np.arange(faces.size).reshape(-1, 3)
    yield "split into triangles", Mesh(mesh.triangles.reshape(-1, 3), loose)


def trimesh_voxels(mesh, resolution):
    """The usual recipe, as an (R, R, R) grid in our place: trimesh's begins half a voxel early."""
    shape = normalize(mesh)
    plain = trimesh.Trimesh(shape.vertices, shape.faces, process=False)
    pitch = 1 / resolution
    voxels = plain.voxelized(pitch).fill()
    # Each of its cells goes to the voxel of ours that holds the cell's centre.
    points = voxels.points
    at = np.clip(np.floor((points + 0.5) * resolution + 1e-9).astype(int), 0, resolution - 1)
    voxels = np.zeros((resolution,) * 3, dtype=bool)
    voxels[tuple(at.T)] = True
    return voxels


def make_table():
    parts = [trimesh.creation.box(bounds=bounds) for bounds in TABLE]
    return trimesh.util.concatenate([part.subdivide().subdivide() for part in parts])


TABLE = [((0, 0.68, 0), (1, 0.72, 0.6))] + [
    ((x, 0, z), (x + 0.05, 0.68, z + 0.05)) for x in (0.02, 0.93) for z in (0.02, 0.53)
]


def in_table(x, y, z):
    inside = np.zeros(x.shape, dtype=bool)
    for low, high in np.array(TABLE) - (0.5, 0.36, 0.3):
        inside |= (
            (x >= low[0])
            & (x <= high[0])
            & (y >= low[1])
            & (y <= high[1])
            & (z >= low[2])
            & (z <= high[2])
        )
    return inside


def in_ball(x, y, z):
    return x**2 + y**2 + z**2 <= 0.25


def in_torus(x, y, z):
    return np.hypot(np.hypot(x, y) * 2.6 - 1.0, z * 2.6) <= 0.3


def trimesh_to_ours(mesh):
    return Mesh(np.array(mesh.vertices), np.array(mesh.faces))


def seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


@contextmanager
def at_most(limit):
    """Interrupt a call of pure Python and numpy after a time (where the system has alarms)."""

    def stop(*_):
        raise TimeoutError

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()
