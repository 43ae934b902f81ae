"""Signed distance of any triangle soup at the centres of voxels, with the colour of its surface.

The distance is exact, to the part of the surface that can be seen from outside. Its sign comes from
the solid: what a flood fill from outside cannot reach, at three times the resolution, where the
surface itself is as thin as it is. A part thinner than about a voxel would vanish between the
samples; its surface alone is moved outward until the part is 2 `MIN_HALF_THICKNESS` thick, so that
panes and legs exist and everything else keeps its size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import fill_voids
import numpy as np
import trimesh
from jaxtyping import Float, UInt8

from triform.base.compiled import njit
from triform.geometry.mesh import Mesh, MeshError, normalize
from triform.geometry.sampling.triangles import (
    STACK_SIZE,
    build_triangle_bvh,
    last_hit,
    nearest_triangle,
)
from triform.geometry.voxels.small_triangles import (
    ENCLOSED,
    EXTERIOR,
    FINE,
    SURFACE,
    is_visible,
    split_long_edges,
    state_along,
    state_at,
    thin_offsets,
)
from triform.geometry.voxels.voxelize import voxelize

TRUNCATION = 3.0
"""Distances are cut off here, in voxels."""
MAX_EDGE = 2.0
"""Triangles are split until no edge is longer, in voxels: part of a face may be hidden or thick."""
MAX_RESOLUTION = 256
AROUND, NEAR = 1, 2


@dataclass(frozen=True, eq=False)
class SignedDistance:
    """A truncated signed distance field of a normalized mesh.

    Attributes:
        distance: (R, R, R) float32 in voxels at the voxels' centres, from -TRUNCATION to
            TRUNCATION; negative inside.
        colors: (R, R, R, 3) uint8 sRGB of the nearest surface point where the distance is not cut
            off, zero elsewhere; None if the mesh has no colours.
    """

    distance: Float[np.ndarray, "x y z"]
    colors: UInt8[np.ndarray, "x y z 3"] | None = None


def signed_distance(
    mesh: Mesh,
    resolution: int,
    *,
    colors: bool = False,
    keep_thin: bool = True,
    is_normalized: bool = False,
) -> SignedDistance:
    """Compute the truncated signed distance to a mesh.

    The mesh is normalized first, so that its longest side spans all R voxels. Sample (i, j, k) lies
    at -1/2 + (i + 1/2)/R in x, likewise j in y and k in z.

    Args:
        mesh: any mesh.
        resolution: R, samples along each side, from 2 to 256.
        colors: also compute the colours of the surface.
        keep_thin: give parts thinner than 2 MIN_HALF_THICKNESS that thickness.
        is_normalized: the mesh lies in [-1/2, 1/2]^3 and keeps its place and size.

    Returns:
        The field, the same for the same mesh on every run.

    Raises:
        MeshError: the mesh is a single point, or the resolution is out of range.
    """
    if not 2 <= resolution <= MAX_RESOLUTION:
        raise MeshError(
            f"signed_distance: resolution is {resolution}, choose 2 to {MAX_RESOLUTION}"
        )
    normalized = mesh if is_normalized else normalize(mesh)
    state = _fine_state(normalized, resolution)
    # Voxel units: all voxels are [0, R]^3.
    corners, face_of = split_long_edges((normalized.triangles + 0.5) * resolution, MAX_EDGE)
    visible = is_visible(corners, state)
    if visible.any():
        corners, face_of = corners[visible], face_of[visible]
    bvh = build_triangle_bvh(corners)
    # At the centres of voxels that no surface comes near, the state alone decides.
    center_state = state[FINE // 2 :: FINE, FINE // 2 :: FINE, FINE // 2 :: FINE]
    distance = np.where(center_state == EXTERIOR, TRUNCATION, -TRUNCATION).astype(np.float32)
    nearest = np.full((resolution,) * 3, -1, dtype=np.int64)
    band = _band(normalized, resolution)
    _fill_band(bvh, face_of[bvh.order], state, band, distance, nearest)
    if keep_thin:
        offsets = thin_offsets(bvh, state)
        thin = offsets > 0
        if thin.any():
            thin_bvh = build_triangle_bvh(bvh.corners[thin])
            offsets = offsets[thin][thin_bvh.order]
            thin_face_of = face_of[bvh.order][thin][thin_bvh.order]
            _move_thin(thin_bvh, thin_face_of, offsets, band, distance, nearest)
    field_colors = _colors(normalized, nearest) if colors else None
    return SignedDistance(distance, field_colors)


def visible_surface(mesh: Mesh, resolution: int = 64) -> Mesh:
    """The part of a normalized mesh's surface that can be seen from outside, in small triangles.

    Args:
        mesh: any mesh; it is normalized first.
        resolution: R; faces are split to edges of MAX_EDGE / R, and one is hidden where no
            exterior point is nearer than about 1/(2 R).
    """
    normalized = normalize(mesh)
    corners, face_of = split_long_edges((normalized.triangles + 0.5) * resolution, MAX_EDGE)
    visible = is_visible(corners, _fine_state(normalized, resolution))
    if visible.any():
        corners, face_of = corners[visible], face_of[visible]
    colors = None if mesh.face_colors is None else mesh.face_colors[face_of]
    vertices = corners.reshape(-1, 3) / resolution - 0.5
    return Mesh(vertices, np.arange(len(vertices)).reshape(-1, 3), colors)


def _fine_state(mesh: Mesh, resolution: int) -> np.ndarray:
    """State of the fine voxels (3 R,) * 3 uint8: exterior, touched by the surface, enclosed."""
    state = voxelize(mesh, FINE * resolution, fill=False, is_normalized=True).view(np.uint8)
    # Most meshes fill a small part of the cube; outside of their box all is exterior.
    low, high = mesh.bounds
    first = np.clip(np.floor((low + 0.5) * len(state)) - 1, 0, None).astype(int)
    last = np.clip(np.ceil((high + 0.5) * len(state)) + 1, None, len(state)).astype(int)
    box = state[tuple(map(slice, first, last))]
    box[...] = ENCLOSED * fill_voids.fill(np.ascontiguousarray(box)) - box
    return state


def _band(mesh: Mesh, resolution: int) -> np.ndarray:
    """Voxels (R, R, R) uint8 by their distance from those that the surface touches.

    NEAR where a centre may be nearer to the surface than TRUNCATION, AROUND in the rest of the
    cubes around touched voxels, where surfaces that are moved may still be near, else 0.
    """
    touched = voxelize(mesh, resolution, fill=False, is_normalized=True)
    return np.asarray(_dilate(touched, math.ceil(TRUNCATION), TRUNCATION))


@njit(cache=True, nogil=True)
def _dilate(touched, width, radius):  # type: ignore[no-untyped-def]
    """The band of touched voxels: cubes of this half width, and balls in them."""
    size = touched.shape[0]
    band = np.zeros(touched.shape, np.uint8)
    # Half the length along z of the ball, by the offset along x and y.
    half = np.full((2 * width + 1, 2 * width + 1), -1, np.int64)
    for i in range(-width, width + 1):
        for j in range(-width, width + 1):
            for k in range(width + 1):
                gap = max(abs(i) - 0.5, 0.0) ** 2 + max(abs(j) - 0.5, 0.0) ** 2
                if gap + max(k - 0.5, 0.0) ** 2 <= radius**2:
                    half[i + width, j + width] = k
    for x in range(size):
        for y in range(size):
            for z in range(size):
                if not touched[x, y, z]:
                    continue
                for i in range(max(x - width, 0), min(x + width + 1, size)):
                    for j in range(max(y - width, 0), min(y + width + 1, size)):
                        reach = half[i - x + width, j - y + width]
                        for k in range(max(z - width, 0), min(z + width + 1, size)):
                            state = NEAR if abs(k - z) <= reach else AROUND
                            band[i, j, k] = max(band[i, j, k], state)
    return band


@njit(cache=True, nogil=True)
def _fill_band(bvh, face_of, state, band, distance, nearest):  # type: ignore[no-untyped-def]
    """Write signed distances (R, R, R) and the nearest triangles of the voxels of the band."""
    size = distance.shape[0]
    nothing = np.zeros(len(bvh.corners))
    stack, reaches = np.empty(STACK_SIZE, np.int64), np.empty(STACK_SIZE)
    center = np.empty(3)
    for i in range(size):
        for j in range(size):
            hint = -1
            for k in range(size):
                if not band[i, j, k]:
                    continue
                center[0], center[1], center[2] = i + 0.5, j + 0.5, k + 0.5
                if band[i, j, k] == AROUND:
                    here = state_at(state, center[0], center[1], center[2])
                    distance[i, j, k] = TRUNCATION if here == EXTERIOR else -TRUNCATION
                    hint = -1
                    continue
                value, found, v, w = nearest_triangle(
                    bvh,
                    nothing,
                    0.0,
                    center[0],
                    center[1],
                    center[2],
                    TRUNCATION,
                    hint,
                    stack,
                    reaches,
                )
                hint = found
                inside = _is_inside(bvh, state, center, value, found, v, w, stack)
                distance[i, j, k] = -value if inside else value
                if found >= 0:
                    nearest[i, j, k] = face_of[found]


@njit(cache=True, nogil=True)
def _move_thin(bvh, face_of, offsets, band, distance, nearest):  # type: ignore[no-untyped-def]
    """Lower the distances of the band to those to surfaces that are moved outward by `offsets`."""
    size = distance.shape[0]
    max_offset = offsets.max()
    stack, reaches = np.empty(STACK_SIZE, np.int64), np.empty(STACK_SIZE)
    for i in range(size):
        for j in range(size):
            hint = -1
            for k in range(size):
                if not band[i, j, k] or distance[i, j, k] <= -max_offset:
                    continue
                value, found, _, _ = nearest_triangle(
                    bvh,
                    offsets,
                    max_offset,
                    i + 0.5,
                    j + 0.5,
                    k + 0.5,
                    distance[i, j, k],
                    hint,
                    stack,
                    reaches,
                )
                hint = found
                if found >= 0:
                    distance[i, j, k] = value
                    nearest[i, j, k] = face_of[found]


@njit(cache=True, nogil=True)
def _is_inside(bvh, state, center, value, found, v, w, stack):  # type: ignore[no-untyped-def]
    """Whether a point lies in the solid.

    In a fine voxel that the surface touches, the way on from the nearest surface point decides: it
    leads out or in, or out again through another surface, and then the point lies within a part
    thinner than a fine voxel. Without any visible surface near, it is a hidden face that touches
    it.
    """
    here = state_at(state, center[0], center[1], center[2])
    if here != SURFACE or found < 0:
        return here != EXTERIOR
    corners = bvh.corners
    direction = np.empty(3)
    for axis in range(3):
        a = corners[found, 0, axis]
        point = a + v * (corners[found, 1, axis] - a) + w * (corners[found, 2, axis] - a)
        direction[axis] = center[axis] - point
    if value < 1e-9:
        return True
    direction /= value
    step = 0.5 / FINE
    t = step
    while t <= 2.0:
        reached = state_along(state, center, direction, t)
        if reached == ENCLOSED:
            return True
        if reached == EXTERIOR:
            return last_hit(bvh, center, direction, 0.0, t, stack) >= 0.0
        t += step
    return True


def _colors(mesh: Mesh, nearest: np.ndarray) -> np.ndarray | None:
    """Colours (R, R, R, 3) uint8 at the nearest surface points; zero where there is none."""
    if mesh.appearance is None and mesh.face_colors is None:
        return None
    colors = np.zeros((*nearest.shape, 3), dtype=np.uint8)
    mask = nearest >= 0
    faces = nearest[mask]
    if mesh.appearance is None:
        colors[mask] = mesh.face_colors[faces]  # type: ignore[index]
        return colors
    centers = (np.argwhere(mask) + 0.5) / len(nearest) - 0.5
    triangles = mesh.triangles[faces]
    points = trimesh.triangles.closest_point(triangles, centers)  # type: ignore[no-untyped-call]
    barycentric = trimesh.triangles.points_to_barycentric(  # type: ignore[no-untyped-call]
        triangles, points
    )
    colors[mask] = mesh.appearance.colors_at(faces, barycentric)
    return colors
