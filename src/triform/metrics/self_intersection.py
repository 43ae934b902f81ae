"""Faces of a mesh that pass through other faces, as a slicer complains of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from triform.base.compiled import njit
from triform.geometry.mesh import Mesh, weld
from triform.geometry.sampling.triangles import STACK_SIZE, build_triangle_bvh

MARGIN = 1e-9
"""Contact this close to the end of an edge or to the rim of a face, as a share, is no crossing."""


def self_intersecting_faces(mesh: Mesh) -> Bool[np.ndarray, " f"]:
    """Which faces (F,) are crossed by an edge of a face that shares no vertex, or cross one so.

    Two triangles that pass through each other have an edge of one in the inside of the other. Faces
    that lie in one plane, and faces that share a vertex, are not compared: the surface of a closed
    mesh may fold there unseen, which needs exact arithmetic to tell from contact. Vertices at
    the same place count as one.
    """
    welded = weld(mesh)
    bvh = build_triangle_bvh(welded.triangles)
    crossed = np.zeros(len(welded.faces), np.bool_)
    _mark_crossings(bvh, welded.faces[bvh.order], crossed)
    result = np.zeros(len(crossed), np.bool_)
    result[bvh.order] = crossed
    return result


@njit(cache=True, nogil=True)
def _mark_crossings(bvh, faces, crossed):  # type: ignore[no-untyped-def]
    """Mark pairs of crossing faces, in the order of the hierarchy."""
    boxes, num_leaves = bvh.boxes, len(bvh.starts) - 1
    stack = np.empty(STACK_SIZE, np.int64)
    for i in range(len(faces)):
        top = 0
        stack[0] = 1
        while top >= 0:
            node = stack[top]
            top -= 1
            if not _overlap(boxes[i], bvh.low[node], bvh.high[node]):
                continue
            if node < num_leaves:
                stack[top + 1] = 2 * node
                stack[top + 2] = 2 * node + 1
                top += 2
                continue
            leaf = node - num_leaves
            for other in range(max(bvh.starts[leaf], i + 1), bvh.starts[leaf + 1]):
                if not _overlap(boxes[i], boxes[other, :3], boxes[other, 3:]):
                    continue
                if _share_vertex(faces[i], faces[other]):
                    continue
                if _edge_crosses(bvh.corners, i, other) or _edge_crosses(bvh.corners, other, i):
                    crossed[i] = True
                    crossed[other] = True


@njit(cache=True, nogil=True, inline="always")
def _overlap(box, low, high):  # type: ignore[no-untyped-def]
    return (
        box[0] <= high[0]
        and box[3] >= low[0]
        and box[1] <= high[1]
        and box[4] >= low[1]
        and box[2] <= high[2]
        and box[5] >= low[2]
    )


@njit(cache=True, nogil=True)
def _share_vertex(face, other):  # type: ignore[no-untyped-def]
    for a in face:
        for b in other:
            if a == b:
                return True
    return False


@njit(cache=True, nogil=True)
def _edge_crosses(corners, i, other):  # type: ignore[no-untyped-def]
    """Whether an edge of triangle i passes through the inside of the other one."""
    a = corners[other, 0]
    u, v = corners[other, 1] - a, corners[other, 2] - a
    for edge in range(3):
        start = corners[i, edge]
        direction = corners[i, (edge + 1) % 3] - start
        # Moeller and Trumbore, 1997.
        p = np.cross(direction, v)
        determinant = (u * p).sum()
        if determinant == 0.0:
            continue
        offset = start - a
        first = (offset * p).sum() / determinant
        if first <= MARGIN or first >= 1 - MARGIN:
            continue
        q = np.cross(offset, u)
        second = (direction * q).sum() / determinant
        if second <= MARGIN or first + second >= 1 - MARGIN:
            continue
        t = (v * q).sum() / determinant
        if MARGIN < t < 1 - MARGIN:
            return True
    return False
