"""Normals at the corners of faces, smooth across soft edges and sharp across hard ones."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32

from triform.base.compiled import njit
from triform.geometry.mesh import Mesh, weld

CREASE = math.radians(40)
# At a vertex of more faces (the tip of a fine cone) every corner has the normal of its face.
MAX_VERTEX_FACES = 256


def corner_normals(mesh: Mesh, crease: float = CREASE) -> Float32[np.ndarray, "f 3 3"]:
    """Average the normals of the faces around every corner, across edges softer than `crease`.

    Args:
        mesh: any mesh; normals of faces with opposite winding are flipped before they are averaged.
        crease: edges that bend by more than this, in radians, stay sharp.

    Returns:
        (F, 3, 3) unit normals on the side to which the face winds; zero for degenerate faces.
    """
    welded = weld(mesh)
    starts = np.zeros(len(welded.vertices) + 1, dtype=np.int64)
    vertex_faces = np.empty(welded.faces.size, dtype=np.int32)
    face_normals = np.empty((len(mesh.faces), 4), dtype=np.float32)
    normals = np.empty((len(mesh.faces), 3, 3), dtype=np.float32)
    # Squares of coordinates far from 1 would overflow or underflow 32-bit floats.
    scale = float(np.abs(welded.vertices).max()) or 1.0
    _collect_vertex_faces(welded.vertices / scale, welded.faces, starts, vertex_faces, face_normals)
    _average_normals(welded.faces, starts, vertex_faces, face_normals, math.cos(crease), normals)
    return normals


@njit(cache=True, nogil=True, error_model="numpy")
def _collect_vertex_faces(vertices, faces, starts, vertex_faces, face_normals):  # type: ignore[no-untyped-def]
    """List the faces around every vertex; compute unit normal and doubled area of every face."""
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        u0, v0 = vertices[j, 0] - vertices[i, 0], vertices[k, 0] - vertices[i, 0]
        u1, v1 = vertices[j, 1] - vertices[i, 1], vertices[k, 1] - vertices[i, 1]
        u2, v2 = vertices[j, 2] - vertices[i, 2], vertices[k, 2] - vertices[i, 2]
        x, y, z = u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0
        length = math.sqrt(x * x + y * y + z * z)
        inverse_length = 1.0 / length if length > 0.0 else 0.0
        face_normals[face, 0] = x * inverse_length
        face_normals[face, 1] = y * inverse_length
        face_normals[face, 2] = z * inverse_length
        face_normals[face, 3] = length
        for corner in range(3):
            starts[faces[face, corner]] += 1
    # A counting sort: `starts` holds the ends first, and filling from the back makes them starts.
    total = 0
    for vertex in range(starts.shape[0]):
        total += starts[vertex]
        starts[vertex] = total
    for face in range(faces.shape[0] - 1, -1, -1):
        for corner in range(3):
            starts[faces[face, corner]] -= 1
            vertex_faces[starts[faces[face, corner]]] = face


@njit(cache=True, nogil=True, error_model="numpy")
def _average_normals(faces, starts, vertex_faces, face_normals, min_cosine, normals):  # type: ignore[no-untyped-def]
    for face in range(faces.shape[0]):
        nx, ny, nz = face_normals[face, 0], face_normals[face, 1], face_normals[face, 2]
        for corner in range(3):
            x, y, z = (
                nx * face_normals[face, 3],
                ny * face_normals[face, 3],
                nz * face_normals[face, 3],
            )
            first, last = starts[faces[face, corner]], starts[faces[face, corner] + 1]
            if last - first > MAX_VERTEX_FACES:
                last = first
            for i in range(first, last):
                other = vertex_faces[i]
                if other == face:
                    continue
                ox, oy, oz = face_normals[other, 0], face_normals[other, 1], face_normals[other, 2]
                cosine = nx * ox + ny * oy + nz * oz
                if abs(cosine) >= min_cosine:
                    weight = face_normals[other, 3] if cosine > 0 else -face_normals[other, 3]
                    x, y, z = x + ox * weight, y + oy * weight, z + oz * weight
            length = math.sqrt(x * x + y * y + z * z)
            inverse_length = 1.0 / length if length > 0 else 0.0
            normals[face, corner, 0] = x * inverse_length
            normals[face, corner, 1] = y * inverse_length
            normals[face, corner, 2] = z * inverse_length
