"""Pinhole cameras around an object, in the convention of Shap-E's files.

A camera's axes are written in the space of the object: `x` points to the right of the image, `y`
down and `z` into the scene. A pixel's ray goes through the middle of the pixel:

    z + t * ((2 * column + 1) / size - 1) * x + t * ((2 * row + 1) / size - 1) * y

with t = tan(fov / 2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from triform.geometry.mesh import Mesh, MeshError

# Shap-E's distance: a normalized cube in any orientation fits the image.
DISTANCE = 2.0
FOV = 0.9
VECTORS = ("origin", "x", "y", "z")
# The step of the azimuth on a Fibonacci sphere.
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
# Elevations of `upper_cameras`, in degrees.
MIN_ELEVATION, MAX_ELEVATION = -10, 65


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera for square images.

    Attributes:
        origin: (3,) position.
        x: (3,) unit, to the right of the image.
        y: (3,) unit, down.
        z: (3,) unit, into the scene.
        fov: angle from the left edge of the image to the right one, in radians.
    """

    origin: Float[np.ndarray, " 3"]
    x: Float[np.ndarray, " 3"]
    y: Float[np.ndarray, " 3"]
    z: Float[np.ndarray, " 3"]
    fov: float

    def __post_init__(self) -> None:
        """Bring the arrays to float64 and check them.

        Raises:
            MeshError: axes that are not finite, not orthonormal, or an angle of view out of range.
        """
        for name in VECTORS:
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.shape != (3,) or not np.isfinite(values).all():
                raise MeshError(f"camera: {name} is {values.tolist()}, expected 3 finite numbers")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        object.__setattr__(self, "fov", float(self.fov))
        if np.abs(self.axes @ self.axes.T - np.eye(3)).max() > 1e-3:
            raise MeshError("camera: x, y and z have to be perpendicular and of length 1")
        if not 1e-3 <= self.fov <= math.pi - 1e-3:
            raise MeshError(f"camera: fov is {self.fov}, expected radians between 0 and pi")

    @property
    def axes(self) -> Float[np.ndarray, "3 3"]:
        """The axes x, y and z in rows."""
        return np.stack([self.x, self.y, self.z])

    def rays(self, size: int) -> Float[np.ndarray, "h w 3"]:
        """Return a ray through the centre of every pixel, scaled to z-depth 1.

        `origin + depth * rays` are the surface points of a depth image.
        """
        offsets = math.tan(self.fov / 2) * ((2 * np.arange(size) + 1) / size - 1)
        columns, rows = np.meshgrid(offsets, offsets)
        return np.asarray(self.z + columns[..., None] * self.x + rows[..., None] * self.y)

    def to_json(self) -> dict[str, Any]:
        """Return the camera as plain numbers; `x_fov` and `y_fov` are what Shap-E reads."""
        data: dict[str, Any] = {name: getattr(self, name).tolist() for name in VECTORS}
        return {**data, "fov": self.fov, "x_fov": self.fov, "y_fov": self.fov}

    @classmethod
    def from_json(cls, data: object, source: str) -> Camera:
        """Read a camera that `to_json` or Shap-E wrote.

        Args:
            data: the parsed JSON.
            source: name of the file, for messages.

        Raises:
            MeshError: the source, and which value is missing or wrong.
        """
        if not isinstance(data, Mapping):
            raise MeshError(
                f"{source}: no camera, it has to be an object with {', '.join(VECTORS)}"
            )
        fovs = [data[key] for key in ("fov", "x_fov", "y_fov") if key in data]
        missing = [name for name in VECTORS if name not in data] + ([] if fovs else ["fov"])
        if missing:
            raise MeshError(f"{source}: the camera has no {', '.join(missing)}")
        try:
            angles = [float(fov) for fov in fovs]
            vectors = {name: np.array(data[name], dtype=np.float64) for name in VECTORS}
        except (TypeError, ValueError):
            raise MeshError(f"{source}: the camera has something else than numbers") from None
        for name, values in vectors.items():
            if values.shape != (3,):
                raise MeshError(f"{source}: the camera's {name} is no list of 3 numbers")
        if max(angles) - min(angles) > 1e-6:
            raise MeshError(
                f"{source}: the camera sees {angles} radians; only square images are read, "
                "where fov, x_fov and y_fov are the same"
            )
        try:
            return cls(**vectors, fov=angles[0])
        except MeshError as error:
            raise MeshError(f"{source}: {error}") from None


def look_at_origin(
    direction: Float[np.ndarray, " 3"], *, distance: float | int = DISTANCE, fov: float | int = FOV
) -> Camera:
    """Place a camera that looks at the origin, with +Y up in the image.

    Args:
        direction: from the origin towards the camera, of any length but 0.
        distance: from the origin.
        fov: angle of view in radians.
    """
    backward = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    # Exactly above and below +Y is no up vector; +Z, the front, takes its place.
    up = np.array([0.0, 1.0, 0.0] if abs(backward[1]) < 0.9999 else [0.0, 0.0, -backward[1]])
    right = np.cross(up, backward)
    right /= np.linalg.norm(right)
    return Camera(backward * distance, right, -np.cross(backward, right), -backward, float(fov))


def even_cameras(count: int, *, fov: float | int = FOV, seed: int = 0) -> list[Camera]:
    """Spread cameras evenly over a sphere around the object (Fibonacci sphere).

    Args:
        count: any number from 1.
        fov: angle of view in radians.
        seed: decides a common rotation about the +Y axis.
    """
    return _fibonacci_cameras(count, (-1.0, 1.0), fov, seed)


def upper_cameras(count: int, *, fov: float | int = FOV, seed: int = 0) -> list[Camera]:
    """Spread cameras evenly over elevations from -10 to 65 degrees, as of most photographs.

    Arguments are those of `even_cameras`.
    """
    low, high = math.sin(math.radians(MIN_ELEVATION)), math.sin(math.radians(MAX_ELEVATION))
    return _fibonacci_cameras(count, (low, high), fov, seed)


def random_cameras(count: int, *, fov: float | int = FOV, seed: int = 0) -> list[Camera]:
    """Draw cameras uniformly from a sphere around the object."""
    uniform = np.random.default_rng(seed).uniform(size=(_checked_count(count), 2))
    return _cameras_on_sphere(2 * uniform[:, 0] - 1, 2 * math.pi * uniform[:, 1], fov)


def turntable_cameras(
    count: int, elevation: float | int = 0.35, *, fov: float | int = FOV
) -> list[Camera]:
    """Place cameras on a circle around the object, the first at the front (+Z), towards +X.

    Args:
        count: any number from 1.
        elevation: radians above the horizon.
        fov: angle of view in radians.
    """
    azimuths = 2 * math.pi * np.arange(_checked_count(count)) / count
    return _cameras_on_sphere(np.full(count, math.sin(elevation)), azimuths, fov)


def fitting_fov(mesh: Mesh, distance: float | int = DISTANCE, margin: float | int = 0.04) -> float:
    """Return the narrowest angle of view in which a mesh fits the image from every direction.

    Args:
        mesh: in world coordinates, for cameras that look at the origin.
        distance: of the cameras from the origin.
        margin: share of the image that is left free around the mesh's bounding sphere.

    Raises:
        MeshError: the cameras would stand inside the bounding sphere.
    """
    radius = float(np.linalg.norm(mesh.vertices[np.unique(mesh.faces)], axis=1).max())
    if radius >= 0.999 * distance:
        raise MeshError(f"cameras: at a distance of {distance} they stand in the mesh ({radius:g})")
    half = math.tan(math.asin(max(radius / distance, 1e-3)))
    return 2 * math.atan(half * (1 + margin))


def camera_axes(azimuth: float | int, elevation: float | int) -> Float[np.ndarray, "3 3"]:
    """Return a camera's axes in rows: right, up, and from the object towards the camera."""
    sin_a, cos_a = math.sin(azimuth), math.cos(azimuth)
    sin_e, cos_e = math.sin(elevation), math.cos(elevation)
    backward = np.array([sin_a * cos_e, sin_e, cos_a * cos_e])
    right = np.array([cos_a, 0.0, -sin_a])
    return np.stack([right, np.cross(backward, right), backward])


def _checked_count(count: int) -> int:
    if not 1 <= count <= 100_000:
        raise MeshError(f"cameras: {count} views is wrong, 1 to 100000 are possible")
    return count


def _fibonacci_cameras(
    count: int, heights: tuple[float, float], fov: float, seed: int
) -> list[Camera]:
    """Cameras at even heights from the highest to the lowest, turned by the golden angle."""
    low, high = heights
    middles = high - (high - low) * (np.arange(_checked_count(count)) + 0.5) / count
    azimuths = GOLDEN_ANGLE * np.arange(count) + np.random.default_rng(seed).uniform(0, 2 * math.pi)
    return _cameras_on_sphere(middles, azimuths, fov)


def _cameras_on_sphere(heights: np.ndarray, azimuths: np.ndarray, fov: float) -> list[Camera]:
    radii = np.sqrt(np.maximum(0, 1 - heights**2))
    directions = np.stack([radii * np.sin(azimuths), heights, radii * np.cos(azimuths)], axis=1)
    return [look_at_origin(direction, fov=fov) for direction in directions]
