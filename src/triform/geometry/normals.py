"""Normals at the corners of faces, smooth across soft edges and sharp across hard ones."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32
from numba import njit

from triform.geometry.mesh import Mesh, weld

CREASE = math.radians(40)
# Around a vertex of more faces (the tip of a fine cone) every corner keeps its face's own normal.
_MOST_FACES = 256


def corner_normals(mesh: Mesh, crease: float = CREASE) -> Float32[np.ndarray, "f 3 3"]:
    """Average, at every corner, the normals of the faces that meet there nearly flat.

    Args:
        mesh: any mesh; faces wound the other way round count as if they were not.
        crease: edges that bend by more than this, in radians, stay sharp.

    Returns:
        (F, 3, 3) unit normals on the side to which the face winds; zero for degenerate faces.
    """
    welded = weld(mesh)
    starts = np.zeros(len(welded.vertices) + 1, dtype=np.int64)
    around = np.empty(welded.faces.size, dtype=np.int32)
    crosses = np.empty((len(mesh.faces), 4), dtype=np.float32)
    normals = np.empty((len(mesh.faces), 3, 3), dtype=np.float32)
    # Far larger or smaller than 1, squares of coordinates would leave what 32 bits can hold.
    size = float(np.abs(welded.vertices).max()) or 1.0
    _prepare(welded.vertices / size, welded.faces, starts, around, crosses)
    _average(welded.faces, starts, around, crosses, math.cos(crease), normals)
    return normals


@njit(cache=True, nogil=True, error_model="numpy")
def _prepare(vertices, faces, starts, around, crosses):  # type: ignore[no-untyped-def]
    """List the faces around every vertex, and give every face its unit normal and its area."""
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        u0, v0 = vertices[j, 0] - vertices[i, 0], vertices[k, 0] - vertices[i, 0]
        u1, v1 = vertices[j, 1] - vertices[i, 1], vertices[k, 1] - vertices[i, 1]
        u2, v2 = vertices[j, 2] - vertices[i, 2], vertices[k, 2] - vertices[i, 2]
        x, y, z = u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0
        length = math.sqrt(x * x + y * y + z * z)
        share = 1.0 / length if length > 0.0 else 0.0
        crosses[face, 0], crosses[face, 1], crosses[face, 2] = x * share, y * share, z * share
        crosses[face, 3] = length
        for corner in range(3):
            starts[faces[face, corner]] += 1
    # Ends first; filling from the back turns them into starts.
    total = 0
    for vertex in range(starts.shape[0]):
        total += starts[vertex]
        starts[vertex] = total
    for face in range(faces.shape[0] - 1, -1, -1):
        for corner in range(3):
            starts[faces[face, corner]] -= 1
            around[starts[faces[face, corner]]] = face


@njit(cache=True, nogil=True, error_model="numpy")
def _average(faces, starts, around, crosses, least, normals):  # type: ignore[no-untyped-def]
    for face in range(faces.shape[0]):
        nx, ny, nz = crosses[face, 0], crosses[face, 1], crosses[face, 2]
        for corner in range(3):
            x, y, z = nx * crosses[face, 3], ny * crosses[face, 3], nz * crosses[face, 3]
            first, last = starts[faces[face, corner]], starts[faces[face, corner] + 1]
            if last - first > _MOST_FACES:
                last = first
            for i in range(first, last):
                other = around[i]
                if other == face:
                    continue
                ox, oy, oz = crosses[other, 0], crosses[other, 1], crosses[other, 2]
                cosine = nx * ox + ny * oy + nz * oz
                if abs(cosine) >= least:
                    weight = crosses[other, 3] if cosine > 0 else -crosses[other, 3]
                    x, y, z = x + ox * weight, y + oy * weight, z + oz * weight
            length = math.sqrt(x * x + y * y + z * z)
            share = 1.0 / length if length > 0 else 0.0
            normals[face, corner, 0] = x * share
            normals[face, corner, 1] = y * share
            normals[face, corner, 2] = z * share
