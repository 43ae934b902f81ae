"""Name of the colour of most of a mesh's surface, and whether a material may look like it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from skimage.color import rgb2lab

from triform.geometry.mesh import Mesh

APPARENT_COLORS: Mapping[str, frozenset[str]] = {
    "wood": frozenset({"wood", "brown", "beige", "orange"}),
    "metal": frozenset({"grey", "white"}),
    "glass": frozenset({"glass", "blue", "white", "grey"}),
}
"""Material -> names of colours that it may have, for those that a colour can show."""


def surface_color(mesh: Mesh, palette: Mapping[str, tuple[int, int, int]]) -> str:
    """Name of the palette's colour that most of the surface is nearest to.

    Args:
        mesh: a mesh with colours or textures.
        palette: name -> sRGB; the distance is that of CIELAB.

    Returns:
        The name; "" for a mesh without colours.
    """
    colors = _face_colors(mesh)
    return "" if colors is None else dominant_color(colors, mesh.face_areas, palette)


def dominant_color(
    colors: np.ndarray, weights: np.ndarray, palette: Mapping[str, tuple[int, int, int]]
) -> str:
    """Name of the palette's colour to which most of N sRGB colours (N, 3) are nearest.

    Args:
        colors: from 0 to 255.
        weights: (N,) of the colours.
        palette: name -> sRGB; the distance is that of CIELAB.

    Returns:
        The name; "" without colours.
    """
    if not len(colors):
        return ""
    names = list(palette)
    lab = rgb2lab(colors[:, None] / 255)[:, 0]
    reference = rgb2lab(np.array([palette[name] for name in names])[:, None] / 255)[:, 0]
    nearest = np.linalg.norm(lab[:, None] - reference[None], axis=-1).argmin(1)
    areas = np.bincount(nearest, weights, minlength=len(names))
    return names[int(areas.argmax())]


def _face_colors(mesh: Mesh) -> np.ndarray | None:
    """Colours (F, 3) at the middle of the faces, or None."""
    if mesh.appearance is None:
        return mesh.face_colors
    count = len(mesh.faces)
    return mesh.appearance.colors_at(np.arange(count), np.full((count, 3), 1 / 3))
