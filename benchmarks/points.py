"""Points on surfaces: ours against the usual ways, in one process.

    python benchmarks/points.py

First farthest points of a cloud: ours (exact) against the definition written in numpy and in torch,
which everybody copies; all three choose the same points. Then points of meshes: ours in each
spacing against trimesh's two samplers and against trimesh with the farthest points in numpy, with
the processor time, the spread of the distance to the nearest neighbour (standard deviation over
mean; the lower, the more even), the closest pair over the mean, and the largest hole in units of
the best possible on a plane. The first run compiles; it is not timed.
"""

import argparse
import time

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree

from triform.geometry.mesh import Mesh
from triform.geometry.sampling.farthest import farthest_point_sample
from triform.geometry.sampling.surface_points import sample_surface


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--candidates", type=int, default=65_536)
    parser.add_argument("--points", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=3, help="the fastest of so many counts")
    args = parser.parse_args()
    torch.set_num_threads(1)
    compare_farthest(args.candidates, args.points, args.rounds)
    compare_samplers(args.points, args.rounds)


def compare_farthest(num_candidates, count, rounds):
    points_tensor = np.random.default_rng(0).normal(size=(num_candidates, 3))
    farthest_point_sample(points_tensor[:100], 10)  # compiles
    ways = {"ours": farthest_point_sample, "numpy": farthest_numpy, "torch": farthest_torch}
    print(f"farthest points, {num_candidates} -> {count}, one core")
    times, answers = {}, {}
    for name, way in ways.items():
        tries = [timed(way, points_tensor, count) for _ in range(rounds if name == "ours" else 1)]
        times[name], answers[name] = min(seconds for seconds, _ in tries), tries[0][1]
        same = np.array_equal(answers[name], answers["ours"])
        print(
            f"  {name:6} {times[name] * 1e3:10.1f} ms  "
            f"{times[name] / times['ours']:7.1f} x ours  same points: {'yes' if same else 'no'}"
        )


def compare_samplers(count, rounds):
    ways = {
        "ours, stratified": lambda mesh: sample_surface(mesh, count, 0).points,
        "ours, farthest": lambda mesh: sample_surface(mesh, count, 0, spacing="farthest").points,
        "ours, poisson": lambda mesh: sample_surface(mesh, count, 0, spacing="poisson").points,
        "trimesh": lambda mesh: trimesh.sample.sample_surface(plain(mesh), count, seed=0)[0],
        "trimesh, even": lambda mesh: trimesh.sample.sample_surface_even(
            plain(mesh), count, seed=0
        )[0],
        "trimesh + numpy farthest": lambda mesh: trimesh_farthest(mesh, count),
    }
    meshes = {
        "ball": trimesh.creation.icosphere(5),
        "torus": trimesh.creation.torus(1.0, 0.3, 128, 64),
    }
    for name, made in meshes.items():
        mesh = Mesh(np.array(made.vertices), np.array(made.faces))
        dense = sample_surface(mesh, 20 * count, 1).points
        ideal = np.sqrt(mesh.area / count * 2 / (3 * np.sqrt(3)))
        print(f"{count} points on a {name} of {len(mesh.faces)} faces, one core")
        print(f"  {'':26} {'ms':>9} {'spread':>8} {'closest':>8} {'hole':>6} {'points':>8}")
        for way, draw in ways.items():
            if not way.endswith("numpy farthest"):
                draw(mesh)  # compiles
            tries = [timed(draw, mesh) for _ in range(1 if "numpy" in way else rounds)]
            points = tries[0][1]
            near = cKDTree(points).query(points, k=2)[0][:, 1]
            hole = cKDTree(points).query(dense)[0].max() / ideal
            print(
                f"  {way:26} {min(tries)[0] * 1e3:9.1f} {near.std() / near.mean():8.3f} "
                f"{near.min() / near.mean():8.3f} {hole:6.2f} {len(points):8}"
            )


def timed(call, *arguments):
    start = time.process_time()
    result = call(*arguments)
    return time.process_time() - start, np.asarray(result)


def plain(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def trimesh_farthest(mesh, count):
    candidates = trimesh.sample.sample_surface(plain(mesh), 4 * count, seed=0)[0]
    return candidates[farthest_numpy(candidates, count)]


def farthest_numpy(points, count):
    nearest = np.full(len(points), np.inf)
    selected = np.zeros(count, dtype=np.int64)
    for k in range(1, count):
        x, y, z = (points - points[selected[k - 1]]).T
        nearest = np.minimum(nearest, x * x + y * y + z * z)
        selected[k] = nearest.argmax()
    return selected


def farthest_torch(points, count):
    points_tensor = torch.from_numpy(points)
    nearest = torch.full((len(points_tensor),), torch.inf, dtype=points_tensor.dtype)
    selected = torch.zeros(count, dtype=torch.int64)
    for k in range(1, count):
        x, y, z = (points_tensor - points_tensor[selected[k - 1]]).unbind(1)
        nearest = torch.minimum(nearest, x * x + y * y + z * z)
        selected[k] = nearest.argmax()
    return selected


if __name__ == "__main__":
    main()
