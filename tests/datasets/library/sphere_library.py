"""A shape library that somebody else made, in the layout of the Shap-E document, of exact balls.

Everything in it is known: images are discs, depths and points lie on the ball, voxels fill it.
No code of the project writes it.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

RADIUS = 0.5
COLORS = {"ball1": (200, 30, 30), "ball2": (30, 200, 30), "ball3": (30, 30, 200)}


def camera(direction: tuple[float, float, float], distance: float = 2.0, fov: float = 0.7) -> dict:
    """A camera that looks at the origin: x right, y down, z into the scene."""
    z = -np.array(direction) / np.linalg.norm(direction)
    x = np.cross(z, (0, 1, 0))
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    return {
        "origin": (-distance * z).tolist(),
        "x": x.tolist(),
        "y": y.tolist(),
        "z": z.tolist(),
        "x_fov": fov,
        "y_fov": fov,
    }


def depth_of_ball(camera: dict, size: int) -> np.ndarray:
    """Depth along z of the ball in the middle of every pixel; infinite beside it."""
    at = np.tan(camera["x_fov"] / 2) * ((2 * np.arange(size) + 1) / size - 1)
    rays = (
        np.array(camera["z"])
        + at[None, :, None] * np.array(camera["x"])
        + at[:, None, None] * np.array(camera["y"])
    )
    origin = np.array(camera["origin"])
    a, b = (rays**2).sum(-1), rays @ origin
    root = b**2 - a * (origin @ origin - RADIUS**2)
    return np.where(root >= 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)


def points_of_ball(count: int) -> np.ndarray:
    """Points on the ball, (count, 3) float32, evenly spread."""
    y = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    ring = np.sqrt(1 - y**2)
    directions = np.stack([ring * np.cos(angle), y, ring * np.sin(angle)], 1)
    return (RADIUS * directions).astype(np.float32)


def voxels_of_ball(size: int) -> np.ndarray:
    at = (np.arange(size) + 0.5) / size - 0.5
    x, y, z = np.meshgrid(at, at, at, indexing="ij")
    return x**2 + y**2 + z**2 <= (RADIUS + 0.5 / size) ** 2


DIRECTIONS = [(1, 0.5, 0), (0, 0.3, 1), (-1, -0.4, 0.2), (0.1, 0.9, -1), (0.5, -1, 0.5), (1, 1, 1)]


def write_library(
    folder: Path,
    *,
    views: int = 2,
    size: int = 32,
    points: int = 200,
    transposed: bool = False,
    cameras: bool = True,
    depths: bool = True,
    colors: bool = False,
    voxels: int = 0,
    captions: bool = True,
    names: tuple[str, ...] = tuple(COLORS),
) -> Path:
    """Write a library.

    Args:
        folder: where.
        views: images of each ball, numbered from 1.
        size: pixels along each side.
        points: points in each cloud.
        turned: write clouds as (3, N).
        cameras: with cameras.
        depths: with depths, as Shap-E writes them.
        colors: with the points' colours.
        voxels: side of the voxel grid; 0 for none.
        captions: with two captions for each ball.
        names: the balls.
    """
    wanted = {"cameras": cameras, "depth": depths, "colors": colors}
    for name in ("images", "points", *(name for name, is_wanted in wanted.items() if is_wanted)):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows = ["object_id,caption"]
    for number, name in enumerate(names):
        color = COLORS.get(name, (90, 90, 90))
        for view in range(1, views + 1):
            one = camera(DIRECTIONS[(view - 1) % len(DIRECTIONS)])
            depth = depth_of_ball(one, size)
            image = np.zeros((size, size, 4), np.uint8)
            # Every view a little different, so that a test can tell them apart.
            image[np.isfinite(depth)] = (*color[:2], color[2] + view, 255)
            Image.fromarray(image).save(folder / f"images/{name}_view{view}.png")
            if depths:
                finite = np.where(np.isfinite(depth), depth, 0)
                stored = np.where(np.isfinite(depth), finite * 65536 / 5, 65535).astype(np.uint16)
                Image.fromarray(stored).save(folder / f"depth/{name}_view{view}.png")
            if cameras:
                (folder / f"cameras/{name}_view{view}.json").write_text(json.dumps(one))
        points_array = points_of_ball(points)
        np.save(folder / f"points/{name}.npy", points_array.T if transposed else points_array)
        if colors:
            paint = np.tile(np.array(color, np.uint8), (points, 1))
            np.save(folder / f"colors/{name}.npy", paint)
        if voxels:
            (folder / "voxels").mkdir(exist_ok=True)
            np.savez(folder / f"voxels/{name}_{voxels}.npz", voxels=voxels_of_ball(voxels))
        rows += [f'{name},"a ball, number {number + 1}"', f"{name},a round thing {number + 1}"]
    if captions:
        (folder / "captions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder
