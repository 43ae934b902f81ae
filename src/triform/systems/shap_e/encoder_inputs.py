"""Inputs of the encoder from a shape library: coloured points, and posed views with depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.datasets.library.decoding import (
    as_rows,
    decode_camera,
    decode_depth,
    read_array,
    read_image,
)
from triform.datasets.library.layout import LibraryObject
from triform.datasets.library.library import Library
from triform.systems.shap_e.config import TransmitterConfig
from triform.systems.shap_e.transmitter.views import Views

SCENE_SCALE = 2.0
"""Objects in [-1/2, 1/2]^3 are encoded in [-1, 1]^3."""
GREY = 200
"""Colour of points that have none, of 255: that of meshes without colours."""
OPAQUE = 0.999


def read_points(library: Library, entry: LibraryObject) -> np.ndarray:
    """Points of an object (N, 6) float32: position in [-1, 1]^3 and sRGB in [0, 1].

    Points of shape (N, 3) or (3, N); without colours they are grey.

    Raises:
        UserError: There are none, or they cannot be read.
    """
    if entry.points is None:
        raise UserError(
            f"{library.root}: {entry.object_id} has no point cloud; "
            "`triform shapes prepare` makes them"
        )
    points = as_rows(read_array(library, entry.points), entry.points).astype(np.float32)
    if not np.isfinite(points).all():
        raise UserError(f"{library.root}: {entry.points} holds NaN or infinity")
    colors = np.full(points.shape, GREY / 255, np.float32)
    if entry.colors is not None:
        stored = as_rows(read_array(library, entry.colors), entry.colors, "colours")
        if len(stored) != len(points):
            raise UserError(
                f"{library.root}: {entry.colors} has {len(stored)} rows for {len(points)} points"
            )
        scale = np.float32(1 if stored.dtype.kind == "f" else 1 / 255)
        colors = stored.astype(np.float32) * scale
    return np.concatenate([np.float32(SCENE_SCALE) * points, colors.clip(0, 1)], 1)


def select_rows(points: np.ndarray, count: int, random: torch.Generator | None) -> np.ndarray:
    """`count` rows of points: any by a generator, or the first; all again where there are fewer."""
    if len(points) < count:
        points = np.resize(points, (count, points.shape[1]))
    if random is None:
        return points[:count]
    return np.asarray(points[torch.randperm(len(points), generator=random)[:count].numpy()])


def read_views(library: Library, entry: LibraryObject, config: TransmitterConfig) -> Views:
    """All views of an object, as a batch of one.

    Raises:
        UserError: It has no images, depths or cameras, or they cannot be read.
    """
    for kind, paths in (("depth", entry.depths), ("camera", entry.cameras)):
        if not entry.images or len(paths) != len(entry.images):
            raise UserError(
                f"{library.root}: {entry.object_id} has {len(entry.images)} images and "
                f"{len(paths)} {kind} files; this encoder needs an image with depth and camera of "
                "each view (`triform shapes prepare` makes them), or one that was trained with "
                "--encoder_input points"
            )
    size = config.view_size
    colors, masks, depths, cameras = [], [], [], []
    for image_path, depth_path, camera_path in zip(
        entry.images, entry.depths, entry.cameras, strict=True
    ):
        rgba = read_image(library, image_path, size).astype(np.float32) / 255
        colors.append(rgba[..., :3] * rgba[..., 3:] * 2 - 1)
        masks.append(rgba[..., 3] >= OPAQUE)
        depth = decode_depth(library.read_bytes(depth_path), depth_path, size)
        depths.append(np.minimum(SCENE_SCALE * depth, config.max_depth))
        cameras.append(decode_camera(library.read_bytes(camera_path), camera_path))
    return Views(
        torch.from_numpy(np.stack(colors)).permute(0, 3, 1, 2)[None],
        torch.from_numpy(np.stack(masks))[None, :, None],
        torch.from_numpy(np.stack(depths).astype(np.float32))[None, :, None],
        SCENE_SCALE * torch.from_numpy(np.stack([each.origin for each in cameras])).float()[None],
        torch.from_numpy(np.stack([each.axes for each in cameras])).float()[None],
        torch.tensor([[each.fov for each in cameras]]),
    )


def join_views(views: Sequence[Views]) -> Views:
    """Views of several objects as one batch, as many of each as the one with fewest has."""
    count = min(each.colors.shape[1] for each in views)
    return Views(
        *(
            torch.cat([getattr(each, name)[:, :count] for each in views])
            for name in Views.__dataclass_fields__
        )
    )


def field_positions(size: int) -> Tensor:
    """Centres of voxels in [-1, 1]^3, (size^3, 3), index order x, y, z."""
    steps = (torch.arange(size) + 0.5) / size * 2 - 1
    return torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), -1).flatten(0, 2)
