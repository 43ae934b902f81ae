"""Views of a mesh from given cameras: colour, transparency and depth, as training data needs them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from triform.geometry.cameras import Camera
from triform.geometry.colors import UNCOLORED
from triform.geometry.mesh import Mesh, MeshError, normalize
from triform.geometry.raster import rasterize, to_camera

Shading = Literal["smooth", "flat", "none"]
LARGEST_SIZE, LARGEST_SAMPLES = 4096, 8


@dataclass(frozen=True, eq=False)
class View:
    """What one camera sees.

    Attributes:
        rgba: (H, W, 4) uint8 sRGB with straight alpha.
        depth: (H, W) float32, along the camera's z axis, in the middle of every pixel; infinite
            where nothing is.
    """

    rgba: UInt8[np.ndarray, "h w 4"]
    depth: Float32[np.ndarray, "h w"]


def render_views(
    mesh: Mesh,
    cameras: Iterable[Camera],
    size: int = 224,
    *,
    samples: int = 2,
    shading: Shading = "smooth",
    normalize: bool = True,
) -> Iterator[View]:
    """Draw a mesh from every camera.

    Args:
        mesh: any mesh; faces without colours are light grey.
        cameras: where to look from.
        size: width and height in pixels.
        samples: samples per pixel along each side, for smooth edges.
        shading: "smooth" rounds edges of less than 40 degrees, "flat" shows every face, "none" is
            the plain colour without light.
        normalize: bring the mesh to [-1/2, 1/2]^3 first; False draws it where it is.

    Yields:
        One view per camera, in their order.

    Raises:
        MeshError: the mesh is a single point, or `size` or `samples` is out of range.
    """
    if not 1 <= size <= LARGEST_SIZE or not 1 <= samples <= LARGEST_SAMPLES:
        raise MeshError(
            f"views: size {size} (1 to {LARGEST_SIZE}) or samples {samples} "
            f"(1 to {LARGEST_SAMPLES}) is wrong"
        )
    shape = _normalize(mesh) if normalize else mesh
    return _views(shape, cameras, size, samples)


_normalize = normalize


def _views(mesh: Mesh, cameras: Iterable[Camera], size: int, samples: int) -> Iterator[View]:
    wide = size * samples
    points = np.empty_like(mesh.vertices)
    nearest, inverse = np.empty((wide, wide), np.int32), np.empty((wide, wide))
    centre, centre_inverse = np.empty((size, size), np.int32), np.empty((size, size))
    normals = mesh.face_normals
    colors = np.array(UNCOLORED) if mesh.face_colors is None else mesh.face_colors
    for camera in cameras:
        to_camera(mesh.vertices, camera.origin, camera.axes, points)
        focal = wide / 2 / math.tan(camera.fov / 2)
        rasterize(points, mesh.faces, focal, samples, nearest, inverse, centre, centre_inverse)
        light = 0.3 + 0.7 * np.abs(normals @ camera.z)
        shaded = np.zeros((len(normals) + 1, 4))
        shaded[:-1, :3] = np.minimum(colors * light[:, None], 255)
        shaded[:-1, 3] = 1
        sums = shaded[nearest].reshape(size, samples, size, samples, 4).mean(axis=(1, 3))
        alpha = sums[..., 3:]
        rgb = np.divide(sums[..., :3], alpha, out=np.zeros_like(sums[..., :3]), where=alpha > 0)
        rgba = np.rint(np.concatenate([rgb, alpha * 255], axis=2)).astype(np.uint8)
        depth = np.full((size, size), np.inf, np.float32)
        np.divide(1, centre_inverse, out=depth, where=centre >= 0, casting="unsafe")
        yield View(rgba, depth)
