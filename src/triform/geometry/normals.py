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
    corners = welded.faces.ravel()
    starts = np.zeros(len(welded.vertices) + 1, dtype=np.int64)
    np.cumsum(np.bincount(corners, minlength=len(welded.vertices)), out=starts[1:])
    around = np.argsort(corners, kind="stable") // 3
    normals = np.empty((len(mesh.faces), 3, 3), dtype=np.float32)
    areas = mesh.face_areas.astype(np.float32)
    unit = mesh.face_normals.astype(np.float32)
    _average(welded.faces, starts, around, unit, areas, math.cos(crease), normals)
    return normals


@njit(cache=True, nogil=True)
def _average(faces, starts, around, unit, areas, least, normals):  # type: ignore[no-untyped-def]
    for face in range(faces.shape[0]):
        nx, ny, nz = unit[face]
        for corner in range(3):
            x, y, z = nx, ny, nz
            first, last = starts[faces[face, corner]], starts[faces[face, corner] + 1]
            if last - first <= _MOST_FACES:
                x, y, z = nx * areas[face], ny * areas[face], nz * areas[face]
                for i in range(first, last):
                    other = around[i]
                    if other == face:
                        continue
                    cosine = nx * unit[other, 0] + ny * unit[other, 1] + nz * unit[other, 2]
                    if abs(cosine) >= least:
                        weight = areas[other] if cosine > 0 else -areas[other]
                        x += unit[other, 0] * weight
                        y += unit[other, 1] * weight
                        z += unit[other, 2] * weight
                length = math.sqrt(x * x + y * y + z * z)
                if length > 0:
                    x, y, z = x / length, y / length, z / length
                else:
                    x, y, z = nx, ny, nz
            normals[face, corner, 0] = x
            normals[face, corner, 1] = y
            normals[face, corner, 2] = z
