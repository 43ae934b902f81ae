"""Solids whose exact extent is known, and the folder from which tests import what they share."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from triform.geometry.mesh import Mesh

sys.path.insert(0, str(Path(__file__).parent))

# Corners of the unit cube in the order of three bits x, y, z, and its twelve faces, outward.
CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
CUBE_FACES = np.array([t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))])


def box(low, high) -> Mesh:
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    return Mesh(low + CORNERS * (high - low), CUBE_FACES)


def join(*meshes: Mesh) -> Mesh:
    ends = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    faces = [mesh.faces + start for mesh, start in zip(meshes, ends, strict=False)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


def sphere(radius: float = 1.0, rings: int = 48) -> Mesh:
    """A ball of `rings` x 2 `rings` quads; its vertices lie on the sphere."""
    theta = np.linspace(0, np.pi, rings + 1)
    return _revolve(radius * np.sin(theta), radius * np.cos(theta), 2 * rings)


def torus(ring: float = 1.0, tube: float = 0.3, steps: int = 64) -> Mesh:
    t = np.linspace(0, 2 * np.pi, steps + 1)
    return _revolve(ring + tube * np.sin(t), tube * np.cos(t), 2 * steps)


def _revolve(radii: np.ndarray, heights: np.ndarray, turns: int) -> Mesh:
    """Turn a profile around +Y; poles give degenerate faces, which is welcome in tests."""
    around = np.linspace(0, 2 * np.pi, turns, endpoint=False)
    vertices = np.stack(
        [
            np.outer(radii, np.sin(around)),
            np.repeat(heights[:, None], turns, axis=1),
            np.outer(radii, np.cos(around)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(len(radii) - 1), np.arange(turns), indexing="ij")
    a, b = (i * turns + j).ravel(), (i * turns + (j + 1) % turns).ravel()
    c, d = a + turns, b + turns
    return Mesh(vertices, np.concatenate([np.stack([a, c, d], 1), np.stack([a, d, b], 1)]))


def table() -> tuple[Mesh, np.ndarray]:
    """A table with a sheet-thin top and legs; also its boxes (5, 2, 3)."""
    top, leg = 0.004, 0.011
    boxes = [((0.0, 0.72 - top, 0.0), (1.0, 0.72, 0.6))]
    for x in (0.03, 0.97 - leg):
        for z in (0.031, 0.57 - leg):
            boxes.append(((x, 0.0, z), (x + leg, 0.72 - top, z + leg)))
    return join(*(box(low, high) for low, high in boxes)), np.array(boxes)


def soup(seed: int, count: int = 60) -> Mesh:
    """Random triangles of all sizes, slivers and degenerate ones among them."""
    random = np.random.default_rng(seed)
    triangles = random.random((count, 1, 3)) + random.normal(size=(count, 3, 3)) * (
        10.0 ** random.uniform(-3, 0, (count, 1, 1))
    )
    triangles[: count // 10, 2] = triangles[: count // 10, 1]
    return Mesh(triangles.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3))


@pytest.fixture(scope="session")
def solids() -> SimpleNamespace:
    return SimpleNamespace(box=box, join=join, sphere=sphere, torus=torus, table=table, soup=soup)
