"""Checks that images, depths, cameras, points and voxels of one object agree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.spatial import cKDTree

from triform.datasets.library.checking.problems import PREPARE, Problem, error, warning
from triform.geometry.render.cameras import Camera

# Share of the object's pixels at which alpha and depth may disagree.
_MAX_DISAGREEMENT = 0.02
# Share of all pixels at which they may always disagree.
_MIN_DISAGREEING_PIXELS = 0.001
# A sheet seen edge-on is thinner than a pixel: images with a smaller object are not checked.
_MIN_VISIBLE = 0.01
# Share of the points that must be on the object in an image, and in occupied voxels.
_MIN_OVERLAP = 0.9
# Largest distance of a depth from the points, in sizes of the object and in point spacings.
_DEPTH_TOLERANCE, _SPACING_TOLERANCE = 0.02, 3.0
_MAX_POINTS = 1024
_MAX_PIXELS = 128
_CAMERA_REMEDY = "write x to the right, y down, z into the scene, so that z is x cross y"
_AXES_REMEDY = "write +Y up, and all of an object's files in the same space"


class GeometryChecks:
    """Checks of other files of an object against its points.

    Args:
        points: (N, 3) finite, or None.
    """

    def __init__(self, points: np.ndarray | None) -> None:
        self.points: np.ndarray | None = None
        self._tree: cKDTree | None = None
        self._all_points = points
        if points is not None and len(points):
            step = -(-len(points) // _MAX_POINTS)
            self.points = points[::step]

    def check_camera(self, path: str, camera: Camera) -> Iterator[Problem]:
        """Check that a camera is right-handed and looks at the object."""
        if np.linalg.det(camera.axes) < 0:
            yield error("camera mirrored", path, "its axes are left-handed", _CAMERA_REMEDY)
            return
        center = -camera.axes @ camera.origin
        if center[2] <= 0:
            yield error(
                "camera away", path, "looks away from the object at the origin", _CAMERA_REMEDY
            )

    def check_view(
        self,
        path: str,
        depth_path: str,
        image: np.ndarray,
        depth: np.ndarray | None,
        camera: Camera | None,
    ) -> Iterator[Problem]:
        """Check an image against its depth, and both against the points."""
        alpha = image[..., 3]
        if (alpha > 0).mean() < _MIN_VISIBLE:
            return
        if depth is not None:
            share = _disagreement(alpha, np.isfinite(depth))
            # An image without transparency does not show which pixels are background.
            if share and not (alpha == 255).all():
                yield error(
                    "depth and image",
                    depth_path,
                    f"disagrees with the image's alpha at {share:.0%} of the object's pixels",
                    "write 65535 where the image is transparent, and there alone",
                )
                return
        if camera is None or image.shape[0] != image.shape[1]:
            return
        if self.points is not None and not (alpha == 255).all():
            yield from self._compare_points_with_image(path, alpha, camera)
        if depth is not None:
            yield from self._compare_points_with_depth(depth_path, depth, alpha, camera)

    def _compare_points_with_image(
        self, path: str, alpha: np.ndarray, camera: Camera
    ) -> Iterator[Problem]:
        """Check that the projected points are on the object in the image."""
        assert self.points is not None
        size = alpha.shape[0]
        camera_points = (self.points - camera.origin) @ camera.axes.T
        in_front = camera_points[:, 2] > 1e-6
        scale = size / 2 / np.tan(camera.fov / 2)
        pixels = np.floor(
            camera_points[:, :2] / np.where(in_front, camera_points[:, 2], 1)[:, None] * scale
            + size / 2
        )
        inside = in_front & (pixels >= 0).all(axis=1) & (pixels < size).all(axis=1)
        columns, rows = np.where(inside[:, None], pixels, 0).astype(np.int64).T
        visible = alpha > 0
        overlap = float((inside & visible[rows, columns]).mean())
        if overlap < _MIN_OVERLAP:
            # The silhouette may be off by a pixel.
            visible = binary_dilation(visible, iterations=max(1, size // 112))
            overlap = float((inside & visible[rows, columns]).mean())
        if overlap < _MIN_OVERLAP:
            yield error(
                "image and points",
                path,
                f"{1 - overlap:.0%} of the points are not where the image shows the object",
                _AXES_REMEDY,
            )

    def _compare_points_with_depth(
        self, path: str, depth: np.ndarray, alpha: np.ndarray, camera: Camera
    ) -> Iterator[Problem]:
        """Check that the surface of the depth image is near the points."""
        rows, columns = np.nonzero(np.isfinite(depth) & (alpha == 255))
        if len(rows) == 0:
            return
        step = -(-len(rows) // _MAX_PIXELS)
        rows, columns = rows[::step], columns[::step]
        offsets = np.tan(camera.fov / 2) * ((2 * np.stack([columns, rows], 1) + 1) / len(depth) - 1)
        rays = camera.z + offsets @ camera.axes[:2]
        surface_points = camera.origin + depth[rows, columns, None] * rays
        if self._all_points is None:
            extent = float(np.abs(surface_points).max())
            if extent > 0.5 + _DEPTH_TOLERANCE:
                yield warning(
                    "depth scale",
                    path,
                    f"reaches to {extent:.4g} from the centre",
                    "scale objects into [-1/2, 1/2]^3, or write depth * 65536 / 5",
                )
            return
        if self._tree is None:
            self._tree = cKDTree(self._all_points)
            assert self.points is not None
            neighbours = self._tree.query(self.points, k=min(2, len(self._all_points)))[0]
            self._spacing = float(np.median(np.atleast_2d(neighbours.T)[-1]))
        distance = float(np.median(self._tree.query(surface_points)[0]))
        if distance > max(_DEPTH_TOLERANCE, _SPACING_TOLERANCE * self._spacing):
            yield error(
                "depth and points",
                path,
                f"lies {distance:.3g} away from the points (median)",
                "write depth * 65536 / 5 along the camera's z, in the space of the points",
            )

    def check_voxels(self, path: str, voxels: np.ndarray) -> Iterator[Problem]:
        """Check that the points are in occupied voxels, or next to one."""
        if self.points is None:
            return
        size = len(voxels)
        indices = np.clip(((self.points + 0.5) * size).astype(np.int64), 0, size - 1)
        dilated = binary_dilation(voxels)
        overlap = float(dilated[tuple(indices.T)].mean())
        if overlap < _MIN_OVERLAP:
            yield error(
                "voxels and points",
                path,
                f"{1 - overlap:.0%} of the points lie in no voxel",
                f"index voxels x, y, z over [-1/2, 1/2]^3; or {PREPARE}",
            )


def _disagreement(alpha: np.ndarray, has_depth: np.ndarray) -> float:
    """Share of the object's pixels at which only one of alpha and depth shows it.

    Depth is sampled at the center of a pixel, alpha is its coverage: at the silhouette, and on
    parts thinner than a pixel, they may differ. A few pixels of a sheet seen edge-on do not count.
    """
    visible = alpha > 0
    area = int((visible | has_depth).sum())
    disagreeing = (has_depth & ~visible) | (~has_depth & (alpha == 255))
    allowed = max(_MAX_DISAGREEMENT * area, _MIN_DISAGREEING_PIXELS * alpha.size)
    if disagreeing.sum() > allowed:
        disagreeing &= ~binary_dilation(visible) | (
            binary_erosion(alpha == 255) & ~binary_dilation(has_depth)
        )
    return float(disagreeing.sum() / area) if disagreeing.sum() > allowed else 0.0
