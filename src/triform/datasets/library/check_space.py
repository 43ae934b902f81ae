"""Checking that pictures, depths, cameras, points and voxels of one object show the same thing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.spatial import cKDTree

from triform.datasets.library.problems import PREPARE, Problem, error, warning
from triform.geometry.cameras import Camera

# Share of a picture's pixels at which alpha and depth may say different things about the object.
_MOST_ODD = 0.02
# And so many of all pixels, whatever the object's share.
_FEW_ODD = 0.001
# A sheet seen edge-on is thinner than a pixel: nothing is asked of so small a share of the picture.
_LEAST_SHOWN = 0.01
# Share of points that must fall onto the object in a picture, and into taken voxels.
_LEAST_MET = 0.9
# How far a depth may lie from the points, in sizes of the object and in distances of neighbours.
_NEAR, _NEIGHBOURS = 0.02, 3.0
_MOST_POINTS = 1024
_MOST_PIXELS = 128
_CAMERA = "write x to the right, y down, z into the scene, so that z is x cross y"
_AXES = "write +Y up, and all of an object's files in the same space"


class SpaceChecks:
    """Where one object is, by its points.

    Args:
        points: (N, 3) finite, or None where nothing is known.
    """

    def __init__(self, points: np.ndarray | None) -> None:
        self.points: np.ndarray | None = None
        self._tree: cKDTree | None = None
        self._all = points
        if points is not None and len(points):
            step = -(-len(points) // _MOST_POINTS)
            self.points = points[::step]

    def check_camera(self, path: str, camera: Camera) -> Iterator[Problem]:
        """Handedness, and whether the camera sees the object."""
        if np.linalg.det(camera.axes) < 0:
            yield error("camera mirrored", path, "its axes are left-handed", _CAMERA)
            return
        middle = -camera.axes @ camera.origin
        if middle[2] <= 0:
            yield error("camera away", path, "looks away from the object at the origin", _CAMERA)

    def check_view(
        self,
        path: str,
        depth_path: str,
        picture: np.ndarray,
        depth: np.ndarray | None,
        camera: Camera | None,
    ) -> Iterator[Problem]:
        """One picture against its depth, and both against the points."""
        alpha = picture[..., 3]
        if (alpha > 0).mean() < _LEAST_SHOWN:
            return
        if depth is not None:
            share = _disagreement(alpha, np.isfinite(depth))
            # A picture without transparency says nothing about where the object is.
            if share and not (alpha == 255).all():
                yield error(
                    "depth and picture",
                    depth_path,
                    f"disagrees with the picture's alpha at {share:.0%} of the object's pixels",
                    "write 65535 where the picture is transparent, and there alone",
                )
                return
        if camera is None or picture.shape[0] != picture.shape[1]:
            return
        if self.points is not None and not (alpha == 255).all():
            yield from self._meet_picture(path, alpha, camera)
        if depth is not None:
            yield from self._meet_depth(depth_path, depth, alpha, camera)

    def _meet_picture(self, path: str, alpha: np.ndarray, camera: Camera) -> Iterator[Problem]:
        """Whether the points fall onto what the picture shows."""
        assert self.points is not None
        size = alpha.shape[0]
        at = (self.points - camera.origin) @ camera.axes.T
        ahead = at[:, 2] > 1e-6
        scale = size / 2 / np.tan(camera.fov / 2)
        spots = np.floor(at[:, :2] / np.where(ahead, at[:, 2], 1)[:, None] * scale + size / 2)
        inside = ahead & (spots >= 0).all(axis=1) & (spots < size).all(axis=1)
        columns, rows = np.where(inside[:, None], spots, 0).astype(np.int64).T
        shown = alpha > 0
        met = float((inside & shown[rows, columns]).mean())
        if met < _LEAST_MET:
            # The rim may be off by a pixel.
            shown = binary_dilation(shown, iterations=max(1, size // 112))
            met = float((inside & shown[rows, columns]).mean())
        if met < _LEAST_MET:
            yield error(
                "picture and points",
                path,
                f"{1 - met:.0%} of the points are not where the picture shows the object",
                _AXES,
            )

    def _meet_depth(
        self, path: str, depth: np.ndarray, alpha: np.ndarray, camera: Camera
    ) -> Iterator[Problem]:
        """Whether the depth shows the surface on which the points lie."""
        rows, columns = np.nonzero(np.isfinite(depth) & (alpha == 255))
        if len(rows) == 0:
            return
        step = -(-len(rows) // _MOST_PIXELS)
        rows, columns = rows[::step], columns[::step]
        across = np.tan(camera.fov / 2) * ((2 * np.stack([columns, rows], 1) + 1) / len(depth) - 1)
        rays = camera.z + across @ camera.axes[:2]
        places = camera.origin + depth[rows, columns, None] * rays
        if self._all is None:
            reach = float(np.abs(places).max())
            if reach > 0.5 + _NEAR:
                yield warning(
                    "depth scale",
                    path,
                    f"reaches to {reach:.4g} from the centre",
                    "scale objects into [-1/2, 1/2]^3, or write depth * 65536 / 5",
                )
            return
        if self._tree is None:
            self._tree = cKDTree(self._all)
            assert self.points is not None
            neighbours = self._tree.query(self.points, k=min(2, len(self._all)))[0]
            self._spacing = float(np.median(np.atleast_2d(neighbours.T)[-1]))
        off = float(np.median(self._tree.query(places)[0]))
        if off > max(_NEAR, _NEIGHBOURS * self._spacing):
            yield error(
                "depth and points",
                path,
                f"lies {off:.3g} away from the points (median)",
                "write depth * 65536 / 5 along the camera's z, in the space of the points",
            )

    def check_voxels(self, path: str, grid: np.ndarray) -> Iterator[Problem]:
        """Whether the points lie in taken voxels, or next to one."""
        if self.points is None:
            return
        size = len(grid)
        cells = np.clip(((self.points + 0.5) * size).astype(np.int64), 0, size - 1)
        grown = binary_dilation(grid)
        met = float(grown[tuple(cells.T)].mean())
        if met < _LEAST_MET:
            yield error(
                "voxels and points",
                path,
                f"{1 - met:.0%} of the points lie in no voxel",
                f"index voxels x, y, z over [-1/2, 1/2]^3; or {PREPARE}",
            )


def _disagreement(alpha: np.ndarray, seen: np.ndarray) -> float:
    """Share of the object's pixels at which only one of alpha and depth shows it.

    Depth is that of a pixel's middle, alpha the share that is covered: at the rim, and on what is
    thinner than a pixel, both may differ. A few pixels of a sheet seen edge-on say nothing either.
    """
    shown = alpha > 0
    area = int((shown | seen).sum())
    odd = (seen & ~shown) | (~seen & (alpha == 255))
    few = max(_MOST_ODD * area, _FEW_ODD * alpha.size)
    if odd.sum() > few:
        odd &= ~binary_dilation(shown) | (binary_erosion(alpha == 255) & ~binary_dilation(seen))
    return float(odd.sum() / area) if odd.sum() > few else 0.0
