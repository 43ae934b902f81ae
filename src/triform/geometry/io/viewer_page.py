"""A page in which a browser shows meshes, with no network and nothing to install."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from triform.base.files import atomic_write
from triform.geometry.mesh import Mesh

MAX_MESHES = 64
"""Meshes on one page; more would be too many to look at."""
SPACING = 1.2
"""Distance of neighbours, in widths of the largest mesh."""
GREY = (176, 176, 176, 255)


def save_viewer_page(meshes: Sequence[Mesh], path: Path) -> None:
    """Write meshes side by side as a page of HTML that turns and zooms them by the mouse.

    Args:
        meshes: Up to `MAX_MESHES` are shown.
        path: The page; everything that it needs is in it.
    """
    import trimesh  # takes a while
    from trimesh.viewer.notebook import scene_to_html

    meshes = meshes[:MAX_MESHES]
    columns = int(np.ceil(np.sqrt(len(meshes))))
    width = SPACING * max(float(np.ptp(mesh.vertices, axis=0).max()) for mesh in meshes)
    scene = trimesh.Scene()
    for index, mesh in enumerate(meshes):
        row, column = divmod(index, columns)
        shown = trimesh.Trimesh(
            mesh.vertices + width * np.array([column, -row, 0.0]),
            mesh.faces,
            face_colors=GREY if mesh.face_colors is None else mesh.face_colors,
            process=False,
        )
        scene.add_geometry(shown)
    with atomic_write(path, "w") as file:
        file.write(scene_to_html(scene))


def open_in_browser(path: Path) -> bool:
    """Open a page in the user's browser; False where there is none, or no display."""
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not (has_display or os.environ.get("BROWSER")):
        return False  # a browser of texts would take the terminal
    return webbrowser.open(path.absolute().as_uri())
