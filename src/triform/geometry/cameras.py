"""Pinhole cameras around an object, in the convention of Shap-E's files.

A camera's axes are written in the space of the object: `x` points to the right of the picture, `y`
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

# Shap-E's distance. From there a normalized cube stays in the picture whichever way it is turned.
DISTANCE = 2.0
FOV = 0.9
AXES = ("origin", "x", "y", "z")
# Turning from one golden section of the circle to the next spreads any number of points evenly.
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
# Of `upper_cameras`, in degrees above the horizon.
_LOWEST, _HIGHEST = -10, 65


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera for square pictures.

    Attributes:
        origin: (3,) where it stands.
        x: (3,) unit, to the right of the picture.
        y: (3,) unit, down.
        z: (3,) unit, into the scene.
        fov: angle from the left edge of the picture to the right one, in radians.
    """

    origin: Float[np.ndarray, " 3"]
    x: Float[np.ndarray, " 3"]
    y: Float[np.ndarray, " 3"]
    z: Float[np.ndarray, " 3"]
    fov: float

    def __post_init__(self) -> None:
        """Bring the arrays to float64 and check them.

        Raises:
            MeshError: axes that are not finite, not perpendicular or not of length 1, or an angle
                that no picture can have.
        """
        for name in AXES:
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
        """Return a ray through the middle of every pixel, as long as makes its z-depth 1.

        `origin + depth * rays` is the place that a picture's depth shows.
        """
        at = math.tan(self.fov / 2) * ((2 * np.arange(size) + 1) / size - 1)
        across, down = np.meshgrid(at, at)
        return np.asarray(self.z + across[..., None] * self.x + down[..., None] * self.y)

    def to_json(self) -> dict[str, Any]:
        """Return the camera as plain numbers; `x_fov` and `y_fov` are what Shap-E reads."""
        data: dict[str, Any] = {name: getattr(self, name).tolist() for name in AXES}
        return {**data, "fov": self.fov, "x_fov": self.fov, "y_fov": self.fov}

    @classmethod
    def from_json(cls, data: object, source: str) -> Camera:
        """Read what `to_json`, or Shap-E, has written.

        Args:
            data: the parsed JSON.
            source: what to call it in an error.

        Raises:
            MeshError: the source, and which value is missing or wrong.
        """
        if not isinstance(data, Mapping):
            raise MeshError(f"{source}: no camera, it has to be an object with {', '.join(AXES)}")
        fovs = [data[key] for key in ("fov", "x_fov", "y_fov") if key in data]
        missing = [name for name in AXES if name not in data] + ([] if fovs else ["fov"])
        if missing:
            raise MeshError(f"{source}: the camera has no {', '.join(missing)}")
        try:
            angles = [float(fov) for fov in fovs]
            vectors = {name: np.array(data[name], dtype=np.float64) for name in AXES}
        except (TypeError, ValueError):
            raise MeshError(f"{source}: the camera has something else than numbers") from None
        for name, values in vectors.items():
            if values.shape != (3,):
                raise MeshError(f"{source}: the camera's {name} is no list of 3 numbers")
        if max(angles) - min(angles) > 1e-6:
            raise MeshError(
                f"{source}: the camera sees {angles} radians; only square pictures are read, "
                "where fov, x_fov and y_fov are the same"
            )
        try:
            return cls(**vectors, fov=angles[0])
        except MeshError as error:
            raise MeshError(f"{source}: {error}") from None


def look_at_centre(
    direction: Float[np.ndarray, " 3"],
    *,
    distance: float | int = DISTANCE,
    fov: float | int = FOV,
) -> Camera:
    """Place a camera that looks at the origin, with +Y up in the picture.

    Args:
        direction: from the origin towards the camera, of any length but 0.
        distance: how far off it stands.
        fov: angle of view in radians.
    """
    away = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    # Straight from above and below the front is at the edge where it comes from.
    up = np.array([0.0, 1.0, 0.0] if abs(away[1]) < 0.9999 else [0.0, 0.0, -away[1]])
    right = np.cross(up, away)
    right /= np.linalg.norm(right)
    return Camera(away * distance, right, -np.cross(away, right), -away, float(fov))


def even_cameras(
    count: int, *, distance: float | int = DISTANCE, fov: float | int = FOV, seed: int = 0
) -> list[Camera]:
    """Spread cameras evenly over the sphere around the object.

    Args:
        count: any number from 1.
        distance: from the origin.
        fov: angle of view in radians.
        seed: turns them all together around the +Y axis.
    """
    heights = 1 - (2 * np.arange(_checked(count)) + 1) / count
    turns = _GOLDEN_ANGLE * np.arange(count) + np.random.default_rng(seed).uniform(0, 2 * math.pi)
    return _on_sphere(heights, turns, distance, fov)


def upper_cameras(
    count: int, *, distance: float | int = DISTANCE, fov: float | int = FOV, seed: int = 0
) -> list[Camera]:
    """Spread cameras evenly over where people look at things from: no steep look up or down.

    They stand between 10 degrees below the horizon and 65 degrees above it.

    Args:
        count: any number from 1.
        distance: from the origin.
        fov: angle of view in radians.
        seed: turns them all together around the +Y axis.
    """
    low, high = math.sin(math.radians(_LOWEST)), math.sin(math.radians(_HIGHEST))
    heights = high - (high - low) * (np.arange(_checked(count)) + 0.5) / count
    turns = _GOLDEN_ANGLE * np.arange(count) + np.random.default_rng(seed).uniform(0, 2 * math.pi)
    return _on_sphere(heights, turns, distance, fov)


def random_cameras(
    count: int, *, distance: float | int = DISTANCE, fov: float | int = FOV, seed: int = 0
) -> list[Camera]:
    """Throw cameras on the sphere around the object, every direction equally likely."""
    numbers = np.random.default_rng(seed).uniform(size=(_checked(count), 2))
    return _on_sphere(2 * numbers[:, 0] - 1, 2 * math.pi * numbers[:, 1], distance, fov)


def turntable_cameras(
    count: int,
    elevation: float | int = 0.35,
    *,
    distance: float | int = DISTANCE,
    fov: float | int = FOV,
) -> list[Camera]:
    """Place cameras on a circle, the first at the front (+Z), going round towards +X.

    Args:
        count: any number from 1.
        elevation: radians above the horizon.
        distance: from the origin.
        fov: angle of view in radians.
    """
    turns = 2 * math.pi * np.arange(_checked(count)) / count
    return _on_sphere(np.full(count, math.sin(elevation)), turns, distance, fov)


def fitting_fov(mesh: Mesh, distance: float | int = DISTANCE, margin: float | int = 0.04) -> float:
    """Return the narrowest angle of view in which a mesh stays in the picture from everywhere.

    Args:
        mesh: placed as it will be seen, for cameras that look at the origin.
        distance: of the cameras.
        margin: part of the picture that is left free around the ball that holds the mesh.

    Raises:
        MeshError: the cameras would stand inside the ball around the mesh.
    """
    radius = float(np.linalg.norm(mesh.vertices[np.unique(mesh.faces)], axis=1).max())
    if radius >= 0.999 * distance:
        raise MeshError(f"cameras: at a distance of {distance} they stand in the mesh ({radius:g})")
    half = math.tan(math.asin(max(radius / distance, 1e-3)))
    return 2 * math.atan(half * (1 + margin))


def _checked(count: int) -> int:
    if not 1 <= count <= 100_000:
        raise MeshError(f"cameras: {count} views is wrong, 1 to 100000 are possible")
    return count


def _on_sphere(heights: np.ndarray, turns: np.ndarray, distance: float, fov: float) -> list[Camera]:
    wide = np.sqrt(np.maximum(0, 1 - heights**2))
    directions = np.stack([wide * np.sin(turns), heights, wide * np.cos(turns)], axis=1)
    return [look_at_centre(direction, distance=distance, fov=fov) for direction in directions]
