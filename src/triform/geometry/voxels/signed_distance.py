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
from numba import njit
from scipy.ndimage import maximum_filter

from triform.geometry.mesh import Mesh, MeshError, normalize
from triform.geometry.sampling.triangles import (
    STACK_SIZE,
    build_triangle_bvh,
    last_hit,
    nearest_triangle,
)
from triform.geometry.voxels.voxelize import voxelize

TRUNCATION = 3.0
"""Distances are cut off here, in voxels."""
MIN_HALF_THICKNESS = 0.55
"""In voxels. Above 1/2, so that a part holds at least one sample wherever it lies."""
FINE = 3
"""Fine voxels along a voxel; odd, so that a voxel's centre is the centre of a fine voxel."""
MAX_EDGE = 2.0
"""Triangles are split until no edge is longer, in voxels: part of a face may be hidden or thick."""
MAX_RESOLUTION = 256
EXTERIOR, SURFACE, ENCLOSED = 0, 1, 2


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
    corners, face_of = _split_long_edges((normalized.triangles + 0.5) * resolution, MAX_EDGE)
    visible = _is_visible(corners, state)
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
        offsets = _thin_offsets(bvh, state)
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
    corners, face_of = _split_long_edges((normalized.triangles + 0.5) * resolution, MAX_EDGE)
    visible = _is_visible(corners, _fine_state(normalized, resolution))
    if visible.any():
        corners, face_of = corners[visible], face_of[visible]
    colors = None if mesh.face_colors is None else mesh.face_colors[face_of]
    vertices = corners.reshape(-1, 3) / resolution - 0.5
    return Mesh(vertices, np.arange(len(vertices)).reshape(-1, 3), colors)


def _fine_state(mesh: Mesh, resolution: int) -> np.ndarray:
    """State of the fine voxels (3 R,) * 3 uint8: exterior, touched by the surface, enclosed."""
    state = voxelize(mesh, FINE * resolution, fill=False, is_normalized=True).view(np.uint8)
    # Most meshes fill a small part of the cube; outside of their box all is exterior.
    others = ((1, 2), (0, 2), (0, 1))
    occupied = [np.flatnonzero(state.any(axis=axes)) for axes in others]
    box = state[tuple(slice(found[0], found[-1] + 1) for found in occupied)]
    box[...] = ENCLOSED * fill_voids.fill(np.ascontiguousarray(box)) - box
    return state


def _split_long_edges(
    triangles: Float[np.ndarray, "f 3 3"], max_edge: float
) -> tuple[Float[np.ndarray, "n 3 3"], np.ndarray]:
    """Bisect the longest edge of each triangle until none is longer; (N, 3, 3) and their faces."""
    done, of_face = [], []
    faces = np.arange(len(triangles))
    while len(triangles):
        edges = np.linalg.norm(triangles[:, [1, 2, 0]] - triangles[:, [2, 0, 1]], axis=2)
        longest = edges.argmax(axis=1)
        is_done = edges.max(axis=1) <= max_edge
        done.append(triangles[is_done])
        of_face.append(faces[is_done])
        triangles, faces, longest = triangles[~is_done], faces[~is_done], longest[~is_done]
        rows = np.arange(len(triangles))
        apex = triangles[rows, longest]
        start, end = triangles[rows, (longest + 1) % 3], triangles[rows, (longest + 2) % 3]
        middle = (start + end) / 2
        triangles = np.concatenate(
            [np.stack([apex, start, middle], axis=1), np.stack([apex, middle, end], axis=1)]
        )
        faces = np.concatenate([faces, faces])
    return np.concatenate(done), np.concatenate(of_face)


def _band(mesh: Mesh, resolution: int) -> np.ndarray:
    """Voxels (R, R, R) whose centre may be nearer to the surface than TRUNCATION."""
    touched = voxelize(mesh, resolution, fill=False, is_normalized=True)
    width = 2 * math.ceil(TRUNCATION) + 1
    return np.asarray(maximum_filter(touched, size=width, mode="constant"))


@njit(cache=True, nogil=True)
def _is_visible(corners, state):  # type: ignore[no-untyped-def]
    """Whether an exterior fine voxel lies beside the centre or a corner of each triangle (N,)."""
    visible = np.zeros(len(corners), np.bool_)
    center, point = np.empty(3), np.empty(3)
    for face in range(len(corners)):
        for axis in range(3):
            center[axis] = corners[face, :, axis].sum() / 3
        for probe in range(4 * 27):
            corner, neighbor = probe // 27, probe % 27
            for axis in range(3):
                # Corners are drawn towards the centre: they belong to other triangles as well.
                at = center[axis]
                if corner < 3:
                    at += 0.9 * (corners[face, corner, axis] - center[axis])
                # A surface on the border of two fine voxels touches both.
                point[axis] = at + (neighbor // 3**axis % 3 - 1) * 1.01 / FINE
            if _state_at(state, point) == EXTERIOR:
                visible[face] = True
                break
    return visible


@njit(cache=True, nogil=True, inline="always")
def _state_at(state, point):  # type: ignore[no-untyped-def]
    size = state.shape[0]
    i = math.floor(point[0] * FINE)
    j = math.floor(point[1] * FINE)
    k = math.floor(point[2] * FINE)
    if min(i, j, k) < 0 or max(i, j, k) >= size:
        return EXTERIOR
    return state[i, j, k]


@njit(cache=True, nogil=True)
def _exterior_from(state, origin, direction, last):  # type: ignore[no-untyped-def]
    """The t of the first exterior fine voxel along a ray, in steps of half of one; inf beyond."""
    step = 0.5 / FINE
    t = step
    while t <= last:
        if _state_at(state, origin + t * direction) == EXTERIOR:
            return t
        t += step
    return math.inf


@njit(cache=True, nogil=True)
def _thin_offsets(bvh, state):  # type: ignore[no-untyped-def]
    """How far each triangle (N,) has to move outward, in voxels; 0 where the part is thick.

    The thickness is measured along the normal at a triangle's centre: between the exterior on one
    side and that on the other there are the triangle itself and perhaps another surface. A sheet
    has no thickness.
    """
    corners = bvh.corners
    offsets = np.zeros(len(corners))
    stack = np.empty(STACK_SIZE, np.int64)
    # The exterior begins up to a fine voxel's diagonal behind the surface that touches it.
    reach = 2 * MIN_HALF_THICKNESS + 2.0 / FINE
    for i in range(len(corners)):
        a, b, c = corners[i, 0], corners[i, 1], corners[i, 2]
        normal = np.cross(b - a, c - a)
        length = math.sqrt((normal * normal).sum())
        if length < 1e-12:
            continue
        normal /= length
        center = (a + b + c) / 3
        front = _exterior_from(state, center, normal, reach)
        if front == math.inf:
            continue
        back = _exterior_from(state, center, -normal, reach)
        if back == math.inf:
            continue
        thickness = max(last_hit(bvh, center, normal, 1e-9, front, stack), 0.0)
        thickness += max(last_hit(bvh, center, -normal, 1e-9, back, stack), 0.0)
        offsets[i] = max(0.0, MIN_HALF_THICKNESS - thickness / 2)
    return offsets


@njit(cache=True, nogil=True)
def _fill_band(bvh, face_of, state, band, distance, nearest):  # type: ignore[no-untyped-def]
    """Write signed distances (R, R, R) and the nearest triangles of the voxels of the band."""
    size = distance.shape[0]
    nothing = np.zeros(len(bvh.corners))
    stack = np.empty(STACK_SIZE, np.int64)
    center = np.empty(3)
    for i in range(size):
        for j in range(size):
            hint = -1
            for k in range(size):
                if not band[i, j, k]:
                    continue
                center[0], center[1], center[2] = i + 0.5, j + 0.5, k + 0.5
                value, found, v, w = nearest_triangle(
                    bvh, nothing, 0.0, center[0], center[1], center[2], TRUNCATION, hint, stack
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
    stack = np.empty(STACK_SIZE, np.int64)
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
    thinner than a fine voxel.
    """
    here = _state_at(state, center)
    if here != SURFACE or found < 0:
        return here == ENCLOSED
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
        reached = _state_at(state, center + t * direction)
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
