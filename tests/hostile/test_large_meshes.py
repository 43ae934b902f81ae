"""Meshes of millions of faces: used within three gigabytes, or refused with a reason."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BIG = """
import resource, sys
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import MeshError
from triform.geometry.sampling.surface_points import sample_surface
from triform.geometry.voxels.voxelize import voxelize
try:
    mesh = load_mesh(sys.argv[1], appearance=True)
except MeshError as error:
    print("refused", error)
else:
    print("faces", len(mesh.faces))
    assert len(sample_surface(mesh, 16384, 0, spacing="farthest").points) == 16384
    assert voxelize(mesh, 64).any()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["ply", "stl", "obj", "off", "wrl", "text.stl"])
def test_two_and_a_half_million_faces_fit_into_three_gigabytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"wave.{suffix}"
    count = write_wave(path, 1119)
    answer = subprocess.run(
        [sys.executable, "-c", BIG, str(path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    output, memory = answer.stdout.splitlines()
    assert int(memory) < 3 * 2**30
    if suffix == "text.stl":  # 700 MB of words
        assert output.startswith("refused") and "too much memory" in output
    else:
        assert output == f"faces {count}" and count > 2_490_000


def write_wave(path: Path, side: int) -> int:
    """Write a wavy sheet of `side` x `side` vertices; returns the number of faces."""
    x, z = np.meshgrid(*[np.linspace(0, 1, side)] * 2, indexing="ij")
    vertices = np.stack([x, 0.1 * np.sin(20 * x) * np.cos(15 * z), z], -1).reshape(-1, 3)
    at = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    if path.name.endswith(".text.stl"):
        with path.open("w") as file:
            file.write("solid wave\n")
            for triangle in vertices[faces].tolist():
                rows = "".join(f"vertex {x:.6e} {y:.6e} {z:.6e}\n" for x, y, z in triangle)
                file.write(f"facet normal 0 0 0\nouter loop\n{rows}endloop\nendfacet\n")
    elif path.suffix == ".stl":
        row = np.zeros(
            len(faces), dtype=[("normal", "<f4", 3), ("at", "<f4", (3, 3)), ("n", "<u2")]
        )
        row["at"] = vertices[faces]
        path.write_bytes(bytes(80) + np.uint32(len(faces)).tobytes() + row.tobytes())
    elif path.suffix == ".ply":
        head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
        head += "property float x\nproperty float y\nproperty float z\n"
        head += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
        row = np.zeros(len(faces), dtype=[("count", "u1"), ("at", "<i4", 3)])
        row["count"], row["at"] = 3, faces
        path.write_bytes(head.encode() + vertices.astype("<f4").tobytes() + row.tobytes())
    else:
        counts = f"OFF\n{len(vertices)} {len(faces)} 0\n"
        before, of_vertex, between, of_face, after, first = {
            ".obj": ("", "v {} {} {}\n", "", "f {} {} {}\n", "", 1),
            ".off": (counts, "{} {} {}\n", "", "3 {} {} {}\n", "", 0),
            ".wrl": (
                "#VRML V2.0 utf8\nShape { geometry IndexedFaceSet { coord Coordinate { point [\n",
                "{} {} {},\n",
                "] } coordIndex [",
                "{} {} {} -1\n",
                "] } }\n",
                0,
            ),
        }[path.suffix]
        with path.open("w") as file:
            file.write(before)
            file.writelines(of_vertex.format(*row) for row in vertices.round(6).tolist())
            file.write(between)
            file.writelines(of_face.format(*row) for row in (faces + first).tolist())
            file.write(after)
    return len(faces)
