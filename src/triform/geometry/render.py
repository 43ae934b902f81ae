"""Pictures of meshes without a display: our own rasteriser, anti-aliased and flat shaded."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, UInt8

from triform.geometry.colors import UNCOLORED
from triform.geometry.lights import AMBIENT, lamps
from triform.geometry.mesh import Mesh, MeshError, normalize
from triform.geometry.paint import PLAIN
from triform.geometry.raster import rasterize, to_camera

BACKGROUND = (246, 246, 244)
# How far the camera stands off, in radii of the ball around the mesh: a mild perspective.
DISTANCE = 5.0


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
    wide = size * samples
    # A ball of that radius touches the edges of the picture; a rim of 2 % is left free.
    focal = 0.49 * wide * math.sqrt(DISTANCE**2 - 1)
    points = np.empty((len(seen), 5))
    # The rasteriser's axes: right, down, away from the camera.
    stood = seen * (1, -1, -1)
    near = to_camera(
        stood, np.array([0, 0, -DISTANCE * radius]), np.eye(3), focal, wide / 2, points
    )
    face, inverse = np.empty(wide * wide, np.int32), np.empty(wide * wide)
    grid = np.array([[0, wide, 1, 0]])
    rasterize(points, shape.faces, *PLAIN.holes, focal, near, grid, face, inverse)
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
    key, fill = np.maximum(normals @ lamps().T, 0).T
    return np.asarray(AMBIENT + key + fill)
