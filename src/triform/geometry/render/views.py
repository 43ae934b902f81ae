"""Rendering of meshes without a display: training views from given cameras, and single images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.mesh import normalize as normalized
from triform.geometry.render.cameras import Camera, camera_axes
from triform.geometry.render.face_attributes import BLEND, build_face_attributes
from triform.geometry.render.rasterizer import project_vertices, rasterize
from triform.geometry.render.shading import blend, resolve_samples, shade

Shading = Literal["smooth", "flat", "none"]
MAX_SIZE, MAX_SAMPLES = 4096, 8
# The lighting of all images: a key and a fill light that follow the camera (unit directions in its
# space, x right, y down, z forward, times intensities), and ambient light.
_KEY, _FILL = np.array([-0.45, -0.75, -0.5]), np.array([0.6, -0.1, -0.8])
LIGHTS = np.stack([_KEY / np.linalg.norm(_KEY) * 0.55, _FILL / np.linalg.norm(_FILL) * 0.25])
AMBIENT = 0.5
# Raised when the same mesh and cameras give other images: caches of images are then rebuilt.
VERSION = 2
BACKGROUND = (246, 246, 244)
# Distance of the camera of `render`, in radii of the sphere around the mesh: a mild perspective.
DISTANCE = 5.0
# The sphere around the mesh fills this share of the width of the image of `render`.
FILL = 0.98


@dataclass(frozen=True, eq=False)
class View:
    """A rendered image with its depth.

    Attributes:
        rgba: (H, W, 4) uint8 sRGB with straight alpha.
        depth: (H, W) float32, along the camera's z axis at the centre of every pixel; infinite in
            the background.
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
    """Render a mesh from every camera.

    Args:
        mesh: any mesh; faces without colours are light grey.
        cameras: the cameras.
        size: width and height in pixels.
        samples: samples per pixel along each side, for anti-aliasing.
        shading: "smooth" interpolates normals across edges of less than 40 degrees, "flat" uses
            those of the faces, "none" draws unlit colours.
        normalize: bring the mesh to [-1/2, 1/2]^3 first; False renders it where it is.

    Yields:
        One view per camera, in their order.

    Raises:
        MeshError: the mesh is a single point, or `size` or `samples` is out of range.
    """
    _check_size("views", size, samples)
    if shading not in ("smooth", "flat", "none"):
        raise MeshError(f"views: shading {shading!r} is not one of smooth, flat, none")
    return _render(normalized(mesh) if normalize else mesh, cameras, size, samples, shading)


def render(
    mesh: Mesh,
    size: int = 256,
    azimuth: float | int = 0.6,
    elevation: float | int = 0.4,
    *,
    samples: int = 3,
    background: tuple[int, int, int] | None = BACKGROUND,
) -> UInt8[np.ndarray, "h w c"]:
    """Render one flat-shaded image of a mesh, which fits the image from every direction.

    Args:
        mesh: any mesh; it is normalized first. Faces without colours are light grey.
        size: width and height in pixels.
        azimuth: radians around the +Y axis; 0 looks at the front (+Z), growing towards +X.
        elevation: radians above the horizon.
        samples: samples per pixel along each side, for anti-aliasing.
        background: sRGB, or None for a transparent one.

    Returns:
        (size, size, 3) sRGB, or (size, size, 4) with straight alpha where the background is None.

    Raises:
        MeshError: the mesh is a single point, or `size` or `samples` is out of range.
    """
    _check_size("render", size, samples)
    mesh = normalized(mesh)
    right, up, backward = camera_axes(azimuth, elevation)
    distance = DISTANCE * float(np.linalg.norm(mesh.vertices, axis=1).max())
    # A unit sphere at distance d subtends a half angle of atan(1 / sqrt(d^2 - 1)).
    fov = 2 * math.atan(1 / (FILL * math.sqrt(DISTANCE**2 - 1)))
    camera = Camera(distance * backward, right, -up, -backward, fov)
    rgba = next(_render(mesh, [camera], size, samples, "flat")).rgba
    if background is None:
        return rgba
    alpha = rgba[..., 3:] / 255
    return np.asarray(np.rint(alpha * rgba[..., :3] + (1 - alpha) * background)).astype(np.uint8)


def _check_size(caller: str, size: int, samples: int) -> None:
    if not 1 <= size <= MAX_SIZE or not 1 <= samples <= MAX_SAMPLES:
        raise MeshError(
            f"{caller}: size {size} (1 to {MAX_SIZE}) or samples {samples} "
            f"(1 to {MAX_SAMPLES}) is wrong"
        )


def _render(
    mesh: Mesh, cameras: Iterable[Camera], size: int, samples: int, shading: Shading
) -> Iterator[View]:
    width = size * samples
    attributes = build_face_attributes(
        mesh, smooth=shading == "smooth", max_texture_size=max(256, 4 * size)
    )
    translucent = np.flatnonzero(attributes.alpha_mode == BLEND)
    points = np.empty((len(mesh.vertices), 5))
    # Two render targets: the samples; and the pixel centres for the depth, translucent faces too.
    targets = np.array([[0, width, 1, 0], [width * width, size, samples, 1]])
    face_index = np.empty(width * width + size * size, np.int32)
    zbuffer = np.empty(len(face_index))
    sample_face_index, sample_zbuffer = (
        buffer[: width * width].reshape(width, width) for buffer in (face_index, zbuffer)
    )
    pixel_zbuffer = zbuffer[width * width :].reshape(size, size)
    sample_faces = np.empty(samples * samples, np.int32)
    layers = np.empty((width, width, 4) if len(translucent) else (0, 0, 4), np.float32)
    for camera in cameras:
        focal = width / 2 / math.tan(camera.fov / 2)
        near = project_vertices(mesh.vertices, camera.origin, camera.axes, focal, width / 2, points)
        triangles = points, mesh.faces, attributes
        rasterize(*triangles, focal, near, targets, face_index, zbuffer)
        lights = np.zeros((0, 3))
        if shading != "none":
            lights = np.concatenate([LIGHTS, camera.axes, np.full((1, 3), AMBIENT)])
        rgba = np.empty((size, size, 4), np.uint8)
        shade(*triangles, lights, focal, samples, sample_face_index, sample_faces, rgba, layers)
        if len(translucent):
            depths = points[:, 2][mesh.faces[translucent]].sum(axis=1)
            order = translucent[np.argsort(-depths, kind="stable")]
            blend(*triangles, lights, focal, near, samples, order, sample_zbuffer, layers)
            resolve_samples(layers, samples, rgba)
        with np.errstate(divide="ignore"):  # the background is infinitely far
            depth = (1 / pixel_zbuffer).astype(np.float32)
        yield View(rgba, depth)
