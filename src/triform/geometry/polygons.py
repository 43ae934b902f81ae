"""Cutting the polygons of a file into triangles."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from triform.geometry.mesh import MeshError

# Cutting ears takes time that grows with the third power of the corners, and a file could ask for
# hours. Real polygons rarely have more than 32 corners; all of the larger ones together may cost
# so many steps, and what remains is cut as if it were convex.
SMALL_CONCAVE, LARGEST_CONCAVE = 64, 1024
_MOST_STEPS = 2 * 10**9


def triangulate(
    vertices: Float[np.ndarray, "v 3"],
    corners: Int[np.ndarray, " c"],
    sizes: Int[np.ndarray, " p"],
) -> tuple[Int[np.ndarray, "t 3"], Int[np.ndarray, " t"]]:
    """Cut polygons into triangles that keep to their inside.

    A convex polygon becomes a fan around its first corner, a concave one loses ear after ear. One
    that crosses itself becomes what can be had; fewer than three corners become nothing.

    Args:
        vertices: (V, 3).
        corners: (C,) the vertices of all polygons, one after another.
        sizes: (P,) how many corners each has; they add up to C.

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
    start, done, steps = 0, 0, 0
    flat = np.empty((LARGEST_CONCAVE, 2))
    for size in sizes:
        affordable = 3 < size <= LARGEST_CONCAVE
        if affordable and size > SMALL_CONCAVE:
            affordable = steps + size**3 <= _MOST_STEPS
            steps += size**3 if affordable else 0
        if affordable and _flatten(vertices, corners, start, size, flat):
            done = _cut_ears(flat, start, size, triangles, done)
        else:
            for i in range(1, size - 1):
                triangles[done] = start, start + i, start + i + 1
                done += 1
        start += size


@njit(cache=True, nogil=True)
def _flatten(vertices, corners, start, size, flat):  # type: ignore[no-untyped-def]
    """Project a polygon into `flat`, counter-clockwise, and tell whether it is concave."""
    normal = np.zeros(3)
    for i in range(size):
        a, b = vertices[corners[start + i]], vertices[corners[start + (i + 1) % size]]
        for axis in range(3):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            normal[axis] += (a[u] - b[u]) * (a[v] + b[v])
    d = np.argmax(np.abs(normal))
    u, v = ((d + 1) % 3, (d + 2) % 3) if normal[d] > 0 else ((d + 2) % 3, (d + 1) % 3)
    for i in range(size):
        flat[i, 0] = vertices[corners[start + i], u] - vertices[corners[start], u]
        flat[i, 1] = vertices[corners[start + i], v] - vertices[corners[start], v]
    least, most = 0.0, 0.0
    for i in range(size):
        turn = _turn(flat, i, (i + 1) % size, (i + 2) % size)
        least, most = min(least, turn), max(most, turn)
    return least < -1e-9 * most


@njit(cache=True, nogil=True)
def _cut_ears(flat, start, size, triangles, done):  # type: ignore[no-untyped-def]
    left = np.arange(size)
    at, misses = 0, 0
    while size > 3:
        a, b, c = left[at % size], left[(at + 1) % size], left[(at + 2) % size]
        # After a whole round without an ear (it crosses itself) the next corner has to do.
        if misses > size or _is_ear(flat, left, size, a, b, c):
            triangles[done] = start + a, start + b, start + c
            done += 1
            cut = (at + 1) % size
            left[cut : size - 1] = left[cut + 1 : size].copy()
            size -= 1
            misses = 0
        else:
            misses += 1
        at = (at + 1) % size
    triangles[done] = start + left[0], start + left[1], start + left[2]
    return done + 1


@njit(cache=True, nogil=True)
def _is_ear(flat, left, size, a, b, c):  # type: ignore[no-untyped-def]
    """Tell whether the corner b sticks out and no other corner lies in its triangle."""
    if _turn(flat, a, b, c) <= 0.0:
        return False
    for i in range(size):
        p = left[i]
        # Bridges to holes visit a place twice; such corners do not stand in the way.
        same = False
        for q in (a, b, c):
            same |= flat[p, 0] == flat[q, 0] and flat[p, 1] == flat[q, 1]
        if not same and (
            _turn(flat, a, b, p) >= 0.0
            and _turn(flat, b, c, p) >= 0.0
            and _turn(flat, c, a, p) >= 0.0
        ):
            return False
    return True


@njit(cache=True, nogil=True, inline="always")
def _turn(flat, a, b, c):  # type: ignore[no-untyped-def]
    """Twice the area of a triangle, positive when it turns left."""
    return (flat[b, 0] - flat[a, 0]) * (flat[c, 1] - flat[b, 1]) - (flat[b, 1] - flat[a, 1]) * (
        flat[c, 0] - flat[b, 0]
    )
