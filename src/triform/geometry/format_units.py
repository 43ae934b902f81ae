"""Size, axes and floor of a mesh for a file format: printers want millimetres and +Z up."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from triform.geometry.io.up_axis import Up
from triform.geometry.mesh import Mesh

# Formats of printers, whose unit is the millimetre and whose third axis points up.
PRINT_SUFFIXES = (".stl", ".3mf")
PRINT_SIZE_MM = 100.0
# Parts that end within this share of the longest side above the lowest point are feet; all are
# cut a little above the highest of their ends, so that each has an area to stand on.
FOOT_BAND, FOOT_MARGIN = 0.035, 0.005
# What is below the cut is pressed to this share of its height. An exact plane would merge vertices
# that lie above each other and open the surface; a thousandth is less than any printer resolves.
PRESSED = 1e-3
# Heights that differ by less than this share of the longest side are one.
FLAT = 1e-6


def mesh_for_format(
    mesh: Mesh,
    suffix: str,
    *,
    size_mm: float = 0.0,
    up: Up = "auto",
    on_floor: bool = False,
) -> Mesh:
    """Return a mesh with the size, axes and floor for a file.

    Args:
        mesh: +Y up, in any unit.
        suffix: of the file, with the dot.
        size_mm: longest side in millimetres; 0 is 100 for a printer's format, else the mesh keeps
            its size. GLB is written in metres, as glTF prescribes.
        up: axis that points up; "auto" is "z" for a printer's format, else "y".
        on_floor: flatten the feet, and put the lowest point to height 0 and the middle of the
            bounding box onto the upright axis.
    """
    is_print = suffix.lower() in PRINT_SUFFIXES
    vertices = mesh.vertices
    if on_floor:
        vertices = _flatten_feet(mesh)
        used = vertices[np.unique(mesh.faces)]
        low, high = used.min(axis=0), used.max(axis=0)
        middle = (low + high) / 2
        vertices = vertices - [middle[0], low[1], middle[2]]
    size_mm = size_mm or (PRINT_SIZE_MM if is_print else 0.0)
    if size_mm:
        used = vertices[np.unique(mesh.faces)]
        longest = float((used.max(axis=0) - used.min(axis=0)).max())
        unit = 1000 if suffix.lower() == ".glb" else 1
        vertices = vertices * (size_mm / unit / longest if longest > 0 else 1.0)
    if axis_of_format(suffix, up) == "z":
        # A rotation: a swap of two axes alone would turn the surface inside out.
        vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], axis=1)
    return replace(mesh, vertices=vertices)


def axis_of_format(suffix: str, up: Up) -> Literal["y", "z"]:
    """The upright axis of a file to write, "auto" resolved."""
    if up == "auto":
        return "z" if suffix.lower() in PRINT_SUFFIXES else "y"
    return up


def _flatten_feet(mesh: Mesh) -> np.ndarray:
    """Return the vertices with the ends of the feet pressed into one plane."""
    used = np.zeros(len(mesh.vertices), dtype=bool)
    used[mesh.faces] = True
    height = mesh.vertices[:, 1]
    low, high = mesh.bounds
    size = float((high - low).max())
    is_low = used & (height <= low[1] + FOOT_BAND * size)
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    edges = edges[is_low[edges].all(axis=1)]
    count = len(mesh.vertices)
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (count, count))
    _, part = connected_components(graph, directed=False)
    ends = np.full(count, np.inf)
    np.minimum.at(ends, part[is_low], height[is_low])
    feet = np.isfinite(ends)
    on_end = is_low & (height <= ends.min() + FLAT * size)
    standing = np.unique(part[mesh.faces[on_end[mesh.faces].all(axis=1), 0]])
    if len(standing) == feet.sum():
        return mesh.vertices  # all stand on faces in one plane as it is
    plane = ends[feet].max() + FOOT_MARGIN * size
    vertices: np.ndarray = mesh.vertices.copy()
    pressed = used & (height < plane)
    vertices[pressed, 1] = plane + (height[pressed] - plane) * PRESSED
    return vertices
