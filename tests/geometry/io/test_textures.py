"""Textures of one model: decoded once, bounded together."""

import io
import subprocess
import sys

import pytest
from PIL import Image

from triform.geometry.io import textures
from triform.geometry.io.textures import Textures
from triform.geometry.mesh import MeshError


def png(size, color=(1, 2, 3), mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size, color).save(file, "PNG")
    return file.getvalue()


def test_one_content_is_one_array_whatever_it_is_called():
    asked = []
    files = {"a.png": png((4, 3)), "./a.png": png((4, 3)), "copy.png": png((4, 3))}

    def find(name):
        asked.append(name)
        return files.get(name)

    found = Textures(find)
    first = found.get("a.png")
    assert first.shape == (3, 4, 3) and first[0, 0].tolist() == [1, 2, 3]
    assert found.get("./a.png") is first and found.get(".\\a.png") is first
    assert found.get("copy.png") is first
    assert asked == ["a.png", "copy.png"]
    assert found.opaque(first) is found.opaque(first)


def test_damaged_and_missing_ones_are_none_and_said_once(caplog):
    found = Textures({"half.png": png((4, 3))[:50], "eps.png": b"%!PS-Adobe-3.0"}.get, "chair.obj")
    assert found.get("half.png") is None and found.get("none.png") is None
    assert found.get("eps.png") is None
    found.report_problems()
    assert [record.getMessage() for record in caplog.records] == [
        "chair.obj: without its texture half.png: damaged or no image (OSError: image file is "
        "truncated); expected PNG, JPEG, WEBP, AVIF, GIF, TIFF, BMP, PPM, TGA, HEIF (and 2 more)"
    ]


def test_alpha_only_where_something_shows_through():
    solid = png((2, 2), (1, 2, 3, 255), "RGBA")
    clear = png((2, 2), (1, 2, 3, 254), "RGBA")
    found = Textures({"solid": solid, "clear": clear}.get)
    assert found.get("solid").shape == (2, 2, 3)
    assert found.get("clear").tolist() == [[[1, 2, 3, 254]] * 2] * 2


def test_a_mask_serves_materials_of_all_colors():
    found = Textures({"mask.png": png((2, 1), 77, "L"), "a.png": png((4, 2))}.get)
    mask = found.get("mask.png")
    white = found.with_alpha(None, mask)
    assert white is found.with_alpha(None, mask)
    assert white.tolist() == [[[255, 255, 255, 77]] * 2]
    assert found.with_alpha(found.get("a.png"), mask).tolist() == [[[1, 2, 3, 77]] * 4] * 2


def test_the_more_textures_the_smaller(monkeypatch):
    monkeypatch.setattr(textures, "SIZE_LIMITS", ((100, 16), (300, 8)))
    monkeypatch.setattr(textures, "MAX_PIXELS", 1000)
    files = {str(n): png((64, 64), (n, 0, 0)) for n in range(4)}
    found = Textures(files.get)
    # 256 pixels, then 64, then no side is left but the last one, 256, which is more than is there.
    assert [found.get(str(n)).shape[0] for n in range(2)] == [16, 8]
    with pytest.raises(MeshError, match="more than 1000 pixels together"):
        found.get("2")


def test_too_many_are_refused_before_the_first_is_decoded(monkeypatch):
    monkeypatch.setattr(textures, "MAX_DECODED_PIXELS", 100)
    decoded = []
    monkeypatch.setattr(textures, "read_image", lambda *a, **k: decoded.append(a))
    files = [(png((8, 8), (n, 0, 0)), str(n)) for n in range(2)]
    found = Textures({}.get)
    with pytest.raises(MeshError, match="more than 100 pixels together"):
        found.decode_all(files)
    assert decoded == []


def test_a_ply_without_its_texture_is_one_line(tmp_path):
    head = "ply\nformat ascii 1.0\ncomment TextureFile no.png\nelement vertex 3\n"
    head += "".join(f"property float {name}\n" for name in "xyz")
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "m.ply").write_text(head + "0 0 0\n1 0 0\n1 1 0\n3 0 1 2\n")
    program = "from triform.base.logging import set_up_console\nset_up_console()\n"
    program += "from triform.geometry.io.load import load_mesh\nload_mesh('m.ply')\n"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert answer.stderr.splitlines() == [
        "warning: m.ply: without its texture no.png: not in the folder of the model"
    ]
