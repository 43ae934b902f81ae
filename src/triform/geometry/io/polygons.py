"""Triangulation of polygons."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from triform.base.compiled import njit
from triform.geometry.mesh import MeshError

# Ear clipping takes time cubic in the corners. Real polygons rarely have more than 32; all larger
# ones of a file together may take MAX_STEPS, and the rest becomes fans.
SMALL_POLYGON, MAX_CONCAVE_POLYGON = 64, 1024
MAX_STEPS = 2 * 10**9


def triangulate(
    vertices: Float[np.ndarray, "v 3"],
    corners: Int[np.ndarray, " c"],
    sizes: Int[np.ndarray, " p"],
) -> tuple[Int[np.ndarray, "t 3"], Int[np.ndarray, " t"]]:
    """Triangulate polygons.

    A convex polygon becomes a fan around its first corner; a concave one is triangulated by ear
    clipping, on a best effort where it crosses itself. Fewer than three corners give no triangle.

    Args:
        vertices: (V, 3).
        corners: (C,) the vertices of all polygons, one after another.
        sizes: (P,) number of corners of each polygon; the sum is C.

    Returns:
        Triangles as indices into `corners` (T, 3), and the polygon of every triangle (T,).

    Raises:
        MeshError: a corner is not one of the vertices.
    """
    if len(corners) and (corners.min() < 0 or corners.max() >= len(vertices)):
        raise MeshError(
            f"faces use vertices {corners.min() + 1} to {corners.max() + 1}, "
            f"but there are {len(vertices)}"
        )
    counts = np.maximum(sizes - 2, 0)
    triangles = np.empty((counts.sum(), 3), dtype=np.int64)
    _triangulate(vertices, corners, sizes, triangles)
    return triangles, np.repeat(np.arange(len(sizes)), counts)


@njit(cache=True, nogil=True)
def _triangulate(vertices, corners, sizes, triangles):  # type: ignore[no-untyped-def]
    start, num_triangles, num_steps = 0, 0, 0
    projected = np.empty((MAX_CONCAVE_POLYGON, 2))
    for size in sizes:
        use_ear_clipping = 3 < size <= MAX_CONCAVE_POLYGON
        if use_ear_clipping and size > SMALL_POLYGON:
            use_ear_clipping = num_steps + size**3 <= MAX_STEPS
            num_steps += size**3 if use_ear_clipping else 0
        if use_ear_clipping and _project(vertices, corners, start, size, projected):
            num_triangles = _clip_ears(projected, start, size, triangles, num_triangles)
        else:
            for i in range(1, size - 1):
                triangles[num_triangles] = start, start + i, start + i + 1
                num_triangles += 1
        start += size


@njit(cache=True, nogil=True)
def _project(vertices, corners, start, size, projected):  # type: ignore[no-untyped-def]
    """Project a polygon into `projected`, counter-clockwise; return whether it is concave."""
    normal = np.zeros(3)
    for i in range(size):
        a, b = vertices[corners[start + i]], vertices[corners[start + (i + 1) % size]]
        for axis in range(3):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            normal[axis] += (a[u] - b[u]) * (a[v] + b[v])
    d = np.argmax(np.abs(normal))
    u, v = ((d + 1) % 3, (d + 2) % 3) if normal[d] > 0 else ((d + 2) % 3, (d + 1) % 3)
    for i in range(size):
        projected[i, 0] = vertices[corners[start + i], u] - vertices[corners[start], u]
        projected[i, 1] = vertices[corners[start + i], v] - vertices[corners[start], v]
    min_turn, max_turn = 0.0, 0.0
    for i in range(size):
        turn = _signed_area(projected, i, (i + 1) % size, (i + 2) % size)
        min_turn, max_turn = min(min_turn, turn), max(max_turn, turn)
    return min_turn < -1e-9 * max_turn


@njit(cache=True, nogil=True)
def _clip_ears(projected, start, size, triangles, num_triangles):  # type: ignore[no-untyped-def]
    remaining = np.arange(size)
    position, misses = 0, 0
    while size > 3:
        a, b, c = (
            remaining[position % size],
            remaining[(position + 1) % size],
            remaining[(position + 2) % size],
        )
        # After a round without an ear (the polygon crosses itself) the next corner is clipped.
        if misses > size or _is_ear(projected, remaining, size, a, b, c):
            triangles[num_triangles] = start + a, start + b, start + c
            num_triangles += 1
            removed = (position + 1) % size
            remaining[removed : size - 1] = remaining[removed + 1 : size].copy()
            size -= 1
            misses = 0
        else:
            misses += 1
        position = (position + 1) % size
    triangles[num_triangles] = start + remaining[0], start + remaining[1], start + remaining[2]
    return num_triangles + 1


@njit(cache=True, nogil=True)
def _is_ear(projected, remaining, size, a, b, c):  # type: ignore[no-untyped-def]
    """Return whether the corner b is convex and no other corner lies in its triangle."""
    if _signed_area(projected, a, b, c) <= 0.0:
        return False
    for i in range(size):
        p = remaining[i]
        # A bridge to a hole visits a position twice; such corners do not block an ear.
        is_duplicate = False
        for q in (a, b, c):
            is_duplicate |= (
                projected[p, 0] == projected[q, 0] and projected[p, 1] == projected[q, 1]
            )
        if not is_duplicate and (
            _signed_area(projected, a, b, p) >= 0.0
            and _signed_area(projected, b, c, p) >= 0.0
            and _signed_area(projected, c, a, p) >= 0.0
        ):
            return False
    return True


@njit(cache=True, nogil=True, inline="always")
def _signed_area(projected, a, b, c):  # type: ignore[no-untyped-def]
    """Twice the signed area of a triangle, positive for a left turn."""
    ux, uy = projected[b, 0] - projected[a, 0], projected[b, 1] - projected[a, 1]
    vx, vy = projected[c, 0] - projected[b, 0], projected[c, 1] - projected[b, 1]
    return ux * vy - uy * vx
