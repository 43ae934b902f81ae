"""The page of the viewer: whole meshes, nothing from a network."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import trimesh

from triform.geometry.io.viewer_page import open_in_browser, save_viewer_page
from triform.geometry.mesh import Mesh


def box(size: float) -> Mesh:
    made = trimesh.creation.box((size, size, size))
    return Mesh(np.asarray(made.vertices), np.asarray(made.faces))


def test_the_page_holds_the_meshes_side_by_side(tmp_path: Path) -> None:
    """Read back out of the page: three boxes of volume 1, 8 and 1 that do not touch."""
    page = tmp_path / "shapes.html"
    save_viewer_page([box(1), box(2), box(1)], page)
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    (data,) = re.findall(r'base64_data="([^"]+)"', text)
    scene = trimesh.load(io.BytesIO(base64.b64decode(data)), file_type="glb")
    parts = scene.dump()
    assert sorted(round(part.volume, 4) for part in parts) == [1, 1, 8]
    centres = np.array([part.bounds.mean(axis=0) for part in parts])
    gaps = [
        np.abs(centres[i] - centres[j]).max() - (parts[i].extents + parts[j].extents).max() / 4
        for i in range(3)
        for j in range(i)
    ]
    assert min(gaps) > 0


def test_no_display_no_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert not open_in_browser(tmp_path / "page.html")
