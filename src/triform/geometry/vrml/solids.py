"""The geometry nodes of VRML that are not given face by face, as polygons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from triform.geometry.mesh import MeshError

# Straight pieces that stand for a full turn.
SEGMENTS = 32
# Two short lists can ask for a product of points that no memory holds.
LARGEST_EXTRUSION = 1_000_000


@dataclass(frozen=True, eq=False)
class Polygons:
    """Polygons that wind counter-clockwise seen from outside.

    Attributes:
        vertices: (V, 3).
        corners: (C,) the vertices of all polygons, one after another.
        sizes: (P,) how many corners each polygon has.
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
    """A ball around the origin."""
    turn = np.linspace(0, np.pi, SEGMENTS // 2 + 1)
    profile = np.stack([np.sin(turn), np.cos(turn)], axis=1) * radius
    profile[[0, -1], 0] = 0
    return _revolve(profile, top=False, bottom=False)


def cylinder(radius: float, height: float, *, side: bool, top: bool, bottom: bool) -> Polygons:
    """A cylinder about the y axis, its middle in the origin."""
    profile = np.array([[radius, height / 2], [radius, -height / 2]])
    return _revolve(profile, side=side, top=top, bottom=bottom)


def cone(radius: float, height: float, *, side: bool, bottom: bool) -> Polygons:
    """A cone about the y axis, its tip up, its middle in the origin."""
    profile = np.array([[0, height / 2], [radius, -height / 2]])
    return _revolve(profile, side=side, top=False, bottom=bottom)


def _revolve(
    profile: Float[np.ndarray, "n 2"], *, side: bool = True, top: bool, bottom: bool
) -> Polygons:
    """Turn a line of (radius, height), from the top down, about the y axis."""
    turn = np.arange(SEGMENTS) / SEGMENTS * 2 * np.pi
    ring = np.stack([np.sin(turn), np.ones(SEGMENTS), np.cos(turn)], axis=1)
    vertices = (profile[:, [0, 1, 0]][:, None] * ring).reshape(-1, 3)
    at = np.arange(len(profile) * SEGMENTS).reshape(-1, SEGMENTS)
    corners, sizes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    if side:
        after = np.roll(at, -1, axis=1)
        for row in range(len(profile) - 1):
            quads = [at[row], at[row + 1], after[row + 1], after[row]]
            if profile[row, 0] == 0:  # a tip, which is in one place
                quads.pop()
            elif profile[row + 1, 0] == 0:
                quads.pop(2)
            corners.append(np.stack(quads, axis=-1).ravel())
            sizes.append(np.full(SEGMENTS, len(quads)))
    for ask, polygon in ((top, at[0]), (bottom, at[-1][::-1])):
        if ask:
            corners.append(polygon)
            sizes.append(np.array([SEGMENTS]))
    return Polygons(vertices, np.concatenate(corners), np.concatenate(sizes))


def elevation_grid(
    heights: Float[np.ndarray, " n"], columns: int, spacing: tuple[float, float]
) -> Polygons:
    """A landscape over the xz plane, row after row of heights along x.

    Raises:
        MeshError: the heights do not fill the rows.
    """
    if columns < 2 or len(heights) < 2 * columns or len(heights) % columns:
        raise MeshError(f"an ElevationGrid has {len(heights)} heights in rows of {columns}")
    rows = len(heights) // columns
    z, x = np.divmod(np.arange(rows * columns), columns)
    vertices = np.stack([x * spacing[0], heights, z * spacing[1]], axis=1)
    at = np.arange(rows * columns).reshape(rows, columns)
    quads = np.stack([at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]], axis=-1)
    return Polygons(vertices, quads.ravel(), np.full(quads.size // 4, 4))


def extrusion(
    section: Float[np.ndarray, "s 2"],
    spine: Float[np.ndarray, "n 3"],
    scale: Float[np.ndarray, "k 2"],
    turns: Float[np.ndarray, "m 3 3"],
    *,
    begin: bool,
    end: bool,
) -> Polygons:
    """A flat outline swept along a line, as the standard defines it (ISO/IEC 14772-1, 6.18).

    Args:
        section: the outline in the xz plane; closed where its ends are equal.
        spine: the line.
        scale: of the outline at every point of the line, or one for all.
        turns: rotations of the outline likewise.
        begin: whether the first end is closed.
        end: whether the last is.

    Raises:
        MeshError: too few points, or far too many.
    """
    steps, width = len(spine), len(section)
    if steps < 2 or width < 2 or not len(scale) or not len(turns):
        raise MeshError(f"an Extrusion of {width} points along {steps}; it needs 2 of each")
    if steps * width > LARGEST_EXTRUSION:
        raise MeshError(f"an Extrusion of {steps} x {width} points is too large")
    which = np.arange(steps)
    flat = section[None] * scale[np.minimum(which, len(scale) - 1)][:, None]
    solid = np.stack([flat[..., 0], np.zeros_like(flat[..., 0]), flat[..., 1]], axis=-1)
    axes = _spine_axes(spine) @ turns[np.minimum(which, len(turns) - 1)]
    vertices = (solid @ axes.transpose(0, 2, 1) + spine[:, None]).reshape(-1, 3)
    at = np.arange(steps * width).reshape(steps, width)
    quads = np.stack([at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]], axis=-1)
    corners, sizes = [quads.ravel()], [np.full(quads.size // 4, 4)]
    outline = at[:, :-1] if np.array_equal(section[0], section[-1]) else at
    for ask, polygon in ((begin, outline[0][::-1]), (end, outline[-1])):
        if ask:
            corners.append(polygon)
            sizes.append(np.array([len(polygon)]))
    return Polygons(vertices, np.concatenate(corners), np.concatenate(sizes))


def _spine_axes(spine: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """The axes x, y, z of the outline at every point of a spine, in columns."""
    count = len(spine)
    closed = count > 2 and np.array_equal(spine[0], spine[-1])
    before, after = np.maximum(np.arange(count) - 1, 0), np.minimum(np.arange(count) + 1, count - 1)
    if closed:
        before[0], after[-1] = count - 2, 1
    y = spine[after] - spine[before]
    z = np.cross(spine[after] - spine, spine[before] - spine)
    if not closed:
        z[[0, -1]] = z[[1, -2]] if count > 2 else 0
    y, z = _directions(y), _directions(z)
    if not y.any():
        y[:] = 0, 1, 0
    if not z.any():
        # A straight line: what turns the y axis onto it turns the z axis as well.
        z[:] = _turn_from_y(y[0])[:, 2]
    z -= y * (z * y).sum(axis=1, keepdims=True)
    z = _directions(z)
    back = (z[1:] * z[:-1]).sum(axis=1) < 0
    z[1:] *= np.cumprod(np.where(back, -1, 1))[:, None]
    return np.stack([np.cross(y, z), y, z], axis=-1)


def _directions(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Scale vectors to length 1; those of no length become the one before, else the one after."""
    lengths = np.linalg.norm(vectors, axis=1)
    known = np.flatnonzero(lengths > 1e-12 * lengths.max(initial=0))
    if len(known) == 0:
        return np.zeros_like(vectors)
    last = np.searchsorted(known, np.arange(len(vectors)), side="right") - 1
    chosen = known[np.maximum(last, 0)]
    return np.asarray(vectors[chosen] / lengths[chosen][:, None])


def _turn_from_y(direction: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation by the smallest angle that takes the y axis to a direction."""
    x, y, z = direction
    if y < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    k = 1 / (1 + y)
    return np.array([[1 - k * x * x, x, -k * x * z], [-x, y, -z], [-k * x * z, z, 1 - k * z * z]])
