"""The surface of a predicted distance field: closed, in one piece, with colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.ndimage import map_coordinates, zoom

from triform.geometry.mesh import Mesh
from triform.geometry.voxels.bridges import bridge_components
from triform.geometry.voxels.surface import main_component_share, voxels_to_mesh

CLIP = 1.5
"""Distances beyond this many voxels do not bear on the surface."""
BRIDGE_SCALE = 3.0
"""Logit of being inside, for a distance of one voxel."""
MIN_SAMPLES = 8
"""Samples inside from which there is a shape."""
PALETTE_SIZE = 8
MAX_PALETTE_FACES = 4096
WHITE = 255


def is_empty(distance: Float[np.ndarray, "x y z"]) -> bool:
    """Whether too few samples (R, R, R) are inside for a shape."""
    return int((distance < 0).sum()) < MIN_SAMPLES


def field_to_mesh(
    distance: Float[np.ndarray, "x y z"],
    colors: Float[np.ndarray, "c u v w"] | None = None,
    resolution: int = 0,
) -> Mesh:
    """Extract the surface by marching cubes, without a filter.

    Floating parts are bridged along the samples that are nearest to being inside; what still floats
    is removed.

    Args:
        distance: (R, R, R) in voxels, negative inside.
        colors: (3, S, S, S) from -1 to 1; None leaves colours out.
        resolution: of the surface; 0 is R. More samples are interpolated by splines, which does not
            add details but rounds what marching cubes would cut off.

    Returns:
        A mesh in [-1/2, 1/2]^3.

    Raises:
        MeshError: nothing is inside.
    """
    distance = join_parts(distance)
    if resolution > len(distance):
        factor = resolution / len(distance)
        distance = zoom(distance, factor, order=3, mode="nearest", grid_mode=True) * factor
    inside = -np.clip(distance, -CLIP, CLIP)
    mesh = voxels_to_mesh(inside, level=0.0)
    if main_component_share(mesh) < 1:
        mesh = voxels_to_mesh(inside, level=0.0, largest_component=True)
    return mesh if colors is None else replace(mesh, face_colors=face_colors(mesh, colors))


def join_parts(distance: Float[np.ndarray, "x y z"]) -> Float[np.ndarray, "x y z"]:
    """Distances (R, R, R) with bridges between floating parts and the largest one."""
    probability = 1 / (1 + np.exp(np.clip(BRIDGE_SCALE * distance, -50, 50)))
    joined = bridge_components(probability, 0.5)
    changed = joined > probability + 1e-9
    logit = np.log(np.clip(joined, 1e-9, 1 - 1e-3) / np.clip(1 - joined, 1e-3, None))
    return np.where(changed, np.minimum(distance, -logit / BRIDGE_SCALE), distance)


def face_colors(mesh: Mesh, colors: Float[np.ndarray, "c u v w"]) -> np.ndarray:
    """Colours (F, 3) uint8 sRGB at the centres of faces, at most PALETTE_SIZE different ones.

    Furniture has few materials; the gradients between them are the interpolation's.
    """
    size = colors.shape[1]
    centers = (mesh.triangles.mean(axis=1) + 0.5) * size - 0.5
    values = [map_coordinates(channel, centers.T, order=1, mode="nearest") for channel in colors]
    rgb = np.rint(np.clip((np.stack(values, axis=1) + 1) / 2, 0, 1) * WHITE).astype(np.uint8)
    # A sample of the faces gives the palette: the median cut of all takes longer than the surface.
    sample = rgb[:: -(-len(rgb) // MAX_PALETTE_FACES)]
    palette = Image.fromarray(np.ascontiguousarray(sample)[None]).quantize(PALETTE_SIZE)
    image = Image.fromarray(rgb[None]).quantize(palette=palette, dither=Image.Dither.NONE)
    return np.array(image.convert("RGB")).reshape(-1, 3)
