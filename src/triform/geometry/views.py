"""Views of a mesh from given cameras: colours with transparency, and depth, as training data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from triform.geometry.cameras import Camera
from triform.geometry.lights import lamps
from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.mesh import normalize as normalized
from triform.geometry.paint import BLENDED, paint_of
from triform.geometry.raster import rasterize, to_camera
from triform.geometry.shade import blend, invert, resolve, shade

Shading = Literal["smooth", "flat", "none"]
LARGEST_SIZE, LARGEST_SAMPLES = 4096, 8
# Raised when the same mesh and cameras give other pictures: whoever keeps pictures then makes them
# anew.
VERSION = 2
# Brighter than a single picture for people: what faces the camera shows about its own colour.
AMBIENT = 0.5


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
    if shading not in ("smooth", "flat", "none"):
        raise MeshError(f"views: shading {shading!r} is not one of smooth, flat, none")
    return _draw(normalized(mesh) if normalize else mesh, cameras, size, samples, shading)


def _draw(
    mesh: Mesh, cameras: Iterable[Camera], size: int, samples: int, shading: Shading
) -> Iterator[View]:
    wide = size * samples
    paint = paint_of(mesh, smooth=shading == "smooth", largest_texture=max(256, 4 * size))
    layered = np.flatnonzero(paint.kind == BLENDED)
    arrays = paint.arrays
    points = np.empty((len(mesh.vertices), 5))
    # The samples, and behind them the middles of the pixels, where glass counts too.
    grids = np.array([[0, wide, 1, 0], [wide * wide, size, samples, 1]])
    nearest = np.empty(wide * wide + size * size, np.int32)
    inverse = np.empty(len(nearest))
    samples_of, inverse_of = (a[: wide * wide].reshape(wide, wide) for a in (nearest, inverse))
    middle_inverse = inverse[wide * wide :].reshape(size, size)
    own = np.empty(samples * samples, np.int32)
    layers = np.empty((wide, wide, 4) if len(layered) else (0, 0, 4), np.float32)
    for camera in cameras:
        focal = wide / 2 / math.tan(camera.fov / 2)
        near = to_camera(mesh.vertices, camera.origin, camera.axes, focal, wide / 2, points)
        scene = points, mesh.faces
        rasterize(*scene, *paint.holes, focal, near, grids, nearest, inverse)
        lights = _lights(camera) if shading != "none" else np.zeros((0, 3))
        rgba = np.empty((size, size, 4), np.uint8)
        shade(*scene, *arrays, lights, focal, samples, samples_of, own, rgba, layers)
        if len(layered):
            depths = points[:, 2][mesh.faces[layered]].sum(axis=1)
            order = layered[np.argsort(-depths, kind="stable")]
            blend(*scene, *arrays, lights, focal, near, samples, order, inverse_of, layers)
            resolve(layers, samples, rgba)
        depth = np.empty((size, size), np.float32)
        invert(middle_inverse, depth)
        yield View(rgba, depth)


def _lights(camera: Camera) -> np.ndarray:
    """Lay the lamps, the camera's axes and the ambient light out as `shade` takes them."""
    # The lamps' axes are right, up and towards the camera, the camera's right, down and away.
    return np.concatenate([lamps() * (1, -1, -1), camera.axes, np.full((1, 3), AMBIENT)])
