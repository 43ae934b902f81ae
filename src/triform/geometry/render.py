"""Pictures of meshes without a display: our own rasteriser, anti-aliased and flat shaded."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, UInt8
from numba import njit

from triform.geometry.colors import UNCOLORED
from triform.geometry.mesh import Mesh, MeshError, normalize

BACKGROUND = (246, 246, 244)
# How far the camera stands off, in radii of the ball around the mesh: a mild perspective.
DISTANCE = 5.0
# Directions to the lights in the camera's axes (right, up, towards it) and how strong they are.
KEY, KEY_STRENGTH = np.array([-0.45, 0.75, 0.5]), 0.55
FILL, FILL_STRENGTH = np.array([0.6, 0.1, 0.8]), 0.25
AMBIENT = 0.3


def render(
    mesh: Mesh,
    size: int = 256,
    azimuth: float | int = 0.6,
    elevation: float | int = 0.4,
    *,
    samples: int = 3,
    background: tuple[int, int, int] | None = BACKGROUND,
) -> UInt8[np.ndarray, "h w c"]:
    """Draw a mesh from one side.

    The mesh is normalized and fits the picture from every direction at the same scale. Both sides
    of a face are lit.

    Args:
        mesh: any mesh; faces without colours are light grey.
        size: width and height in pixels.
        azimuth: radians around the +Y axis; 0 looks at the front (+Z), growing towards +X.
        elevation: radians above the horizon.
        samples: samples per pixel along each side, for smooth edges.
        background: sRGB, or None for a transparent one.

    Returns:
        (size, size, 3) sRGB, or (size, size, 4) with straight alpha where the background is None.

    Raises:
        MeshError: the mesh is a single point, or `size` or `samples` is out of range.
    """
    if not 1 <= size <= 8192 or not 1 <= samples <= 8:
        raise MeshError(f"render: size {size} (1 to 8192) or samples {samples} (1 to 8) is wrong")
    shape = normalize(mesh)
    axes = camera_axes(azimuth, elevation)
    seen = shape.vertices @ axes.T
    radius = float(np.linalg.norm(shape.vertices, axis=1).max())
    # Screen coordinates in samples; depth is 1 / distance, which is linear on the screen.
    near = DISTANCE * radius - seen[:, 2]
    wide = size * samples
    # A ball of that radius touches the edges of the picture; a rim of 2 % is left free.
    scale = 0.49 * wide * math.sqrt(DISTANCE**2 - 1)
    screen = np.stack(
        [wide / 2 + scale * seen[:, 0] / near, wide / 2 - scale * seen[:, 1] / near, 1 / near],
        axis=1,
    )
    face = rasterize(screen, shape.faces, wide)
    colors = np.array(UNCOLORED) if shape.face_colors is None else shape.face_colors
    shaded = np.zeros((len(shape.faces) + 1, 4))  # the last row is where nothing was hit
    shaded[:-1, :3] = np.minimum(colors * _light(shape, axes)[:, None], 255)
    shaded[:-1, 3] = 1
    fine = shaded[face].reshape(size, samples, size, samples, 4)
    coarse = fine.mean(axis=(1, 3))
    light, alpha = coarse[..., :3], coarse[..., 3:]
    if background is None:
        straight = np.divide(light, alpha, out=np.zeros_like(light), where=alpha > 0)
        picture = np.concatenate([straight, alpha * 255], axis=2)
    else:
        picture = light + (1 - alpha) * np.array(background)
    return np.asarray(np.rint(picture)).astype(np.uint8)


def camera_axes(azimuth: float | int, elevation: float | int) -> Float[np.ndarray, "3 3"]:
    """Return the camera's axes in rows: right, up, and from the object towards the camera."""
    sin_a, cos_a = math.sin(azimuth), math.cos(azimuth)
    sin_e, cos_e = math.sin(elevation), math.cos(elevation)
    towards = np.array([sin_a * cos_e, sin_e, cos_a * cos_e])
    right = np.array([cos_a, 0.0, -sin_a])
    return np.stack([right, np.cross(towards, right), towards])


def _light(mesh: Mesh, axes: np.ndarray) -> np.ndarray:
    """Return the brightness (F,) of every face; faces turned away are lit from behind."""
    normals = mesh.face_normals @ axes.T
    normals *= np.where(normals[:, 2:] < 0, -1.0, 1.0)
    key = np.maximum(normals @ (KEY / np.linalg.norm(KEY)), 0)
    fill = np.maximum(normals @ (FILL / np.linalg.norm(FILL)), 0)
    return np.asarray(AMBIENT + KEY_STRENGTH * key + FILL_STRENGTH * fill)


@njit(cache=True, nogil=True)
def rasterize(screen, faces, size):  # type: ignore[no-untyped-def]
    """Find the nearest face at every sample of a square picture.

    Args:
        screen: (V, 3) float64: column, row, and a depth that is larger when nearer and linear on
            the screen.
        faces: (F, 3) int64.
        size: rows and columns.

    Returns:
        (size, size) int32 face indices; -1 where there is none.
    """
    nearest = np.full((size, size), -1, np.int32)
    depth = np.full((size, size), -np.inf)
    for face in range(faces.shape[0]):
        p, q, r = screen[faces[face, 0]], screen[faces[face, 1]], screen[faces[face, 2]]
        area = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
        if area == 0.0:
            continue
        left = max(0, math.ceil(min(p[0], q[0], r[0]) - 0.5))
        right = min(size - 1, math.floor(max(p[0], q[0], r[0]) - 0.5))
        top = max(0, math.ceil(min(p[1], q[1], r[1]) - 0.5))
        bottom = min(size - 1, math.floor(max(p[1], q[1], r[1]) - 0.5))
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                x, y = column + 0.5, row + 0.5
                # Shares of the corners; all have the same sign inside.
                on_q = ((x - p[0]) * (r[1] - p[1]) - (y - p[1]) * (r[0] - p[0])) / area
                on_r = ((q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])) / area
                if on_q < 0.0 or on_r < 0.0 or on_q + on_r > 1.0:
                    continue
                z = p[2] + on_q * (q[2] - p[2]) + on_r * (r[2] - p[2])
                if z > depth[row, column]:
                    depth[row, column] = z
                    nearest[row, column] = face
    return nearest
