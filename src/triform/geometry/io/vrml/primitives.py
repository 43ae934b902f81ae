"""The geometry primitives of VRML as polygons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from triform.geometry.mesh import MeshError

# Segments of a circle.
SEGMENTS = 32
# Points of an extrusion: the product of two short lists can exceed the memory.
MAX_EXTRUSION = 1_000_000


@dataclass(frozen=True, eq=False)
class Polygons:
    """Polygons that wind counter-clockwise seen from outside.

    Attributes:
        vertices: (V, 3).
        corners: (C,) vertex indices of all polygons, one after another.
        sizes: (P,) number of corners of each polygon.
    """

    vertices: Float[np.ndarray, "v 3"]
    corners: Int[np.ndarray, " c"]
    sizes: Int[np.ndarray, " p"]


def box(size: Float[np.ndarray, " 3"]) -> Polygons:
    """A box around the origin."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    quads = [0, 1, 3, 2, 4, 6, 7, 5, 0, 4, 5, 1, 2, 3, 7, 6, 0, 2, 6, 4, 1, 5, 7, 3]
    return Polygons(signs * size / 2, np.array(quads), np.full(6, 4))


def sphere(radius: float) -> Polygons:
    """A sphere around the origin."""
    angles = np.linspace(0, np.pi, SEGMENTS // 2 + 1)
    profile = np.stack([np.sin(angles), np.cos(angles)], axis=1) * radius
    profile[[0, -1], 0] = 0
    return _revolve(profile, top=False, bottom=False)


def cylinder(radius: float, height: float, *, side: bool, top: bool, bottom: bool) -> Polygons:
    """A cylinder about the y axis, centred at the origin."""
    profile = np.array([[radius, height / 2], [radius, -height / 2]])
    return _revolve(profile, side=side, top=top, bottom=bottom)


def cone(radius: float, height: float, *, side: bool, bottom: bool) -> Polygons:
    """A cone about the y axis, apex up, centred at the origin."""
    profile = np.array([[0, height / 2], [radius, -height / 2]])
    return _revolve(profile, side=side, top=False, bottom=bottom)


def _revolve(
    profile: Float[np.ndarray, "n 2"], *, side: bool = True, top: bool, bottom: bool
) -> Polygons:
    """Revolve a profile of (radius, height), from the top down, about the y axis."""
    angles = np.arange(SEGMENTS) / SEGMENTS * 2 * np.pi
    ring = np.stack([np.sin(angles), np.ones(SEGMENTS), np.cos(angles)], axis=1)
    vertices = (profile[:, [0, 1, 0]][:, None] * ring).reshape(-1, 3)
    vertex_index = np.arange(len(profile) * SEGMENTS).reshape(-1, SEGMENTS)
    corners, sizes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    if side:
        next_index = np.roll(vertex_index, -1, axis=1)
        for row in range(len(profile) - 1):
            quads = [vertex_index[row], vertex_index[row + 1], next_index[row + 1], next_index[row]]
            if profile[row, 0] == 0:  # an apex
                quads.pop()
            elif profile[row + 1, 0] == 0:
                quads.pop(2)
            corners.append(np.stack(quads, axis=-1).ravel())
            sizes.append(np.full(SEGMENTS, len(quads)))
    for with_cap, polygon in ((top, vertex_index[0]), (bottom, vertex_index[-1][::-1])):
        if with_cap:
            corners.append(polygon)
            sizes.append(np.array([SEGMENTS]))
    return Polygons(vertices, np.concatenate(corners), np.concatenate(sizes))


def elevation_grid(
    heights: Float[np.ndarray, " n"], columns: int, spacing: tuple[float, float]
) -> Polygons:
    """A height field over the xz plane, row after row of heights along x.

    Raises:
        MeshError: the number of heights is no multiple of `columns`.
    """
    if columns < 2 or len(heights) < 2 * columns or len(heights) % columns:
        raise MeshError(f"an ElevationGrid has {len(heights)} heights in rows of {columns}")
    rows = len(heights) // columns
    z, x = np.divmod(np.arange(rows * columns), columns)
    vertices = np.stack([x * spacing[0], heights, z * spacing[1]], axis=1)
    vertex_index = np.arange(rows * columns).reshape(rows, columns)
    quads = _quads(vertex_index)
    return Polygons(vertices, quads.ravel(), np.full(quads.size // 4, 4))


def _quads(index: Int[np.ndarray, "n m"]) -> Int[np.ndarray, "_ _ 4"]:
    """Corners of the cells of a grid of vertices: down, to the right, and up again."""
    sides = [index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]]
    return np.stack(sides, axis=-1)


def extrusion(
    section: Float[np.ndarray, "s 2"],
    spine: Float[np.ndarray, "n 3"],
    scale: Float[np.ndarray, "k 2"],
    rotations: Float[np.ndarray, "m 3 3"],
    *,
    begin_cap: bool,
    end_cap: bool,
) -> Polygons:
    """A cross-section swept along a spine (ISO/IEC 14772-1, 6.18).

    Args:
        section: the cross-section in the xz plane; closed if its ends are equal.
        spine: the points of the spine.
        scale: scale of the section at every point of the spine, or one for all.
        rotations: rotation of the section at every point of the spine, or one for all.
        begin_cap: close the first end.
        end_cap: close the last end.

    Raises:
        MeshError: too few points, or far too many.
    """
    steps, width = len(spine), len(section)
    if steps < 2 or width < 2 or not len(scale) or not len(rotations):
        raise MeshError(f"an Extrusion of {width} points along {steps}; it needs 2 of each")
    if steps * width > MAX_EXTRUSION:
        raise MeshError(f"an Extrusion of {steps} x {width} points is too large")
    step = np.arange(steps)
    scaled = section[None] * scale[np.minimum(step, len(scale) - 1)][:, None]
    sections = np.stack([scaled[..., 0], np.zeros_like(scaled[..., 0]), scaled[..., 1]], axis=-1)
    axes = _spine_axes(spine) @ rotations[np.minimum(step, len(rotations) - 1)]
    vertices = (sections @ axes.transpose(0, 2, 1) + spine[:, None]).reshape(-1, 3)
    vertex_index = np.arange(steps * width).reshape(steps, width)
    quads = _quads(vertex_index)[..., [0, 3, 2, 1]]
    corners, sizes = [quads.ravel()], [np.full(quads.size // 4, 4)]
    outline = vertex_index[:, :-1] if np.array_equal(section[0], section[-1]) else vertex_index
    for with_cap, polygon in ((begin_cap, outline[0][::-1]), (end_cap, outline[-1])):
        if with_cap:
            corners.append(polygon)
            sizes.append(np.array([len(polygon)]))
    return Polygons(vertices, np.concatenate(corners), np.concatenate(sizes))


def _spine_axes(spine: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """The axes x, y, z of the section at every point of a spine, in columns."""
    count = len(spine)
    closed = count > 2 and np.array_equal(spine[0], spine[-1])
    previous = np.maximum(np.arange(count) - 1, 0)
    following = np.minimum(np.arange(count) + 1, count - 1)
    if closed:
        previous[0], following[-1] = count - 2, 1
    y = spine[following] - spine[previous]
    z = np.cross(spine[following] - spine, spine[previous] - spine)
    if not closed:
        z[[0, -1]] = z[[1, -2]] if count > 2 else 0
    y, z = _normalize(y), _normalize(z)
    if not y.any():
        y[:] = 0, 1, 0
    if not z.any():
        # A straight spine: the rotation of the y axis onto it is applied to the z axis.
        z[:] = _rotation_from_y(y[0])[:, 2]
    z -= y * (z * y).sum(axis=1, keepdims=True)
    z = _normalize(z)
    is_flipped = (z[1:] * z[:-1]).sum(axis=1) < 0
    z[1:] *= np.cumprod(np.where(is_flipped, -1, 1))[:, None]
    return np.stack([np.cross(y, z), y, z], axis=-1)


def _normalize(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Scale vectors to length 1; a zero vector becomes the one before, else the one after."""
    lengths = np.linalg.norm(vectors, axis=1)
    nonzero = np.flatnonzero(lengths > 1e-12 * lengths.max(initial=0))
    if len(nonzero) == 0:
        return np.zeros_like(vectors)
    nearest = np.searchsorted(nonzero, np.arange(len(vectors)), side="right") - 1
    selected = nonzero[np.maximum(nearest, 0)]
    return np.asarray(vectors[selected] / lengths[selected][:, None])


def _rotation_from_y(direction: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation of the y axis onto a direction."""
    x, y, z = direction
    if y < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    k = 1 / (1 + y)
    return np.array([[1 - k * x * x, x, -k * x * z], [-x, y, -z], [-k * x * z, z, 1 - k * z * z]])
